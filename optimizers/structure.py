"""Explicit reasoning structures: steps become fields that a module fills in before it answers.

Source: Self-Discover, Zhou et al. 2024, arXiv 2402.03620 (select, adapt, implement), and
Auto-Evolve, Aswani et al. 2024, arXiv 2410.06328 (without given modules). Differences: the
structure is part of the module's output type, so that each step is read, checked and traced.
Several structures race.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lmc.ir.provenance import Module
from lmc.optimizers.assistant.ask import Question
from lmc.optimizers.assistant.describing import current_instruction, rows_text, signature_text
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.lessons.acquiring import shuffled
from lmc.prompts.spec import BARE, REASONING
from lmc.runtime.parameters import Parameters
from lmc.types import RecordType

MOVES = (
    "break the problem into smaller ones",
    "write down what is known and what is asked",
    "work backwards from what is asked",
    "make a list of the cases and go through them",
    "compute one thing at a time, and keep the results",
    "look for what is left out or assumed",
    "think of a simpler problem of the same kind",
    "name the rule or definition that decides",
    "compare the options one by one",
    "look for evidence for and against",
    "check the result with another way of getting it",
    "look for what makes the problem hard, and deal with that first",
    "put the events or things in order",
    "draw up a table of who has what",
    "say it again in your own words",
    "consider how an expert would go about it",
)


@optimizer(
    paper="Self-Discover, Zhou et al. 2024, arXiv 2402.03620",
)
async def structure(
    start: Parameters,
    context: Context,
    *,
    candidates: int,
    evolve: bool,
    proposer: str | None,
) -> Parameters:
    """Compose reasoning steps for each module, which fills them in before it answers.

    `candidates` structures race for each `generate` module. With `evolve`, the model invents the
    ways of reasoning instead of selecting from a list.
    """
    best = start
    with context.until_spent():
        for module in context.modules().values():
            if module.role != "generate" or module.slots.frozen:
                continue
            found = await _structures(best, context, module, candidates, evolve, proposer)
            rivals = [
                Candidate(f"{module.name}: {', '.join(n for n, _ in steps)}", changed, len(steps))
                for steps in found
                for changed in [best.with_slots(module.name, steps=steps)]
            ]
            if not rivals:
                context.tell(f"the model composed no structure for `{module.name}`")
                continue
            best = await best_of(Candidate("start", best), rivals, context)
    return best


async def _structures(
    start: Parameters,
    context: Context,
    module: Module,
    count: int,
    evolve: bool,
    proposer: str | None,
) -> list[tuple[tuple[str, str], ...]]:
    """Steps as names with notes."""
    rows = rows_text(shuffled(context, f"structure/{module.name}"), 4)
    told = current_instruction(start, module)
    task = f"{signature_text(module)}\n{told}\nExamples of rows:\n{rows}"
    given = "think of modules that fit this task" if evolve else "\n".join(MOVES)

    async def ask(name: str, modules: Sequence[str]) -> list[Any]:
        asked = [
            Question(name, {"task": task, "modules": text}, sample=i)
            for i, text in enumerate(modules)
        ]
        answers = await context.assistant.ask(asked, proposer)
        return [answer for answer in answers if answer]

    selected = await ask("select_steps", [given] * count)
    adapted = await ask("adapt_steps", selected)
    composed = await ask("compose_steps", adapted)
    found = (_steps(answer, module) for answer in composed)
    return list(dict.fromkeys(steps for steps in found if steps))


def _steps(composed: Sequence[Any], module: Module) -> tuple[tuple[str, str], ...]:
    """Names that are valid fields, each with its note."""
    own = [f.name for f in module.result.fields] if isinstance(module.result, RecordType) else []
    taken = {*module.inputs, BARE, REASONING, *own}
    found: dict[str, str] = {}
    for step in composed:
        name = re.sub(r"\W+", "_", str(step["name"]).strip().lower()).strip("_")
        name = name if name and name[0].isalpha() else f"step_{name}"
        name = f"{name}_step" if name in taken else name
        found.setdefault(name, " ".join(str(step["note"]).split()))
    return tuple(found.items())
