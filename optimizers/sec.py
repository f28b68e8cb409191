"""Self-made demonstrations: the model invents inputs and answers them.

Source: Self-ICL, Chen et al. 2023, arXiv 2305.15035, and Self-Contemplation, Li et al. 2023 (SEC),
arXiv 2310.00585. Differences: several sets race against each other and against the start.
"""

from __future__ import annotations

import json
import random
from typing import Any

from lmc.ir.provenance import Module
from lmc.optimizers.assistant.ask import Question, clean
from lmc.optimizers.assistant.describing import signature_text, value_text
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.lessons.demonstrations import DemoPool, as_outputs, demo_of, pick_demos
from lmc.runtime.failures import CallFailure
from lmc.runtime.parameters import Parameters


@optimizer(
    paper="Self-Contemplation prompting, Li et al. 2023, arXiv 2310.00585",
    needs_rows=False,
)
async def sec(
    start: Parameters,
    context: Context,
    *,
    demos: int,
    candidates: int,
    proposer: str | None,
) -> Parameters:
    """Let the model invent inputs and answer them, and use both as demonstrations.

    No row is shown to it. `candidates` sets of `demos` race on dev rows. Without dev rows the first
    set is used. `proposer` invents the inputs.
    """
    with context.until_spent():
        pool = await _imagined(start, context, 2 * demos, proposer)
        rivals = []
        for number in range(candidates if pool else 0):
            changed = start
            for name in pool.by_module:
                rng = random.Random(f"{context.seed}/sec/{number}/{name}")
                changed = changed.with_slots(name, demos=pick_demos(pool.of(name), demos, rng))
            rivals.append(Candidate(f"imagined-{number}", changed, demos))
        if not rivals:
            context.tell("the model invented no input that fits a module")
            return start
        if not context.select:
            return rivals[0].parameters
        return await best_of(Candidate("start", start), rivals, context)
    return start


async def _imagined(
    start: Parameters, context: Context, count: int, proposer: str | None
) -> DemoPool:
    pool, executor = DemoPool(), context.open_executor(start)
    modules = [m for m in context.modules().values() if m.role == "generate"]
    for module in modules:
        seen: list[str] = []
        for sample in range(count):
            inputs = {
                "program": context.source,
                "module": signature_text(module),
                "seen": "\n".join(seen) or "none",
            }
            question = Question("imagine", inputs, sample)
            (text,) = await context.assistant.ask([question], proposer)
            given = _read(text, module)
            if given is None or value_text(given) in seen:
                continue
            seen.append(value_text(given))
            try:
                result = await executor.run(module.name, given)
            except CallFailure as failure:
                if failure.infrastructure:
                    raise
                continue
            demo = demo_of(module, given, as_outputs(module, result), "imagined")
            pool.add(module.name, demo)
    return pool


def _read(text: str | None, module: Module) -> dict[str, Any] | None:
    """The invented inputs, or None if they are not an object with the module's parameters."""
    try:
        found = json.loads(clean(text or ""))
    except ValueError:
        return None
    fits = isinstance(found, dict) and set(found) == set(module.inputs)
    return found if fits else None
