"""Conditions, maps and loops."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from lmc.ir.ops import body_numbers
from lmc.ir.weighed import CERTAINTY, LOGPROB, TURNS, VALUE, has_turns, is_certain
from lmc.runtime.plan import PlannedNode, bounded_list, free_values, variable_names
from lmc.runtime.regions.told import said
from lmc.runtime.scope import Certainty, Scope
from lmc.tasks.together import MAX_IN_FLIGHT, for_all

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

_MAP, _LOOP = body_numbers("map"), body_numbers("loop")
_DROPPED = object()  # marks an item that the map's filter rejected


async def perform_cond(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Run the branch that the condition selects."""
    body = planned.bodies["then" if args[0] else "otherwise"]
    return await machine.run_plan(body, free_values(planned.node, args, 1), scope)


async def perform_map(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> list[Any]:
    """Run the body on all items in parallel. Each item passes the filter first.

    Items that do something in the world follow one another.
    """
    count = planned.node.attrs["count"]
    free, names = free_values(planned.node, args, count), variable_names(planned.node)
    keep, item = planned.bodies.get("filter"), planned.bodies["item"]

    async def work(index: int, row: tuple[Any, ...]) -> Any:
        env = free | dict(zip(names, row))
        if keep is not None and not await machine.run_plan(
            keep, env, scope.at(index, _MAP["filter"])
        ):
            return _DROPPED
        return await machine.run_plan(item, env, scope.at(index, _MAP["item"]))

    in_flight = 1 if planned.in_turn else planned.node.attrs.get("in_flight", MAX_IN_FLIGHT)
    results = await for_all(list(zip(*args[:count])), work, in_flight=in_flight)
    return bounded_list(planned.node, [value for value in results if value is not _DROPPED])


async def perform_samples(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> list[Any]:
    """Draw the samples at once. Each has an index of its own, as in a vote.

    Samples that do something in the world follow one another.
    """
    node, body = planned.node, planned.bodies["sample"]
    n, free = machine.resolve(node.attrs["n"]), free_values(node, args, 0)
    batched, in_flight = "fused" in node.attrs, 1 if planned.in_turn else n

    async def draw(_: int, index: int) -> Any:
        within = scope.for_sample(index, n, scope.certainty, batched=batched)
        return await machine.run_plan(body, free, within)

    return bounded_list(node, await for_all(range(n), draw, in_flight=in_flight))


async def perform_weigh(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> dict[str, Any]:
    """Run the body, and note how certain the models were in it, or what its agent did."""
    certain, told = is_certain(planned.node.type), has_turns(planned.node.type)
    within = scope.weighing() if certain else scope
    within = within.listening() if told else within
    free = free_values(planned.node, args, 0)
    value = await machine.run_plan(planned.bodies["value"], free, within)
    found = weighed(value, within.certainty) if certain and within.certainty else {VALUE: value}
    return {**found, TURNS: within.turns or [said(value)]} if told else found


def weighed(value: Any, certainty: Certainty) -> dict[str, Any]:
    """A value with its certainty and log-probability, which are none if they are not known."""
    known = certainty.known
    return {
        VALUE: value,
        CERTAINTY: certainty.mean if known else None,
        LOGPROB: certainty.logprob if known else None,
    }


async def perform_loop(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Compute one state after another. `until` is tested before each round, also the first.

    If `until` makes calls, the next round may start speculatively.
    """
    name, bound = planned.node.attrs["name"], machine.resolve(planned.node.attrs["bound"])
    body, until = planned.bodies["body"], planned.bodies.get("until")
    state, free = args[0], free_values(planned.node, args, 1)
    for i in range(bound):
        env = {**free, name: state}
        async with machine.speculation.begun(
            until, body, partial(machine.run_plan, body, env, scope.at(i, _LOOP["body"]))
        ) as next_state:
            if until is not None and await machine.run_plan(
                until, env, scope.at(i, _LOOP["until"])
            ):
                break
            state = await next_state()
    return state
