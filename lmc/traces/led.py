"""Which calls of a run led to its result, and which did not."""

from __future__ import annotations

from typing import Any

from lmc.ir.alternatives import Alternative, Path, value_at
from lmc.ir.ops import body_numbers
from lmc.runtime.traces import CallTrace, Place, RegionTrace, Trace
from lmc.runtime.votes.ballot import ballot_key
from lmc.traces.store import Run

REFINE_BODIES = body_numbers("refine")  # of its bodies, as they stand in the places of a trace
_WRITERS = ("draft", "revise")
Among = frozenset[Alternative]  # the calls of a program whose answers may be its result


def consistent_calls(
    trace: Trace, among: Among = frozenset(), result: Any = None, *, right: bool = True
) -> list[CallTrace]:
    """The calls of a run that led to its result.

    Of a vote, these are the samples that agree with the winner. Of a refine, they are the draft
    that was returned, and the verdicts. Of a search, they are the steps of the path that was
    returned. `among` are the calls whose answers may be the result, as in a debate: of these, they
    are the ones whose answer it is. If the run is `right`, only verdicts that were right about
    their drafts led to it; if not, answers that could not be read led to it too.
    """
    left_out, verdicts = _not_taken(trace, among, result), dict[Place, bool]()
    for region in trace.regions if right else ():
        if region.kind == "refine" and region.detail:
            chosen = region.detail["chosen"]
            for i in range(len(region.detail["drafts"])):
                verdicts[(*region.place, i, REFINE_BODIES["check"])] = i == chosen
    return [
        call
        for call in trace.calls
        if (call.outputs is not None or not right)
        and not any(within(call.place, place) for place in left_out)
        and all(_judged(call, ok) for place, ok in verdicts.items() if within(call.place, place))
    ]


def led_calls(run: Run, among: Among = frozenset(), *, right: bool = True) -> list[CallTrace]:
    """The calls that led to the result of a run, but for those about which nothing is known."""
    found = consistent_calls(run.trace, among, run.pred, right=right)
    return [c for c in found if not run.rewards or run.worth(c.module) is not None]


def _not_taken(trace: Trace, among: Among, result: Any) -> list[Place]:
    """The places of what did not lead to the result."""
    left_out: list[Place] = []
    for region in trace.regions:
        if region.kind == "vote" and region.detail:
            left_out += [(*region.place, i) for i in _outvoted(region)]
        elif region.kind == "refine" and region.detail:
            numbers, chosen = range(len(region.detail["drafts"])), region.detail["chosen"]
            drafts = [(i, REFINE_BODIES[body]) for i in numbers if i != chosen for body in _WRITERS]
            left_out += [(*region.place, *draft) for draft in drafts]
        elif region.kind == "search" and region.detail:
            left_out += _off_path(trace, region)
    return left_out + _not_picked(trace, among, result)


def _off_path(trace: Trace, region: RegionTrace) -> list[Place]:
    """The steps of a search that are not on the path that it returned."""
    tree, number = region.detail["tree"], region.detail["chosen"]
    taken: dict[int, str] = {}  # by the number of a step: the key of the step that followed
    while number:
        step = tree[number - 1]
        taken[step["parent"]] = ballot_key(step["step"], normalize=False)
        number = step["parent"]
    left_out = [(*region.place, n) for n in range(len(tree) + 1) if n not in taken]
    for number, key in taken.items():
        place = (*region.place, number)
        samples: dict[int, bool] = {}
        for call in trace.calls:
            if within(call.place, place) and (index := call.place[len(place)]) >= 0:
                same = ballot_key(call.result, normalize=False) == key
                samples[index] = samples.get(index, False) or same
        if any(samples.values()):
            left_out += [(*place, index) for index, same in samples.items() if not same]
    return left_out


def _not_picked(trace: Trace, among: Among, result: Any) -> list[Place]:
    """The calls whose answers could have been a part of the result, and are not.

    If none of them is that part, it was made of them in some other way, and all count.
    """
    matches: dict[Place, bool] = {}
    by_part: dict[Path, list[tuple[Place, bool]]] = {}
    for call in trace.calls:
        for one in among:
            if call.outputs is not None and _at(call.place, one.place):
                own = ballot_key(value_at(call.result, one.path), normalize=True)
                same = own == ballot_key(value_at(result, one.part), normalize=True)
                by_part.setdefault(one.part, []).append((call.place, same))
    for found in by_part.values():
        if any(same for _, same in found):
            for place, same in found:
                matches[place] = matches.get(place, False) or same
    return [place for place, same in matches.items() if not same]


def _at(place: Place, pattern: tuple[int | None, ...]) -> bool:
    return len(place) == len(pattern) and all(
        want in (None, number) for number, want in zip(place, pattern)
    )


def _outvoted(region: RegionTrace) -> list[int]:
    winner, keys = region.detail.get("winner"), region.detail.get("keys")
    if winner is None:
        return []
    if keys is None:  # decided by scores: the others are not the best
        return [i for i in range(len(region.detail["scores"])) if i != winner]
    return [i for i, key in enumerate(keys) if key != keys[winner]]


def _judged(call: CallTrace, ok: bool) -> bool:
    said = call.result if isinstance(call.result, bool) else (call.outputs or {}).get("ok")
    return call.role != "critique" or not isinstance(said, bool) or said == ok


def within(place: Place, outer: Place) -> bool:
    """Whether a place is another one, or inside it."""
    return place[: len(outer)] == outer
