"""Selectors: which runs, and which of their calls, are worth learning from.

Each is a small function from runs to runs, calls, pairs or weights. The result can become
demonstrations, training rows or preference pairs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from lmc.frozen import frozen
from lmc.models.tool_calls import message_data
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.runtime.votes.ballot import ballot_key
from lmc.traces.led import REFINE_BODIES, Among, led_calls, within
from lmc.traces.store import Run

Groups = Mapping[str, Sequence[Run]]


@frozen
class Pair:
    """Two answers to one prompt, the first one better."""

    chosen: CallTrace
    rejected: CallTrace
    weight: float = 1.0


# --- runs ---


def by_row(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each row."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.row, []).append(run)
    return groups


def threshold(runs: Iterable[Run], at_least: float = 1.0) -> list[Run]:
    """Runs with a score, or a reward of a module, of at least `at_least`."""
    return [run for run in runs if run.most >= at_least]


def best(runs: Iterable[Run], k: int) -> list[Run]:
    """The k best scored runs of each row. Of equal ones, the earlier comes first."""
    found = []
    for group in by_row(run for run in runs if run.score is not None).values():
        found += sorted(group, key=lambda run: (-(run.score or 0.0), run.sample))[:k]
    return found


def majority(runs: Iterable[Run], share: float = 0.0) -> list[Run]:
    """Runs with the most frequent result of their row, if at least `share` of the runs have it.

    Source: the majority vote of LMSI, Huang et al. 2022, arXiv 2210.11610, section 3.
    """
    found = []
    for group in by_row(runs).values():
        keys = [result_key(run) for run in group]
        counts = Counter(key for key in keys if key is not None)
        if counts:
            leader, votes = counts.most_common(1)[0]
            if votes >= share * len(group):
                found += [run for run, key in zip(group, keys) if key == leader]
    return found


def agreement(group: Sequence[Run]) -> float:
    """Share of a row's runs with the most frequent result. Failed runs agree with none."""
    counts = Counter(key for run in group if (key := result_key(run)) is not None)
    return max(counts.values(), default=0) / len(group) if group else 0.0


def entropy(group: Sequence[Run]) -> float:
    """Entropy, in nats, of the results of a row's runs. All failed runs count as one result."""
    counts = Counter(result_key(run) for run in group)
    return -sum(n / len(group) * math.log(n / len(group)) for n in counts.values())


def entropy_weights(groups: Groups, power: float = 1.0) -> dict[str, float]:
    """Weights of rows, with mean 1. The more a row's runs disagree, the greater its weight.

    Source: EAST, Wang et al. 2025, arXiv 2503.23913, section 3.2, with h^power as the mapping.
    If no row has any entropy, all weights are equal.
    """
    raw = {row: entropy(group) ** power if group else 0.0 for row, group in groups.items()}
    mean = sum(raw.values()) / len(raw) if raw else 0.0
    return {row: value / mean if mean else 1.0 for row, value in raw.items()}


def hardest(groups: Groups, at_least: float = 1.0) -> list[str]:
    """Rows without an accepted run, those with the best scores first."""
    failed = {r: max((x.score or 0.0 for x in g), default=0.0) for r, g in groups.items()}
    return sorted((r for r, s in failed.items() if s < at_least), key=lambda r: (-failed[r], r))


def diverse(runs: Sequence[Run], k: int) -> list[Run]:
    """Up to k runs whose words differ most: the first, then always the one furthest from all.

    Source: DIVE, Qin et al. 2025, arXiv 2501.00747, section 3.3. It differs in the choice: greedy
    farthest points by Jaccard distance over pairs of words.
    """
    if len(runs) <= k:
        return list(runs)
    shingles = [_shingles(run.trace) for run in runs]
    chosen, nearest = [0], [_distance(shingles[0], s) for s in shingles]
    while len(chosen) < k:
        following = max(range(len(runs)), key=lambda i: (nearest[i], -i))
        chosen.append(following)
        nearest = [min(n, _distance(shingles[following], s)) for n, s in zip(nearest, shingles)]
    return [runs[i] for i in sorted(chosen)]


def result_key(run: Run) -> str | None:
    """The key by which a run's result is counted. None if the run failed."""
    return None if run.failed else ballot_key(run.pred, normalize=True)


# --- pairs ---


def right_wrong_pairs(
    runs: Iterable[Run], at_least: float = 1.0, among: Among = frozenset()
) -> list[Pair]:
    """Calls that led to accepted results, paired with calls of other runs on the same prompt.

    Where a metric gives rewards by module, these decide for the calls of each.
    """
    good, bad = [], []
    for run in runs:
        if run.score is not None:
            good += [c for c in led_calls(run, among) if _worth(run, c) >= at_least]
            bad += [c for c in led_calls(run, among, right=False) if _worth(run, c) < at_least]
    return paired_calls(good, bad)


def _worth(run: Run, call: CallTrace) -> float:
    return run.worth(call.module) or 0.0


def agreement_pairs(runs: Iterable[Run], among: Among = frozenset()) -> list[Pair]:
    """Calls of a row's majority, paired with calls of its rarest result that had the same prompt.

    No labels are needed. The weight is the margin between both. Source: ScPO, Prasad et al. 2024,
    arXiv 2411.04109, section 2.2 and equation 2. It differs in that whole programs are sampled.
    """
    found = []
    for group in by_row(runs).values():
        keys = [result_key(run) for run in group]
        counts = Counter(key for key in keys if key is not None)
        if len(counts) < 2:
            continue
        (most, votes), (least, few) = counts.most_common()[0], counts.most_common()[-1]
        good = [r for r, key in zip(group, keys) if key == most]
        bad = [r for r, key in zip(group, keys) if key == least]
        pairs = _paired_runs(good, bad, among)
        found += [replace(pair, weight=(votes - few) / len(group)) for pair in pairs if votes > few]
    return found


def best_worst_pairs(
    groups: Iterable[Sequence[tuple[Run, float]]], among: Among = frozenset()
) -> list[Pair]:
    """Calls of the run with the highest value of each row, paired with those of the lowest."""
    found = []
    for group in groups:
        ranked = sorted(group, key=lambda pair: pair[1])
        if ranked and ranked[-1][1] > ranked[0][1]:
            found += _paired_runs([ranked[-1][0]], [ranked[0][0]], among)
    return found


def refine_pairs(runs: Iterable[Run]) -> list[Pair]:
    """Drafts, paired with the revision that a refine returned in their place.

    Only runs that count as right are read. Source: the pairs of SPaR, Cheng et al. 2024, arXiv
    2412.11605, section 2.3: a refined answer is better than the one it refines.
    """
    found = []
    for run in runs:
        for region in run.trace.regions:
            chosen = region.detail.get("chosen") if region.kind == "refine" else None
            if chosen:
                draft = _body_call(run.trace, region, 0, "draft")
                revised = _body_call(run.trace, region, chosen, "revise")
                if draft and revised:
                    better = replace(draft, raw=revised.raw, sampled=revised.sampled)
                    found += _pairs([better], [draft])
    return found


def vote_pairs(runs: Iterable[Run]) -> list[Pair]:
    """In each vote, samples of the majority paired with those of the smallest minority.

    No labels are needed. The weight is the margin of the vote. Source: ScPO, Prasad et al. 2024,
    arXiv 2411.04109, section 2.2 and equation 2.
    """
    found = []
    for run in runs:
        for region in run.trace.regions:
            keys: Sequence[Any] = region.detail.get("keys") or () if region.kind == "vote" else ()
            counts = Counter(key for key in keys if key is not None)
            if len(counts) < 2:
                continue
            (most, votes), (least, few) = counts.most_common()[0], counts.most_common()[-1]
            samples = [_sample_call(run.trace, region, i) for i in range(len(keys))]
            good = [call for call, key in zip(samples, keys) if call and key == most]
            bad = [call for call, key in zip(samples, keys) if call and key == least]
            weight = (votes - few) / len(keys)
            found += [replace(pair, weight=weight) for pair in _pairs(good, bad) if weight > 0]
    return found


def _paired_runs(good: Sequence[Run], bad: Sequence[Run], among: Among) -> list[Pair]:
    """The calls that led to good results, paired with those that led to bad ones."""
    return paired_calls(
        [call for run in good for call in led_calls(run, among)],
        [call for run in bad for call in led_calls(run, among, right=False)],
    )


def paired_calls(good: Iterable[CallTrace], bad: Iterable[CallTrace]) -> list[Pair]:
    """Good calls, paired with bad ones that had the same prompt."""
    better: dict[tuple[object, ...], list[CallTrace]] = {}
    worse: dict[tuple[object, ...], list[CallTrace]] = {}
    for calls, found in ((good, better), (bad, worse)):
        for call in calls:
            if call.raw and not call.infrastructure:
                found.setdefault(question_of(call), []).append(call)
    return [pair for key in better for pair in _pairs(better[key], worse.get(key, []))]


def _body_call(trace: Trace, region: RegionTrace, turn: int, body: str) -> CallTrace | None:
    """The last call of a body of a refine, in one of its turns."""
    place = (*region.place, turn, REFINE_BODIES[body])
    return next((c for c in reversed(trace.calls) if within(c.place, place) and c.raw), None)


def _pairs(good: Sequence[CallTrace], bad: Sequence[CallTrace]) -> list[Pair]:
    """Pair two lists item by item, up to the shorter one. Equal answers are left out."""
    return [Pair(g, b) for g, b in zip(good, bad) if g.raw and b.raw and g.raw[-1] != b.raw[-1]]


def _sample_call(trace: Trace, region: RegionTrace, index: int) -> CallTrace | None:
    """The last call of a vote's sample, which gave its result."""
    place = (*region.place, index)
    return next((c for c in reversed(trace.calls) if within(c.place, place)), None)


def question_of(call: CallTrace) -> tuple[object, ...]:
    """What a call was asked: equal for equal prompts of one module."""
    return call.module, *((m["role"], m["content"], message_data(m)) for m in call.messages)


def _shingles(trace: Trace) -> frozenset[Any]:
    words = [word for call in trace.calls for word in " ".join(call.raw[-1:]).split()]
    return frozenset(pairwise(words)) or frozenset(words)


def _distance(one: frozenset[Any], other: frozenset[Any]) -> float:
    union = len(one | other)
    return 1 - len(one & other) / union if union else 0.0
