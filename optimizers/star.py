"""Rounds of training on reasoning that led to the right answer, hints where none did.

Source: STaR, Zelikman et al. 2022, arXiv 2203.14465, algorithm 1 with rationalisation, section
3.2; differs in: whole programs are run, all modules of accepted runs are trained on, and each round
races against the one before on rows that do not train, and is the last where it does not win.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.check.types import BOOL, FloatType, IntType, OptionalType
from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure
from lmc.optimizers.acquiring import acquire
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.demonstrations import DemoPool, gold_outputs
from lmc.optimizers.events import Note
from lmc.optimizers.routes import result_routes
from lmc.optimizers.weights import Update, module_calls, require_trainable, train_and_race
from lmc.prompts.spec import REASONING, Demo, ParseFailure
from lmc.runtime.concurrency import for_all
from lmc.runtime.parameters import Parameters
from lmc.training.lora import LoraSettings

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall

HINT = "\n\nHint: the right result is {}. Give the steps that lead to it."


@optimizer(
    "star",
    paper="STaR, Zelikman et al. 2022, arXiv 2203.14465",
    check=require_trainable,
    rounds=IntType(1, 8),
    rank=IntType(1, 256),
    epochs=OptionalType(IntType(1, 1000)),
    rate=OptionalType(FloatType(0.0, 1.0)),
    threshold=FloatType(0.0, 1.0),
    hints=BOOL,
)
async def star(
    start: Parameters,
    context: Context,
    *,
    rounds: int = 2,
    rank: int = 16,
    epochs: int | None = None,
    rate: float | None = None,
    threshold: float = 1.0,
    hints: bool = True,
) -> Parameters:
    """Train on runs that were right, run again with what was learnt, for some `rounds`.

    With `hints` a module that reasons is told the answer of rows it got wrong; reasoning that then
    leads to it is trained on without the hint. Every round begins from the model's own weights.
    """
    leader, pool = start, DemoPool()
    update = Update(LoraSettings(rank=rank, epochs=epochs, rate=rate))
    for number in range(rounds):
        turn = replace(context, seed=context.seed + number)
        pool = pool.under(await acquire(leader, turn, threshold=threshold, teacher=None))
        if hints:
            pool = (await rationalised(leader, turn, pool)).under(pool)
        better = await train_and_race(leader, turn, pool, update)
        if better == leader:
            break
        leader = better
    return leader


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
        context.report(Note(text, totals=context.trials.totals()))
    return found


def _unsolved(
    start: Parameters, context: Context, pool: DemoPool
) -> Iterator[tuple[ModuleCall, Demo]]:
    """Modules that reason and give the result, with labelled rows they have no reasoning for."""
    routes = result_routes(context.program, context.target)
    names = frozenset(port.name for port in context.program.graphs[context.target].inputs)
    for call in module_calls(context.open_executor(start), context.target):
        route = routes.get(call.slots.module)
        if route is None or not call.reasons or not all(route.inputs.values()):
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
        answer = await call.ask(call.model, request, batched=False)
        outputs = call.read(answer.text)
    except (ModelFailure, ParseFailure, LmcError):  # the budget's end included
        return None
    right = all(outputs.get(name) == value for name, value in gold.outputs.items())
    return outputs if right and outputs.get(REASONING) else None
