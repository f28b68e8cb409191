"""Selectors over paths: where runs went apart, which steps were taken, and what could follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lmc.frozen import frozen
from lmc.models.base import Message
from lmc.runtime.traces import CallTrace, RegionTrace
from lmc.runtime.votes.ballot import ballot_key
from lmc.traces.led import within
from lmc.traces.selectors import Pair, by_row, paired_calls, question_of
from lmc.traces.store import Run


@frozen
class Splice:
    """What a run that became right said, where a run had gone wrong before it.

    `messages` are the prompt of the wrong run behind its first wrong step, and `call` what the
    right run said in the place of that step, or later.
    """

    messages: tuple[Message, ...]
    call: CallTrace


def sibling_pairs(runs: Iterable[Run], at_least: float = 1.0) -> list[Pair]:
    """Steps of the path that a search returned, with the worst step that began at the same place.

    Only runs that count as right are read. The weight is how much better the critic found the path.
    Source: Xie et al. 2024, arXiv 2405.00451, section 2.2. It differs in that the better step is
    the one that led to an accepted result, and not the one with the highest value.
    """
    found = []
    for run in runs:
        if run.score is not None and run.score >= at_least:
            for region in run.trace.regions:
                if region.kind == "search" and region.detail.get("chosen"):
                    found += _siblings(run, region)
    return found


def _siblings(run: Run, region: RegionTrace) -> list[Pair]:
    tree, number = region.detail["tree"], region.detail["chosen"]
    found = []
    while number:
        taken = tree[number - 1]
        others = [step for step in tree if step["parent"] == taken["parent"] and step is not taken]
        worst = min(others, key=lambda step: step["value"], default=None)
        if worst is not None and worst["value"] < taken["value"]:
            good, bad = (_calls_of(run, region, step) for step in (taken, worst))
            weight = float(taken["value"] - worst["value"])
            found += [Pair(p.chosen, p.rejected, weight) for p in paired_calls(good, bad)[:1]]
        number = taken["parent"]
    return found


def _calls_of(run: Run, region: RegionTrace, step: dict[str, object]) -> list[CallTrace]:
    """The calls that gave a step of a search."""
    place, key = (*region.place, step["parent"]), ballot_key(step["step"], normalize=False)
    return [
        call
        for call in run.trace.calls
        if within(call.place, place)  # type: ignore[arg-type]  # the parent is a number
        and call.place[len(place)] >= 0  # no critic, whose numbers are below 0
        and ballot_key(call.result, normalize=False) == key
    ]


def splices(runs: Iterable[Run], at_least: float = 1.0) -> list[Splice]:
    """Continuations of right runs, put behind the first wrong step of runs on the same row.

    The first wrong step is where the runs go apart: what a module said there led the other run to
    an accepted result. Where a prompt holds the turns so far, the rest of the right run follows;
    else only what it said in the place of the wrong step does.
    Source: Agent-R, Yuan et al. 2025, arXiv 2501.11425, section 3.1. It differs in that the runs
    are samples and not branches of a tree search, and in that no thought of revision is put in.
    """
    found = []
    for group in by_row(run for run in runs if run.score is not None).values():
        good = [run for run in group if (run.score or 0.0) >= at_least]
        bad = [run for run in group if (run.score or 0.0) < at_least]
        if good:
            for number, wrong in enumerate(bad):
                found += _spliced(wrong, good[number % len(good)])
    return found


def _spliced(wrong: Run, right: Run) -> list[Splice]:
    found = []
    for module in dict.fromkeys(call.module for call in right.trace.calls):
        one, other = (
            [c for c in run.trace.calls if c.module == module and c.raw and c.outputs is not None]
            for run in (wrong, right)
        )
        apart = _apart(one, other)
        if apart is None or apart + 1 >= len(one):
            continue
        behind, known = one[apart + 1].messages, other[apart].messages
        found.append(Splice(tuple(behind), other[apart]))
        found += [
            Splice((*behind, *call.messages[len(known) :]), call)
            for call in other[apart + 1 :]
            if call.messages[: len(known)] == known and len(call.messages) > len(known)
        ]
    return found


def _apart(one: Sequence[CallTrace], other: Sequence[CallTrace]) -> int | None:
    """The first place where two sequences of calls say different things to the same prompt."""
    for number, (a, b) in enumerate(zip(one, other)):
        if question_of(a) != question_of(b):
            return None
        if a.raw[-1] != b.raw[-1]:
            return number
    return None


def of_even_length(pairs: Iterable[Pair], most: float) -> list[Pair]:
    """Pairs in which no answer is more than `most` times as long as the other one.

    Answers to one prompt are paired anew, those of nearest length first, so that few are lost. What
    is learnt then cannot be that longer answers are better, which judges tend to find (Dubois et
    al. 2024, arXiv 2404.04475).
    """
    groups: dict[tuple[object, ...], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((question_of(pair.chosen), pair.weight), []).append(pair)
    found = []
    for group in groups.values():
        better, worse = ([getattr(p, side) for p in group] for side in ("chosen", "rejected"))
        gaps = sorted(
            (abs(math.log(_length(g) / _length(b))), i, j)
            for i, g in enumerate(better)
            for j, b in enumerate(worse)
            if g.raw[-1] != b.raw[-1]
        )
        used: set[tuple[str, int]] = set()
        for gap, i, j in gaps:
            if gap <= math.log(most) + 1e-9 and not {("+", i), ("-", j)} & used:
                used |= {("+", i), ("-", j)}
                found.append(Pair(better[i], worse[j], group[0].weight))
    return found


def _length(call: CallTrace) -> int:
    """The length of an answer: in tokens if these are known, else in characters."""
    return max(1, len(call.sampled.ids) if call.sampled else len(call.raw[-1]))
