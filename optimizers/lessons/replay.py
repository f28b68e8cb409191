"""Good runs of rounds before, which policy gradients learn from again beside those of now.

Source: SPEAR, Qin et al. 2025, arXiv 2509.22601, after Self-Imitation Learning, Oh et al. 2018,
arXiv 1806.05635. As there, what was good is learnt only while it is better than what is usual now.
It differs in that what is usual now is the mean of the row's own samples, which each round makes
anew, and in that there is no curriculum.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lmc.optimizers.lessons.recipe import Round
from lmc.runtime.parameters import Parameters
from lmc.traces import selectors
from lmc.traces.store import Run


@dataclass(slots=True)
class Past:
    """What a training remembers: the parameters at its start, and the best runs of each row."""

    start: Parameters
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def recalled(self, turn: Round) -> Round:
        """A round with the runs of earlier ones that it may learn from; remember its own best."""
        if not turn.recipe.replay:
            return turn
        groups = selectors.by_row(run for run in turn.runs if run.score is not None)
        earlier = [run for row in groups for run in self.runs.get(row, ())]
        for row, group in groups.items():
            known = [*group, *self.runs.get(row, ())]
            best = sorted(known, key=lambda run: -(run.score or 0.0))  # of equal ones the newest
            self.runs[row] = best[: turn.recipe.replay]
        return replace(turn, earlier=earlier)
