"""Steps: which optimizers run, with which options, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lmc.check import check_program
from lmc.check.optimizer_options import call_text
from lmc.check.program import Step
from lmc.diagnostics import LmcError, error, suggestion
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.source import Source

_FRAME = "generate it(x: str) -> str\noptimize it { steps: [\n%s\n] }\n"
_STRING_OR_ARROW = re.compile(r'("(?:[^"\\]|\\.)*")|>>')
_NAME = re.compile(r"\s*\w+\s*")


def parse_steps(text: str) -> tuple[Step, ...]:
    """Parse `bootstrap(demos=4) >> labeled()` as the language parses `steps:`.

    Raises: LmcError[unknown-optimizer, …] with the position in the text.
    """
    # source text never contains NUL
    marked = _STRING_OR_ARROW.sub(lambda found: found[1] or "\0", text)
    parts = marked.split("\0")
    calls = [f"{part.strip()}()" if _NAME.fullmatch(part) else part.strip() for part in parts]
    source = Source("--optimizer", _FRAME % ", ".join(calls))
    program, found = check_program(source)
    errors = [d for d in found if d.severity == "error"]
    if program is None or errors:
        raise LmcError(*errors)
    return program.optimizes[0].steps


def check_steps(steps: Iterable[Step]) -> None:
    """Refuse steps that no optimizer supports, before the first model call. Raises: LmcError."""
    problems = [_problem(step) for step in steps]
    if errors := [p for p in problems if p is not None]:
        raise LmcError(*errors)


def step_text(step: Step) -> str:
    """A step as a program writes it."""
    return call_text(step.name, step.kwargs)


def steps_text(steps: Sequence[Step]) -> tuple[str, ...]:
    """All steps as a program writes them."""
    return tuple(map(step_text, steps))


def _problem(step: Step) -> Any:
    known = BY_NAME.get(step.name)
    if known is None:
        message = f"the optimizer `{step.name}` is not supported yet"
        return error(
            "not-supported", message, step.span, help=f"use one of {', '.join(map(repr, BY_NAME))}"
        )
    for name in step.kwargs:
        if name not in known.signature.options:
            help = suggestion(name, known.signature.options)
            message = f"`{step.name}` has no option `{name}` yet"
            return error("not-supported", message, step.span, help=help)
    return None
