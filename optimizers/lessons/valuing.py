"""What the steps of runs are worth: the mean score of runs that go on from them.

Source: Monte Carlo values of steps, Math-Shepherd, Wang et al. 2023, arXiv 2312.08935, section 3.3
(soft estimation); as advantages of policy gradients: VinePPO, Kazemnejad et al. 2024, arXiv
2410.01679, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from lmc.frozen import frozen
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.acquiring import make_runs
from lmc.optimizers.lessons.comparing import by_module, grouped, scored_row
from lmc.optimizers.lessons.recipe import PAIRED, Round
from lmc.optimizers.lessons.watching import RUNS_SHARE
from lmc.optimizers.lessons.weights import Lessons
from lmc.runtime.traces import CallTrace, Place
from lmc.tasks.together import for_all
from lmc.traces.selectors import Pair, by_row, question_of
from lmc.traces.store import Run
from lmc.training.rows import Row as TrainedRow

_Key = tuple[object, ...]


@frozen
class Branch:
    """A place in a run from which other runs go on. What stands before it is as in the run."""

    run: Run
    place: Place

    @classmethod
    def after(cls, run: Run, call: CallTrace) -> Branch:
        """The place right behind an answer."""
        return cls(run, (*call.place, 0))

    @property
    def key(self) -> _Key:
        """Equal for runs of a row that are alike so far."""
        said = ((c.place, c.raw[-1:]) for c in self.run.trace.calls if c.place < self.place)
        return self.run.row, self.place, str(list(said))

    @property
    def is_end(self) -> bool:
        """Whether no model is asked behind it."""
        return all(call.place < self.place for call in self.run.trace.calls)


async def values_at(turn: Round, nodes: Sequence[Branch]) -> dict[_Key, float]:
    """The mean score of `values` runs that go on from each node, by the keys of the nodes.

    A run is worth its score where nothing follows. Nodes for which the budget is too small have no
    value. Raises: BudgetExceeded.
    """
    found: dict[_Key, float] = {}
    wanted: dict[_Key, Branch] = {}
    for node in nodes:
        if node.is_end:
            found[node.key] = node.run.score or 0.0
        else:
            wanted.setdefault(node.key, node)
    count = turn.recipe.values
    most = int(min(len(wanted), turn.context.trials.runs_left() * RUNS_SHARE / count))
    some = list(wanted.items())[:most]

    async def value(_: int, item: tuple[_Key, Branch]) -> float | None:
        return await _value(turn, item[1], count)

    known = await for_all(some, value, in_flight=64)
    found.update((key, v) for (key, _), v in zip(some, known, strict=True) if v is not None)
    turn.context.tell(f"{len(found)} steps were valued, {most} of them by {count} runs each")
    return found


async def _value(turn: Round, node: Branch, count: int) -> float | None:
    rows = {row.id: row for row in (*turn.context.train, *(one.row for one in turn.made))}
    row = rows.get(node.run.row)
    if row is None:
        return None
    plain = turn.recipe.sampling().modes()[0]
    scores: list[float] = []
    for number in range(1, count + 1):
        mode = Mode(
            training=True, sample=node.run.sample, temperature=plain.temperature,
            target=plain.target, metric=plain.metric, node=node.place, anew=number,
        )  # fmt: skip
        runs = await make_runs(turn.leader, turn.context, [row], mode, "valuing")
        scores += [run.score for run in runs if run.score is not None]
    return fmean(scores) if scores else None


async def by_values(turn: Round) -> Lessons:
    """Steps by what they are worth: with policy gradients, by how much each adds to the value."""
    steps = [
        (run, call)
        for run in turn.runs
        if run.score is not None
        for call in run.trace.calls
        if _is_step(turn.context, call)
    ]
    nodes = {(id(run), call.place): Branch.after(run, call) for run, call in steps}
    values = await values_at(turn, list(nodes.values()))
    worth = {key: values[node.key] for key, node in nodes.items() if node.key in values}

    def of(run: Run, call: CallTrace) -> float | None:
        return worth.get((id(run), call.place))

    if turn.recipe.loss in PAIRED:
        return by_module(_pairs(steps, of), even=turn.recipe.even)
    means = {row: fmean(r.score or 0.0 for r in group) for row, group in by_row(turn.runs).items()}
    return grouped(_gains(steps, of, means))


def _is_step(context: Context, call: CallTrace) -> bool:
    answers = bool(call.raw) and call.outputs is not None and not call.infrastructure
    return answers and call.role != "critique" and call.module in context.modules()


_Of = Callable[[Run, CallTrace], float | None]
_Steps = Sequence[tuple[Run, CallTrace]]


def _gains(
    steps: _Steps, of: _Of, means: Mapping[str, float]
) -> list[tuple[CallTrace, TrainedRow]]:
    """Answers with their value, and as baseline the value of the step before or of the row."""
    found: list[tuple[CallTrace, TrainedRow]] = []
    before: dict[int, float] = {}
    for run, call in steps:  # in the order of each run
        value, base = of(run, call), before.get(id(run), means[run.row])
        if value is not None:
            before[id(run)] = value
            if value != base:
                found.append((call, scored_row(call, value, base)))
    return found


def _pairs(steps: _Steps, of: _Of) -> list[Pair]:
    """The best and the worst answer to each prompt, by value."""
    asked: dict[_Key, list[tuple[float, CallTrace]]] = {}
    for run, call in steps:
        if (value := of(run, call)) is not None:
            asked.setdefault(question_of(call), []).append((value, call))
    found = []
    for answers in asked.values():
        (low, worst), (high, best) = (f(answers, key=lambda a: a[0]) for f in (min, max))
        if high > low and best.raw[-1] != worst.raw[-1]:
            found.append(Pair(best, worst, high - low))
    return found
