"""A route: the option of a case, or options in turn until one is sure enough.

Source: routing by kind, Ong et al. 2024, arXiv 2406.18665; escalation (a cascade) with a threshold
on the confidence in an answer, FrugalGPT, Chen et al. 2023, arXiv 2305.05176, section 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.graph import route_options
from lmc.runtime.budget import ModelBudgetExceeded
from lmc.runtime.failures import is_own
from lmc.runtime.plan import Plan, Step
from lmc.runtime.scope import Certainty, Scope

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor


async def perform_route(executor: Executor, step: Step, args: list[Any], scope: Scope) -> Any:
    """Take the option of the case, or escalate."""
    env = dict(zip(step.node.attrs["names"], args))
    decide = _by_case if step.node.attrs["by"] == "case" else _escalate
    return await decide(executor, step, env, scope)


async def _by_case(executor: Executor, step: Step, env: Mapping[str, Any], scope: Scope) -> Any:
    """The option of the case; where speculation has room for all, they begin before it is known."""
    options, speculation = route_options(step.bodies), executor.speculation

    def run(option: Plan) -> Coroutine[Any, Any, Any]:
        return executor.run_plan(option, env, scope.at(1))

    ahead: dict[str, asyncio.Task[Any]] = {}
    running: list[asyncio.Task[Any]] = []
    async with speculation.holding(running) as room:
        if len(options) <= room() and all(map(speculation.allows, options.values())):
            ahead = {case: asyncio.ensure_future(run(o)) for case, o in options.items()}
            running += ahead.values()
        case = await executor.run_plan(step.bodies["by"], env, scope.at(0))
        scope.note(taken=case)
        return await (speculation.take(ahead, case) if ahead else run(options[case]))


async def _escalate(executor: Executor, step: Step, env: Mapping[str, Any], scope: Scope) -> Any:
    """The first option that is sure enough, else the last that gave anything.

    One that gives no usable answer, or whose model has used up its own budget, is passed over.
    """
    threshold = executor.resolve(step.node.attrs["threshold"])
    options = list(route_options(step.bodies).values())
    tried: dict[int, Any] = {}
    sure: dict[int, float] = {}
    failure: LmcError | None = None
    for number, option in enumerate(options):
        certainty = Certainty() if step.node.attrs["by"] == "certainty" else scope.certainty
        within = replace(scope.at(number, 0), certainty=certainty)
        try:
            tried[number] = await executor.run_plan(option, env, within)
            if number < len(options) - 1:
                given = {**env, "out": tried[number]}
                sure[number] = await _confidence(executor, step, given, certainty, scope.at(number))
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
    executor: Executor,
    step: Step,
    given: Mapping[str, Any],
    certainty: Certainty | None,
    scope: Scope,
) -> float:
    match step.node.attrs["by"]:
        case "certainty":
            return certainty.mean if certainty else 0.0
        case "score":
            return float(given["out"]["score"])
        case _:
            return float(await executor.run_plan(step.bodies["by"], given, scope.at(1)))
