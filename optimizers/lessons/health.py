"""Health checks of self-training: what some runs look like, and signs of collapse after a round.

Sources: diversity and separation, B-STaR, Zeng et al. 2024, arXiv 2412.17256, section 2; the gap,
Mind the Gap, Song et al. 2024, arXiv 2412.02674, section 3; the share of hard rows, tail narrowing,
Ding et al. 2024, arXiv 2411.00750. Drift of length and repetition are the usual signs of collapse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev

from lmc.frozen import frozen
from lmc.measure.statistics import gain_p_value
from lmc.optimizers.lessons.bounds import DEFAULT, Bounds
from lmc.traces.selectors import agreement, by_row, result_key
from lmc.traces.store import Run

CHANCE = 0.05  # a drift is no accident if it is this unlikely by the rows
MIN_ROWS = 4  # fewer rows show no drift
_GRAM = 4


@frozen
class Health:
    """Measures of a set of runs. All but `runs` and `words` are between 0 and 1.

    `distinct` is the share of different results. `agreement` is the share of runs with the most
    frequent result of their row. `separation` is the mean spread of the scores of a row. `gap` is
    the mean difference between the best and the average score of a row, the most that choosing by
    score can gain. `hard` is the share of accepted runs that come from rows on which most runs
    failed. `words` is the mean length of an answer, and `variety` the share of different words.
    `repetition` is the share of repeated 4-grams.
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
    variety: float = 0.0

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
    texts = _texts(runs)
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
        variety=_variety(runs),
    )


def tripped(
    before: Sequence[Run], after: Sequence[Run], threshold: float, bounds: Bounds = DEFAULT
) -> list[str]:
    """The reasons to reject the weights behind `after`, in words. Empty if there are none.

    Both have runs of the same rows. A mean must be beyond its bound, and the rows must agree that
    this is no accident.
    """
    one, other = by_row(before), by_row(after)
    pairs = [(one[row], other[row]) for row in one if row in other]
    if len(pairs) < MIN_ROWS:
        return []
    old, new = (health([run for pair in pairs for run in pair[i]], threshold) for i in (0, 1))
    found = [*_drifted(pairs, old, new, bounds)]
    if new.accepted <= old.accepted:
        found += _collapsed(pairs, old, new, bounds)
    if bounds.hard is not None and (words := _tail(pairs, threshold, bounds.hard)):
        found.append(words)
    return found


Pairs = Sequence[tuple[Sequence[Run], Sequence[Run]]]  # the runs of a row before and after


def _drifted(pairs: Pairs, old: Health, new: Health, bounds: Bounds) -> list[str]:
    found = []
    if bounds.length is not None and old.words and new.words:
        longer, shorter = (
            new.words > bounds.length * old.words,
            new.words < old.words / bounds.length,
        )
        if (longer and _rises(pairs, _words)) or (shorter and _falls(pairs, _words)):
            found.append(f"answers changed from {old.words:.0f} to {new.words:.0f} words")
    rise = new.repetition - old.repetition
    if bounds.repetition is not None and rise > bounds.repetition and _rises(pairs, _repetition):
        found.append(f"{new.repetition:.0%} of the text in the answers is repetition")
    return found


def _collapsed(pairs: Pairs, old: Health, new: Health, bounds: Bounds) -> list[str]:
    """What narrows although no more runs are accepted."""
    found = []
    if bounds.diversity is not None and new.distinct < bounds.diversity * old.distinct:
        found.append("different rows get the same answer")
    if bounds.variety is not None and new.variety < bounds.variety * old.variety:
        found.append(
            f"the share of different words fell from {old.variety:.2f} to {new.variety:.2f}"
        )
    rise = new.agreement - old.agreement
    if bounds.agreement is not None and rise > bounds.agreement and _rises(pairs, agreement):
        found.append(
            f"samples agree more ({old.agreement:.2f} to {new.agreement:.2f}) and are not right"
            " more often"
        )
    narrow = bounds.separation is not None and new.separation < bounds.separation * old.separation
    if narrow and _falls(pairs, _spread):
        found.append(
            f"scores tell answers apart less: their spread fell from {old.separation:.2f} to"
            f" {new.separation:.2f}"
        )
    return found


def _tail(pairs: Pairs, threshold: float, least: float) -> str:
    """What was right at times on hard rows and no longer is; empty if that holds."""
    hard = [pair for pair in pairs if 0 < _rate(pair[0], threshold) < 0.5]
    if len(hard) < MIN_ROWS:
        return ""
    before, after = (fmean(_rate(pair[i], threshold) for pair in hard) for i in (0, 1))
    if after >= least * before or not _falls(hard, lambda group: _rate(group, threshold)):
        return ""
    return f"hard rows are right less often: {before:.0%} before, {after:.0%} after"


def _rises(pairs: Pairs, measure: Callable[[Sequence[Run]], float]) -> bool:
    """Whether a measure of rows rises by more than chance."""
    old, new = ([measure(pair[i]) for pair in pairs] for i in (0, 1))
    return gain_p_value(old, new) <= CHANCE


def _falls(pairs: Pairs, measure: Callable[[Sequence[Run]], float]) -> bool:
    return _rises([(after, before) for before, after in pairs], measure)


@frozen
class Kept:
    """What is learnt from, compared with all that was sampled.

    `gap` is how much better it scores on the same rows, the gap between generation and
    verification. `chance` is how likely so low a gap is if nothing was chosen. `hard` is the share
    of it that comes from hard rows, and `hard_rows` the share of such rows.
    """

    rows: int
    gap: float
    chance: float
    hard: float
    hard_rows: float


def kept_of(runs: Sequence[Run], kept: Sequence[Run], threshold: float) -> Kept:
    """Compare the runs that are learnt from with all runs."""
    groups, chosen = by_row(runs), by_row(kept)
    pairs = [(_score(groups[row]), _score(own)) for row, own in chosen.items() if row in groups]
    hard = {row for row, group in groups.items() if _rate(group, threshold) < 0.5}
    return Kept(
        rows=len(pairs),
        gap=_mean([after - before for before, after in pairs]),
        chance=gain_p_value([a for _, a in pairs], [b for b, _ in pairs]) if pairs else 1.0,
        hard=_mean([run.row in hard for run in kept]),
        hard_rows=_mean([row in hard for row in groups]),
    )


def unfit(kept: Kept, first: Kept, bounds: Bounds) -> list[str]:
    """The reasons not to learn from this, in words. `first` is that of the first round."""
    found = []
    worse = kept.rows >= MIN_ROWS and kept.chance <= CHANCE
    if bounds.gap is not None and kept.gap < bounds.gap and worse:
        found.append(f"what is learnt from scores {-kept.gap:.2f} less than what was sampled")
    if bounds.kept is not None and first.hard and kept.rows >= MIN_ROWS:
        left = kept.hard_rows >= bounds.kept * first.hard_rows
        if kept.hard < bounds.kept * first.hard and left:
            found.append(
                f"what is learnt from comes from easy rows: {first.hard:.0%} of hard ones at first,"
                f" {kept.hard:.0%} now"
            )
    return found


def measures(now: Health, kept: Kept | None, kl: float | None) -> Mapping[str, float]:
    """The measures of a round by name, for reports."""
    found = {
        "accepted": now.accepted,
        "diversity": now.distinct,
        "variety": now.variety,
        "agreement": now.agreement,
        "separation": now.separation,
        "length": now.words,
        "repetition": now.repetition,
    }
    if kept is not None and kept.rows:
        found |= {"gap": kept.gap, "hard": kept.hard}
    return found if kl is None else found | {"kl": kl}


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


def _rate(group: Sequence[Run], threshold: float) -> float:
    return _mean([_accepted(run, threshold) for run in group])


def _score(group: Sequence[Run]) -> float:
    return _mean([run.score or 0.0 for run in group])


def _spread(group: Sequence[Run]) -> float:
    return pstdev([run.score or 0.0 for run in group])


def _texts(runs: Sequence[Run]) -> list[list[str]]:
    return [call.raw[-1].split() for run in runs for call in run.trace.calls if call.raw]


def _words(group: Sequence[Run]) -> float:
    return _mean([len(text) for text in _texts(group)])


def _repetition(group: Sequence[Run]) -> float:
    return _mean([_repeated(text) for text in _texts(group)])


def _variety(runs: Sequence[Run]) -> float:
    """The share of different words in all answers."""
    words = [word for text in _texts(runs) for word in text]
    return len(set(words)) / len(words) if words else 0.0


def _repeated(words: Sequence[str]) -> float:
    grams = Counter(tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1))
    total = sum(grams.values())
    return (total - len(grams)) / total if total else 0.0


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0
