"""Bayesian search over the instructions and demonstrations of all modules.

Source: MIPROv2, Opsahl-Ong et al. 2024, arXiv 2406.11695, sections 3 and 4 (grounded proposals, a
tree-structured Parzen estimator over instructions and demonstration sets, minibatches).
Differences: all trials use the same rows, so scores are paired. The best trials race on more rows.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial

from lmc.frozen import frozen
from lmc.optimizers.assistant.ask import Question
from lmc.optimizers.assistant.describing import (
    current_instruction,
    demos_text,
    rows_text,
    signature_text,
)
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.bayesian import bayesian_search
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.acquiring import Harvest, shuffled
from lmc.optimizers.lessons.demonstrations import pick_demos
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import Parameters

HINTS = (
    "Be clear and direct.",
    "Be specific: say what a right answer looks like, and in which form it has to come.",
    "Describe the steps that lead to the answer.",
    "Name the mistakes that are easily made, and say how to avoid them.",
    "Keep it very short and simple.",
    "Say who the model should be: an expert of the field, with the habits of one.",
)
PROPOSAL_SHARE = 0.25  # largest share of the remaining runs for writing instructions
_SHOWN = 4  # example calls in the prompt of a proposal


@optimizer(
    paper="MIPROv2, Opsahl-Ong et al. 2024, arXiv 2406.11695",
)
async def instructions(
    start: Parameters,
    context: Context,
    *,
    candidates: int,
    demos: int,
    trials: int,
    threshold: float,
    teacher: str | None,
    proposer: str | None,
) -> Parameters:
    """Propose instructions from data, source and runs, and search them with demonstrations.

    Each module gets up to `candidates` instructions and as many sets of `demos` demonstrations. The
    search tries `trials` combinations. The model `proposer` writes the instructions.
    """
    with context.until_spent():
        space = await _space(start, context, candidates, demos, threshold, teacher, proposer)
        sizes = space.dimensions()
        if not sizes:
            text = "nothing to search: there is no new instruction and no demonstration"
            context.tell(text)
            return start
        build = partial(space.parameters, start)
        found = await bayesian_search(start, context, sizes, build, trials)
        return await best_of(Candidate("start", start), found, context) if found else start
    return start


@frozen
class Space:
    """The options of each choice. The first option is what the program has now."""

    instructions: Mapping[str, Sequence[str | None]]
    demos: Mapping[str, Sequence[tuple[Demo, ...] | None]]

    def dimensions(self) -> dict[str, int]:
        """The number of options of each choice, by its name."""
        parts = {"instruction": self.instructions, "demos": self.demos}
        sizes = {f"{k} {m}": len(options) for k, p in parts.items() for m, options in p.items()}
        return {name: size for name, size in sizes.items() if size > 1}

    def parameters(self, start: Parameters, picked: Mapping[str, int]) -> Parameters:
        """The parameters for a pick of each choice."""
        changed = start
        for name, index in picked.items():
            kind, _, module = name.partition(" ")
            if index == 0:
                continue
            if kind == "demos":
                changed = changed.with_slots(module, demos=self.demos[module][index])
            else:
                changed = changed.with_slots(module, instruction=self.instructions[module][index])
        return changed


async def _space(
    start: Parameters,
    context: Context,
    candidates: int,
    demos: int,
    threshold: float,
    teacher: str | None,
    proposer: str | None,
) -> Space:
    harvest = Harvest(context, threshold)
    rows = shuffled(context, "instructions")
    mode = Mode(teacher, training=True)
    await harvest.gather(start, rows, max(12, 4 * demos), mode, "accepted runs")
    shown = _demo_sets(context, harvest, candidates, demos)
    described = await context.assistant.texts(
        [Question("describe_data", {"rows": rows_text(rows)})], proposer
    )
    questions, owners = [], []
    modules = [module for module in context.modules().values() if not module.slots.frozen]
    most = context.trials.runs_left() * PROPOSAL_SHARE // max(1, len(modules))
    for module in modules:
        for i in range(int(min(candidates, most))):
            known = harvest.mixed().of(module.name)
            rng = random.Random(f"{context.seed}/shown/{module.name}/{i}")
            inputs = {
                "program": context.source,
                "data": "".join(described),
                "examples": demos_text(pick_demos(known, _SHOWN, rng)),
                "module": signature_text(module),
                "current": current_instruction(start, module),
                "hint": HINTS[i % len(HINTS)],
            }
            questions.append(Question("propose", inputs, sample=i // len(HINTS)))
            owners.append(module.name)
    answers = await context.assistant.ask(questions, proposer)
    proposed: dict[str, list[str | None]] = {name: [None] for name in owners}
    for name, answer in zip(owners, answers):
        text = (answer or "").strip()
        if text and text not in proposed[name]:
            proposed[name].append(text)
    return Space(proposed, shown)


def _demo_sets(
    context: Context, harvest: Harvest, candidates: int, demos: int
) -> dict[str, list[tuple[Demo, ...] | None]]:
    """Sets of demonstrations for each module: its own, from labels, and from accepted runs."""
    found: dict[str, list[tuple[Demo, ...] | None]] = {}
    for module in harvest.modules.values():
        sets: list[tuple[Demo, ...] | None] = [None]
        for i in range(candidates):
            pool = harvest.labeled if i % 2 else harvest.mixed()
            rng = random.Random(f"{context.seed}/demos/{module.name}/{i}")
            chosen = pick_demos(pool.of(module.name) or harvest.mixed().of(module.name), demos, rng)
            if chosen and chosen not in sets:
                sets.append(chosen)
        found[module.name] = sets
    return found
