"""How good verdicts are: accuracy, area under the ROC curve, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from lmc.frozen import frozen

_BINS = 10


@frozen
class Judging:
    """Measures of verdicts. `auc` is None if all labels are alike.

    `auc` is the probability that something right is rated above something wrong. `calibration` is
    the expected calibration error: how far ratings are from the share that is right, over ten bins.
    """

    count: int
    accuracy: float
    auc: float | None
    calibration: float

    def __str__(self) -> str:
        auc = "" if self.auc is None else f", AUC {self.auc:.2f}"
        figures = f"accuracy {self.accuracy:.2f}{auc}, calibration error {self.calibration:.2f}"
        return f"{figures} on {self.count} verdicts"


def judging(ratings: Sequence[float], said: Sequence[bool], labels: Sequence[bool]) -> Judging:
    """Measure verdicts (`said`) and ratings from 0 to 1 against what is so.

    Source: calibration, Guo et al. 2017, arXiv 1706.04599, section 2.
    """
    right = [verdict == label for verdict, label in zip(said, labels, strict=True)]
    return Judging(
        count=len(labels),
        accuracy=fmean(right) if right else 0.0,
        auc=area(ratings, labels),
        calibration=_calibration(ratings, labels),
    )


def area(ratings: Sequence[float], labels: Sequence[bool]) -> float | None:
    """The area under the ROC curve, by ranks; ties count half. None if all labels are alike."""
    positives = sum(labels)
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    order = sorted(range(len(ratings)), key=lambda i: ratings[i])
    ranks, i = [0.0] * len(order), 0
    while i < len(order):
        j = i
        while j < len(order) and ratings[order[j]] == ratings[order[i]]:
            j += 1
        for k in range(i, j):
            ranks[order[k]] = (i + 1 + j) / 2
        i = j
    total = sum(rank for rank, label in zip(ranks, labels, strict=True) if label)
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def _calibration(ratings: Sequence[float], labels: Sequence[bool]) -> float:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for rating, label in zip(ratings, labels, strict=True):
        bins.setdefault(min(int(rating * _BINS), _BINS - 1), []).append((rating, label))
    gaps = [
        len(some) * abs(fmean(r for r, _ in some) - fmean(label for _, label in some))
        for some in bins.values()
    ]
    return sum(gaps) / len(labels) if labels else 0.0
