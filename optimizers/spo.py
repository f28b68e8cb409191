"""Improves instructions without labels: a judge compares outputs, and the preferred one stays.

Source: Self-Supervised Prompt Optimization, Xiang et al. 2025, arXiv 2502.06855, algorithm 1.
Difference: each pair is judged in both orders. If the verdict depends on the order, it is a draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmc.measure.rows import Row
from lmc.optimizers.assistant.ask import Question, clean
from lmc.optimizers.assistant.describing import (
    current_instruction,
    cut,
    rows_text,
    signature_text,
    value_text,
)
from lmc.optimizers.assistant.preference import preferred
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.trials import PLAIN
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.demonstrations import input_names
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run


@optimizer(
    paper="Self-Supervised Prompt Optimization, Xiang et al. 2025, arXiv 2502.06855",
)
async def spo(
    start: Parameters,
    context: Context,
    *,
    rounds: int,
    rows: int,
    proposer: str | None,
    judge: str | None,
) -> Parameters:
    """Rewrite instructions and keep those whose outputs a judge prefers, without labels.

    Each of the `rounds` compares outputs on `rows` train rows. `proposer` writes the instructions,
    and `judge` compares. The metric of the run, such as `preference`, still decides at the gate.
    """
    modules = [m for m in context.modules().values() if not m.slots.frozen]
    asked = shuffled(context, "spo")[:rows]
    if not modules or not asked:
        context.tell("spo needs train rows and an instruction that may be changed")
        return start
    best = start
    with context.until_spent():
        for number in range(rounds):
            if context.trials.runs_left() < 2 * len(asked):
                break
            module = modules[number % len(modules)]
            before = await make_runs(best, context, asked, PLAIN, "outputs to compare")
            inputs = {
                "task": signature_text(module),
                "current": current_instruction(best, module),
                "answers": _outputs(asked, before),
            }
            (text,) = await context.assistant.ask([Question("rewrite", inputs, number)], proposer)
            if not text or not clean(text):
                continue
            changed = best.with_slots(module.name, instruction=clean(text))
            after = await make_runs(changed, context, asked, PLAIN, "outputs to compare")
            won = await _won(context, asked, before, after, judge)
            context.tell(f"round {number + 1}, {module.name}: preference {won:+.2f} (from -1 to 1)")
            if won > 0:
                best = changed
    return best


async def _won(
    context: Context,
    rows: Sequence[Row],
    before: Sequence[Run],
    after: Sequence[Run],
    judge: str | None,
) -> float:
    """How much the judge prefers the second outputs, from -1 to 1."""
    task = context.source
    names = input_names(context.program, context.target)
    first, second = ({run.row: run.pred for run in runs} for runs in (before, after))
    pairs = [
        ({n: row.values[n] for n in names if n in row.values}, first[row.id], second[row.id])
        for row in rows
        if row.id in first and row.id in second
    ]
    scores = await preferred(context.assistant, task, pairs, judge)
    return 2 * sum(scores) / len(scores) - 1 if scores else 0.0


def _outputs(rows: Sequence[Row], runs: Sequence[Run]) -> str:
    found = {run.row: run.pred for run in runs}
    return cut("\n".join(f"{rows_text([row])} -> {value_text(found.get(row.id))}" for row in rows))
