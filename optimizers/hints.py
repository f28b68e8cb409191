"""Hints: rows that no run solved are tried again with their answer told, and learnt without it.

Sources: rationalisation, STaR, Zelikman et al. 2022, arXiv 2203.14465, section 3.2; guided sampling
of hard rows, GSI, Ding et al. 2024, arXiv 2411.00750, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure
from lmc.optimizers.base import Context
from lmc.optimizers.demonstrations import DemoPool, gold_outputs, input_names
from lmc.optimizers.routes import result_routes
from lmc.optimizers.weights import module_calls
from lmc.prompts.spec import REASONING, Demo, ParseFailure
from lmc.runtime.concurrency import for_all
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall

HINT = "\n\nHint: the right result is {}. Give the steps that lead to it."


async def rationalised(start: Parameters, context: Context, pool: DemoPool) -> DemoPool:
    """Demonstrations for rows that the pool has none for, with reasoning written under a hint."""
    cases = list(_unsolved(start, context, pool))
    found = DemoPool()

    async def work(_: int, case: tuple[ModuleCall, Demo]) -> dict[str, Any] | None:
        return await _reason(*case)

    solved = 0
    for (call, gold), outputs in zip(cases, await for_all(cases, work)):
        if outputs is not None:
            found.add(call.slots.module, Demo(gold.inputs, outputs, gold.origin))
            solved += 1
    if cases:
        text = f"{solved} of {len(cases)} rows solved with a hint"
        context.tell(text)
    return found


def _unsolved(
    start: Parameters, context: Context, pool: DemoPool
) -> Iterator[tuple[ModuleCall, Demo]]:
    """Modules that reason and give the result, with labelled rows they have no reasoning for."""
    routes = result_routes(context.program, context.target)
    names = input_names(context.program, context.target)
    for call in module_calls(context.open_executor(start), context.target):
        route = routes.get(call.slots.module)
        reasons = call.spec.thoughts == (REASONING,)
        if route is None or not reasons or not all(route.inputs.values()):
            continue
        known = [d.inputs for d in pool.of(call.slots.module) if REASONING in d.outputs]
        for row in context.train:
            inputs = {name: row.values.get(o) for name, o in route.inputs.items() if o}
            outputs = gold_outputs(route, row.values, names)
            if outputs is not None and inputs not in known:
                yield call, Demo(inputs, outputs, f"row {row.id}, with a hint")


async def _reason(call: ModuleCall, gold: Demo) -> dict[str, Any] | None:
    """Outputs with reasoning, where the model comes to the right result under the hint."""
    messages = call.prompt(gold.inputs)
    wanted = ", ".join(str(value) for value in gold.outputs.values())
    told = {**messages[-1], "content": messages[-1]["content"] + HINT.format(wanted)}
    request = replace(call.request, messages=(*messages[:-1], told))
    try:
        answer = await call.ask(call.model, request)
        outputs = call.read(answer.text)
    except (ModelFailure, ParseFailure, LmcError):  # the budget's end included
        return None
    right = all(outputs.get(name) == value for name, value in gold.outputs.items())
    return outputs if right and outputs.get(REASONING) else None
