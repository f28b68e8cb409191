"""Health checks of self-training: signs of collapse after a round.

Sources: diversity and separation, B-STaR, Zeng et al. 2024, arXiv 2412.17256, section 2; the gap,
Mind the Gap, Song et al. 2024, arXiv 2412.02674, section 3; the share of hard rows, tail narrowing,
Ding et al. 2024, arXiv 2411.00750. Drift of length and repetition are the usual signs of collapse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean, pstdev

from lmc.frozen import frozen
from lmc.traces.selectors import agreement, by_row, result_key
from lmc.traces.store import Run

MOST_LENGTH_DRIFT = 2.0  # mean length, as a ratio
MOST_REPETITION_RISE = 0.15  # share of repeated 4-grams
LEAST_DIVERSITY_KEPT = 0.5  # smallest ratio of the shares of distinct results
_GRAM = 4


@frozen
class Health:
    """Measures of a set of runs. All but `runs` and `words` are between 0 and 1.

    `distinct` is the share of different results. `agreement` is the share of runs with the most
    frequent result of their row. `separation` is the mean spread of the scores of a row. `gap` is
    the mean difference between the best and the average score of a row, the most that choosing by
    score can gain. `hard` is the share of accepted runs that come from rows on which most runs
    failed. `words` is the mean length of an answer. `repetition` is the share of repeated 4-grams.
    """

    runs: int
    accepted: float
    distinct: float
    agreement: float
    separation: float
    gap: float
    hard: float
    words: float
    repetition: float

    def __str__(self) -> str:
        return (
            f"{self.accepted:.0%} accepted, {self.hard:.0%} of them on hard rows,"
            f" agreement {self.agreement:.2f}, separation {self.separation:.2f}, gap"
            f" {self.gap:.2f}, {self.words:.0f} words an answer, {self.repetition:.0%} repeated"
        )


def health(runs: Sequence[Run], threshold: float) -> Health:
    """Measure some runs."""
    groups = list(by_row(runs).values())
    accepted = [_accepted(run, threshold) for run in runs]
    hard = sum(sum(a) for a in _by_group(groups, threshold) if 2 * sum(a) < len(a))
    texts = [call.raw[-1].split() for run in runs for call in run.trace.calls if call.raw]
    scored = [[run.score or 0.0 for run in group] for group in groups]
    return Health(
        runs=len(runs),
        accepted=_mean(accepted),
        distinct=len({result_key(run) for run in runs}) / max(1, len(runs)),
        agreement=_mean([agreement(group) for group in groups]),
        separation=_mean([pstdev(scores) for scores in scored]),
        gap=_mean([max(scores) - fmean(scores) for scores in scored]),
        hard=hard / max(1, sum(accepted)),
        words=_mean([len(text) for text in texts]),
        repetition=_mean([_repeated(text) for text in texts]),
    )


def tripped(before: Health, after: Health) -> list[str]:
    """The reasons to reject the weights behind `after`, in words. Empty if there are none."""
    found = []
    if before.words and after.words:
        drift = after.words / before.words
        if not 1 / MOST_LENGTH_DRIFT <= drift <= MOST_LENGTH_DRIFT:
            found.append(f"answers changed from {before.words:.0f} to {after.words:.0f} words")
    if after.repetition - before.repetition > MOST_REPETITION_RISE:
        found.append(f"{after.repetition:.0%} of the text in the answers is repetition")
    narrowed = after.distinct < LEAST_DIVERSITY_KEPT * before.distinct
    if narrowed and after.accepted <= before.accepted:
        found.append("different rows get the same answer")
    return found


def balance(groups: Sequence[Sequence[Run]], threshold: float, wanted: int) -> float:
    """The balance score: how many different correct answers such runs give to learn from.

    Source: B-STaR, equation 3: min(u / wanted, 1) * u / n on each row, with u different accepted
    answers among n runs.
    """
    scores = []
    for group in groups:
        kept = {_answer(run) for run in group if _accepted(run, threshold)}
        scores.append(min(len(kept) / wanted, 1.0) * len(kept) / len(group))
    return _mean(scores)


def _answer(run: Run) -> tuple[str, ...]:
    return tuple(call.raw[-1] for call in run.trace.calls if call.raw)


def _by_group(groups: Sequence[Sequence[Run]], threshold: float) -> list[list[bool]]:
    return [[_accepted(run, threshold) for run in group] for group in groups]


def _accepted(run: Run, threshold: float) -> bool:
    return run.score is not None and run.score >= threshold


def _repeated(words: Sequence[str]) -> float:
    grams = Counter(tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1))
    total = sum(grams.values())
    return (total - len(grams)) / total if total else 0.0


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
