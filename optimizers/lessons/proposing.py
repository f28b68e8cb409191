"""What a module that makes rows learns: to make rows at the edge of what the solver can do.

Source: the proposer's reward of self-play, as in Absolute Zero, Zhao et al. 2025, arXiv 2505.03335,
section 3.1: rows that the solver never or always gets right are worth nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev

from lmc.optimizers.lessons.comparing import grouped, pair_row, scored_row
from lmc.optimizers.lessons.recipe import PAIRED, Round
from lmc.optimizers.lessons.weights import Lessons
from lmc.runtime.traces import CallTrace
from lmc.traces import selectors
from lmc.traces.led import led_calls
from lmc.traces.selectors import Pair
from lmc.traces.store import Run
from lmc.training.rows import Row, TrainingRow


def edge(rate: float) -> float:
    """The reward of a row that is solved at this rate: 1 at one half, 0 at none and at all."""
    return 1.0 - 2.0 * abs(rate - 0.5)


def proposals(turn: Round) -> Lessons:
    """The calls that made rows, with the reward that the runs on their rows earn them."""
    groups = selectors.by_row(run for run in turn.runs if run.score is not None)
    rates = {row: fmean(_right(run, turn) for run in group) for row, group in groups.items()}
    worth: dict[str, tuple[Run, list[float]]] = {}
    for one in turn.made:
        if one.row.id in rates:
            known = worth.setdefault(one.run.id, (one.run, []))
            known[1].append(edge(rates[one.row.id]))
    earned = [(run, fmean(rewards)) for run, rewards in worth.values()]
    if turn.made:
        mean = fmean(reward for _, reward in earned) if earned else 0.0
        turn.context.tell(f"proposals earn {mean:.2f} on average, 1 at the edge of ability")
    return grouped(_rows(earned, turn))


def _right(run: Run, turn: Round) -> float:
    return float((run.score or 0.0) >= turn.recipe.threshold)


def _rows(earned: Sequence[tuple[Run, float]], turn: Round) -> list[tuple[CallTrace, Row]]:
    rewards = [reward for _, reward in earned]
    mean, spread = (fmean(rewards), pstdev(rewards)) if rewards else (0.0, 0.0)
    if spread == 0:
        return []
    loss, found = turn.recipe.loss, list[tuple[CallTrace, Row]]()
    if loss in PAIRED:
        return _pairs(earned, mean)
    for run, reward in earned:
        for call in led_calls(run, right=False):
            if not call.raw:
                continue
            if loss == "sft":
                if reward >= mean:
                    answer = call.raw[-1].strip()
                    row = TrainingRow(tuple(call.messages), answer, sampled=call.sampled)
                    found.append((call, row))
            elif loss == "pg":
                found.append((call, scored_row(call, (reward - mean) / spread, 0.0)))
            else:
                found.append((call, scored_row(call, float(reward > mean), 0.5)))
    return found


def _pairs(earned: Sequence[tuple[Run, float]], mean: float) -> list[tuple[CallTrace, Row]]:
    """Better proposals against worse ones that were asked for alike."""
    better: dict[str, CallTrace] = {}
    found: list[tuple[CallTrace, Row]] = []
    ranked = sorted(earned, key=lambda pair: -pair[1])
    calls = [(c, reward) for run, reward in ranked for c in led_calls(run, right=False) if c.raw]
    for call, reward in calls:
        best = better.setdefault(f"{call.module} {call.messages}", call)
        if reward < mean and best.raw[-1] != call.raw[-1]:
            found.append((call, pair_row(Pair(best, call))))
    return found
