"""Asks a model to reflect on runs, and finds out whether it can write instructions at all."""

from __future__ import annotations

from collections.abc import Sequence

from lmc.ir.provenance import Module
from lmc.optimizers.assistant.ask import Question
from lmc.optimizers.assistant.describing import current_instruction, runs_text, signature_text
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.racing import beyond_chance
from lmc.optimizers.candidates.trials import PLAIN
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.demonstrations import input_names
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run

ASKED = 3  # instructions that the model is asked for
SHOWN_ROWS = 3  # runs that it sees
TRIED_ROWS = 8  # select rows on which its instructions are compared with the current one
RUNS = SHOWN_ROWS + ASKED + (ASKED + 1) * TRIED_ROWS  # the most that the probe costs


def reflection(
    parameters: Parameters, context: Context, module: Module, runs: Sequence[Run], sample: int
) -> Question:
    """The question for a better instruction of a module, in view of some runs."""
    inputs = {
        "program": context.source,
        "module": signature_text(module),
        "current": current_instruction(parameters, module),
        "runs": runs_text(runs, module.name, input_names(context.program, context.target)),
    }
    return Question("reflect", inputs, sample=sample)


async def writes_instructions(
    start: Parameters, context: Context, module: Module
) -> tuple[bool, str]:
    """Whether one of three rewritten instructions of a module is not clearly worse than its own.

    The text has the figures. Unusable answers count as failures of the model. The questions show
    the runs in different orders, since a server may give equal answers to equal questions. Raises:
    BudgetExceeded.
    """
    rows = shuffled(context, "ability")[:SHOWN_ROWS]
    runs = await make_runs(start, context, rows, PLAIN, "runs to reflect on")
    orders = [[*runs[i:], *runs[:i]] for i in range(ASKED)]
    questions = [reflection(start, context, module, o, i) for i, o in enumerate(orders)]
    texts = await context.assistant.texts(questions)
    if not texts:
        return False, f"none of {ASKED} answers is an instruction"
    written = [start.with_slots(module.name, instruction=text) for text in texts]
    select = context.select[:TRIED_ROWS]
    before, *after = await context.trials.scores("trying the model", [start, *written], select)
    old, best = sum(before.values()), max(sum(scores.values()) for scores in after)
    worse = all(beyond_chance(scores, before) for scores in after)
    rewritten = f"the best of {len(texts)} rewritten instructions scores {best:.3g}"
    return not worse, f"{rewritten} on {len(select)} rows, the current one {old:.3g}"
