"""Biases of a model that judges: for an order, for long answers, and for its own.

Sources: order, Zheng et al. 2023, arXiv 2306.05685, section 3.4; length, Dubois et al. 2024, arXiv
2404.04475; own answers, Panickssery et al. 2024, arXiv 2404.13076.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from lmc.frozen import frozen
from lmc.ir.provenance import result_provenance
from lmc.measure.statistics import gain_p_value
from lmc.optimizers.assistant.describing import value_text
from lmc.optimizers.assistant.preference import Shown, in_both_orders, settled
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.bounds import Bounds
from lmc.optimizers.lessons.demonstrations import gold_outputs, input_names
from lmc.prompts.spec import BARE
from lmc.traces import selectors
from lmc.traces.store import Run

FEWEST = 6  # verdicts that can show a bias
GOLD_ROWS = 8  # rows on which own wrong answers are judged against labels
CHANCE = 0.05


@frozen
class JudgeBias:
    """The share of verdicts that hang on the order, and of wins of the longer answer.

    The latter counts pairs that the metric scores alike, or all where there is no score. `own` is
    the share of own wrong answers that beat the label. Each is None if too few verdicts show it.
    """

    order: float | None
    longer: float | None
    own: float | None

    def __str__(self) -> str:
        named = {"the order decides": self.order, "the longer wins": self.longer}
        named["own wrong answers beat labels"] = self.own
        told = [f"{name} {share:.0%}" for name, share in named.items() if share is not None]
        return f"of its verdicts, {', '.join(told)}" if told else "too few verdicts to see a bias"

    def problems(self, bounds: Bounds) -> list[str]:
        """The bounds that the judge passes, in words."""
        found = []
        if self.order is not None and bounds.order is not None and self.order > bounds.order:
            found.append(f"{self.order:.0%} of its verdicts hang on the order")
        if self.longer is not None and bounds.longer is not None and self.longer > bounds.longer:
            found.append(f"the longer of two equal answers wins {self.longer:.0%} of the time")
        if self.own is not None and bounds.self is not None and self.own > bounds.self:
            found.append(f"{self.own:.0%} of the program's wrong answers beat the label")
        return found


def bias_of(
    pairs: Sequence[tuple[Run, Run]],
    verdicts: Sequence[tuple[float, float]],
    own: Sequence[float] = (),
) -> JudgeBias:
    """The biases in verdicts on pairs of runs. `own` are those on own answers against labels."""
    said = [v for v in verdicts if v != (0.5, 0.5)]
    order = [straight != turned for straight, turned in said]
    longer = [
        settled(*verdict) if _length(other) > _length(one) else 1 - settled(*verdict)
        for (one, other), verdict in zip(pairs, verdicts, strict=True)
        if settled(*verdict) != 0.5 and _length(one) != _length(other) and one.score == other.score
    ]
    chosen = len(longer) >= FEWEST and gain_p_value([0.5] * len(longer), longer) <= CHANCE
    return JudgeBias(
        order=fmean(order) if len(order) >= FEWEST else None,
        longer=fmean(longer) if chosen else None,
        own=fmean(own) if len(own) >= FEWEST else None,
    )


async def against_labels(
    context: Context, task: str, runs: Sequence[Run], threshold: float, judge: str | None
) -> list[float]:
    """On rows with a wrong answer and a label: 1 where the answer wins, 0 where the label does."""
    names = input_names(context.program, context.target)
    labelled = list(result_provenance(context.program, context.target).values())
    shown: list[Shown] = []
    for group in selectors.by_row(runs).values():
        wrong = [r for r in group if not r.failed and r.score is not None and r.score < threshold]
        if not wrong or len(shown) == GOLD_ROWS:
            continue
        values = wrong[0].values
        for one in labelled:
            if gold := gold_outputs(one, values, names):
                label: Any = gold[BARE] if gold.keys() == {BARE} else gold
                inputs = {name: value for name, value in values.items() if name in names}
                shown.append((inputs, label, wrong[0].pred))
                break
    found = await in_both_orders(context.assistant, task, shown, judge)
    return [settled(*verdict) for verdict in found]


def _length(run: Run) -> int:
    return len(value_text(run.pred))
