"""Hints: rows that no run solved run again with their answer shown, and are learnt without it.

Sources: rationalisation, STaR, Zelikman et al. 2022, arXiv 2203.14465, section 3.2; guided sampling
of hard rows, GSI, Ding et al. 2024, arXiv 2411.00750, section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.provenance import result_provenance
from lmc.measure.evaluate import row_inputs
from lmc.models.base import ModelFailure
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.demonstrations import DemoPool, gold_outputs, input_names
from lmc.optimizers.lessons.groups import module_calls
from lmc.prompts.spec import REASONING, Demo, ParseFailure
from lmc.runtime.parameters import Parameters
from lmc.tasks.together import for_all

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall

HINT = "\n\nHint: the right result is {}. Give the steps that lead to it."


async def rationalised(start: Parameters, context: Context, pool: DemoPool) -> DemoPool:
    """Demonstrations for rows that are missing in the pool, with reasoning written with a hint."""
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
    """Modules that reason and give the result, each with labelled rows that lack reasoning."""
    provenance = result_provenance(context.program, context.target)
    graph = context.program.graphs[context.target]
    names = input_names(context.program, context.target)
    for call in module_calls(context.open_executor(start), context.target):
        labelled = provenance.get(call.slots.module)
        reasons = call.spec.thoughts == (REASONING,)
        if labelled is None or not reasons or not all(labelled.inputs.values()):
            continue
        known = [d.inputs for d in pool.of(call.slots.module) if REASONING in d.outputs]
        for row in context.train:
            given = row_inputs(graph, row.values, training=True)
            inputs = {name: given.get(o) for name, o in labelled.inputs.items() if o}
            outputs = gold_outputs(labelled, row.values, names)
            if outputs is not None and inputs not in known:
                yield call, Demo(inputs, outputs, f"row {row.id}, with a hint")


async def _reason(call: ModuleCall, gold: Demo) -> dict[str, Any] | None:
    """Outputs with reasoning, if the model reaches the right result with the hint."""
    call = call.given(gold.inputs)
    messages = call.prompt(gold.inputs)
    wanted = ", ".join(str(value) for value in gold.outputs.values())
    told = {**messages[-1], "content": messages[-1]["content"] + HINT.format(wanted)}
    request = replace(call.request, messages=(*messages[:-1], told))
    try:
        answer = await call.ask(call.model, request)
        outputs = call.read(answer.text)
    except (ModelFailure, ParseFailure, LmcError):  # includes the end of the budget
        return None
    right = all(outputs.get(name) == value for name, value in gold.outputs.items())
    return outputs if right and outputs.get(REASONING) else None
