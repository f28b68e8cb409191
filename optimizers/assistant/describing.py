"""Programs, rows and runs as text, for the model that improves a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmc.check.subtyping import show
from lmc.ir.provenance import Module
from lmc.measure.rows import Row
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run

MOST_TEXT = 6000  # longest text, in characters
MOST_VALUE = 600  # longest value, in characters


def signature_text(module: Module) -> str:
    """The signature of a module."""
    return f"{module.role} {module.name}({', '.join(module.inputs)}) -> {show(module.result)}"


def current_instruction(parameters: Parameters, module: Module) -> str:
    """The instruction that a module has now."""
    own = parameters.modules.get(module.name)
    return module.slots.instruction if own is None or own.instruction is None else own.instruction


def rows_text(rows: Sequence[Row], count: int = 10) -> str:
    """Some rows as JSON lines."""
    return cut("\n".join(value_text(row.values) for row in rows[:count]))


def demos_text(demos: Iterable[Demo]) -> str:
    """Demonstrations as lines of inputs and outputs."""
    return cut("\n".join(f"{value_text(d.inputs)} -> {value_text(d.outputs)}" for d in demos))


def runs_text(runs: Sequence[Run], module: str, inputs: Iterable[str]) -> str:
    """Runs with the calls of a module, the result and the feedback."""
    return cut("\n\n".join(_run_text(i, run, module, set(inputs)) for i, run in enumerate(runs, 1)))


def _run_text(number: int, run: Run, module: str, inputs: set[str]) -> str:
    shown = {name: value for name, value in run.values.items() if name in inputs}
    lines = [f"Run {number}, inputs of the program: {value_text(shown)}"]
    for call in run.trace.calls:
        if call.module == module:
            answer = call.raw[-1] if call.raw else ""
            lines += [f"The module got: {value_text(call.inputs)}", f"It answered: {short(answer)}"]
    lines.append(f"Result of the program: {value_text(run.pred)}")
    lines.append(f"Feedback: {feedback_text(run, inputs)}")
    return "\n".join(lines)


def feedback_text(run: Run, inputs: set[str]) -> str:
    """The score and the feedback of the metric, or else the expected values."""
    gold = {name: value for name, value in run.values.items() if name not in inputs}
    score = "no score" if run.score is None else f"score {run.score:g}"
    parts = [score, f"failed: {run.error}" if run.failed else "", run.feedback]
    if gold and not run.feedback:
        parts.append(f"expected {value_text(gold)}")
    return "; ".join(part for part in parts if part)


def value_text(value: Any) -> str:
    """A value as JSON, cut if it is long."""
    if isinstance(value, Mapping):
        value = {k: short(v) if isinstance(v, str) else v for k, v in value.items()}
    return short(json.dumps(value, ensure_ascii=False, default=str))


def short(text: str) -> str:
    """A value, cut to MOST_VALUE characters."""
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]} …"


def cut(text: str) -> str:
    """A text, cut to MOST_TEXT characters."""
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} …"
