"""Ablation: removes one part of a program at a time and measures the loss.

The parts are loops and prompt parts. A vote or refine is replaced by its first module. Prompt parts
are what earlier steps added: instructions, reasoning steps (all, and each), sets of demonstrations,
and each demonstration of a small set. The comparison is paired, as at the gate.
"""

from __future__ import annotations

from collections.abc import Iterator

from lmc.frozen import frozen
from lmc.ir.ops import ATTEMPTS
from lmc.ir.provenance import reached_nodes
from lmc.measure.figures import Comparison
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.gate import GATE_LEVEL, MIN_CONFIRM_ROWS, compare, signed
from lmc.program.artifact import can_stand_in
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters

MOST_SINGLE = 8  # largest set whose demonstrations are removed one by one


@optimizer(
    paper="leave-one-out; Self-Refine's and DSPy's ablations, arXiv 2303.17651 and 2310.03714",
    goal="cheaper",
)
async def ablate(start: Parameters, context: Context, *, drop: bool, margin: float) -> Parameters:
    """Measure how much each loop, instruction, step and demonstration gains on dev rows.

    With `drop`, remove all parts without a significant gain together. The gate accepts the result
    if it costs less and loses less than `margin`.
    """
    parts = list(_parts(start, context))
    if not parts:
        context.tell("the program has no part that can be removed")
        return start
    runs = context.trials.runs_left() // (len(parts) + 1)
    rows = context.select[: int(min(len(context.select), runs))]
    if len(rows) < MIN_CONFIRM_ROWS:
        context.tell(f"the budget is too small to remove {len(parts)} parts one by one")
        return start
    idle: list[_Part] = []
    for part in parts:
        pair = [part.without, start]
        try:
            without, whole = await context.trials.results(f"without {part.name}", pair, rows)
        except BudgetExceeded:
            context.tell(f"the budget ended before the test without {part.name}")
            break
        found = compare(without, whole, level=GATE_LEVEL)
        if found is None:
            continue
        pays = found.difference.low > 0
        context.tell(_words(part, found, pays=pays))
        if not pays and found.difference.mean <= margin:
            idle.append(part)
    if not drop or not idle:
        if idle:
            names = ", ".join(part.name for part in idle)
            context.tell(f"no significant gain from {names}; `ablate(drop=true)` removes them")
        return start
    changed = start
    for part in idle:
        changed = part.leave_out(changed)
    return changed


@frozen
class _Part:
    """A part that can be removed."""

    name: str
    without: Parameters
    loop: tuple[str, str] | None = None  # the loop, and the module that replaces it
    module: str | None = None
    slot: str = ""

    def leave_out(self, parameters: Parameters) -> Parameters:
        """Remove this part from parameters that may already lack other parts."""
        if self.loop is not None:
            return parameters.with_shortcut(*self.loop)
        if self.module is None:
            return parameters
        return parameters.with_slots(self.module, **{self.slot: None})


def _parts(start: Parameters, context: Context) -> Iterator[_Part]:
    program, target = context.program, context.target
    names = [target, *(n.attrs["target"] for n in reached_nodes(program, target) if n.op == "call")]
    for name in dict.fromkeys(names):
        graph = program.graphs[name]
        if graph.kind not in ATTEMPTS or name in start.shortcuts:
            continue
        called = [n.attrs["target"] for n in reached_nodes(program, name) if n.op == "call"]
        fit = [c for c in called if can_stand_in(program, c, name)]
        if fit:
            cut = start.with_shortcut(name, fit[0])
            yield _Part(f"the {graph.kind} `{name}`", cut, loop=(name, fit[0]))
    for name in context.modules():
        own = start.modules.get(name)
        if own is None:
            continue
        steps, demos = own.steps or (), own.demos or ()
        wholes = {
            "instruction": "instruction" if own.instruction else "",
            "steps": f"{len(steps)} steps" if steps else "",
            "demos": f"{len(demos)} demonstrations" if demos else "",
        }
        for slot, what in wholes.items():
            if what:
                cut = start.with_slots(name, **{slot: None})
                yield _Part(f"the {what} of `{name}`", cut, module=name, slot=slot)
        for i, (step, _) in enumerate(steps if len(steps) > 1 else ()):
            cut = start.with_slots(name, steps=steps[:i] + steps[i + 1 :])
            yield _Part(f"step `{step}` of `{name}`", cut)
        for i, demo in enumerate(demos if 1 < len(demos) <= MOST_SINGLE else ()):
            cut = start.with_slots(name, demos=demos[:i] + demos[i + 1 :])
            yield _Part(f"demonstration {i + 1} of `{name}` ({demo.origin})", cut)


def _words(part: _Part, found: Comparison, *, pays: bool) -> str:
    d, calls = found.difference, found.after.calls - found.before.calls
    figures = f"{signed(d.mean)} on {d.rows} rows ({signed(d.low)} to {signed(d.high)})"
    cost = f" for {calls:.3g} calls a row" if calls > 0.005 else ""
    return f"{part.name} gains {figures}{cost}" + ("" if pays else ": not significant")
