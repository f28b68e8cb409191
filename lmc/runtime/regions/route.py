"""A route: the option of a case, or options in turn until one is confident enough.

Sources: routing by kind is Ong et al. 2024, arXiv 2406.18665. Escalation is the cascade of
FrugalGPT with a confidence threshold (Chen et al. 2023, arXiv 2305.05176, section 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.graph import OPTION, route_options
from lmc.ir.ops import body_numbers
from lmc.requests.budget import ModelBudgetExceeded
from lmc.runtime.failures import is_own
from lmc.runtime.plan import Plan, PlannedNode
from lmc.runtime.scope import Certainty, Scope

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

_NUMBERS = body_numbers("route")
_BY, _TO = _NUMBERS["by"], _NUMBERS[OPTION]
_ANSWER, _JUDGE = 0, 1  # bodies of an escalation step: `by` follows the answer it judges


async def perform_route(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Take the option of the case, or escalate."""
    env = dict(zip(planned.node.attrs["names"], args))
    decide = _by_case if planned.node.attrs["by"] == "case" else _escalate
    return await decide(machine, planned, env, scope)


async def _by_case(
    machine: Machine, planned: PlannedNode, env: Mapping[str, Any], scope: Scope
) -> Any:
    """The option of the case. If speculation has room, all options start before it is known."""
    options, speculation = route_options(planned.bodies), machine.speculation

    def run(option: Plan) -> Coroutine[Any, Any, Any]:
        return machine.run_plan(option, env, scope.at(_TO))

    ahead: dict[str, asyncio.Task[Any]] = {}
    running: list[asyncio.Task[Any]] = []
    async with speculation.holding(running) as room:
        if len(options) <= room() and all(map(speculation.allows, options.values())):
            ahead = {case: asyncio.ensure_future(run(o)) for case, o in options.items()}
            running += ahead.values()
        case = await machine.run_plan(planned.bodies["by"], env, scope.at(_BY))
        scope.note(taken=case)
        return await (speculation.take(ahead, case) if ahead else run(options[case]))


async def _escalate(
    machine: Machine, planned: PlannedNode, env: Mapping[str, Any], scope: Scope
) -> Any:
    """The first option that is confident enough, else the last one with an answer.

    An option is skipped if it gives no usable answer, or if its model's own budget is spent.
    """
    threshold = machine.resolve(planned.node.attrs["threshold"])
    options = list(route_options(planned.bodies).values())
    tried: dict[int, Any] = {}
    sure: dict[int, float] = {}
    failure: LmcError | None = None
    for number, option in enumerate(options):
        certainty = Certainty() if planned.node.attrs["by"] == "certainty" else scope.certainty
        within = replace(scope.at(number, _ANSWER), certainty=certainty)
        try:
            tried[number] = await machine.run_plan(option, env, within)
            if number < len(options) - 1:
                given = {**env, "out": tried[number]}
                sure[number] = await _confidence(
                    machine, planned, given, certainty, scope.at(number)
                )
        except LmcError as problem:
            if not is_own(problem) and not isinstance(problem, ModelBudgetExceeded):
                raise
            failure = problem
            continue
        if number not in sure or sure[number] >= threshold:
            break
    scope.note(taken=max(tried, default=None), confidence=list(sure.values()))
    if not tried:
        assert failure is not None
        raise failure
    return tried[max(tried)]


async def _confidence(
    machine: Machine,
    planned: PlannedNode,
    given: Mapping[str, Any],
    certainty: Certainty | None,
    scope: Scope,
) -> float:
    match planned.node.attrs["by"]:
        case "certainty":
            return certainty.mean if certainty else 0.0
        case "score":
            return float(given["out"]["score"])
        case _:
            return float(await machine.run_plan(planned.bodies["by"], given, scope.at(_JUDGE)))
