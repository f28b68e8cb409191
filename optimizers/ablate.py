"""What each part of a program earns: it is left out, and the loss is measured.

The parts are the loops (votes and refines, whose first module then answers alone), and what earlier
steps put into prompts: instructions, reasoning steps (all, and each), sets of demonstrations, and
each demonstration of a small set. Leave-one-out ablation is as old as the field; the comparison is
paired, as at the gate.
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

MOST_SINGLE = 8  # demonstrations that are left out one by one


@optimizer(
    paper="leave-one-out; Self-Refine's and DSPy's ablations, arXiv 2303.17651 and 2310.03714",
    goal="cheaper",
)
async def ablate(start: Parameters, context: Context, *, drop: bool, margin: float) -> Parameters:
    """Measure what each loop, instruction, step and demonstration earns on dev rows, and costs.

    With `drop`, all that does not earn more than it may cost is left out together; the gate asks
    that this costs less and loses less than `margin`.
    """
    parts = list(_parts(start, context))
    if not parts:
        context.tell("there is nothing that could be left out")
        return start
    runs = context.trials.runs_left() // (len(parts) + 1)
    rows = context.select[: int(min(len(context.select), runs))]
    if len(rows) < MIN_CONFIRM_ROWS:
        context.tell(f"the budget is too small to leave {len(parts)} parts out one by one")
        return start
    idle: list[_Part] = []
    for part in parts:
        pair = [part.without, start]
        try:
            without, whole = await context.trials.results(f"without {part.name}", pair, rows)
        except BudgetExceeded:
            context.tell(f"the budget ended before {part.name} was left out")
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
            context.tell(f"not shown to pay: {names}; `ablate(drop=true)` leaves them out")
        return start
    changed = start
    for part in idle:
        changed = part.leave_out(changed)
    return changed


@frozen
class _Part:
    """Something that can be left out."""

    name: str
    without: Parameters
    loop: tuple[str, str] | None = None  # the loop, and who answers in its place
    module: str | None = None
    slot: str = ""

    def leave_out(self, parameters: Parameters) -> Parameters:
        """The same, beside other parts that are left out."""
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
        fit = [c for c in called if can_stand_in(program.graphs[c], graph)]
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
    return f"{part.name} earns {figures}{cost}" + ("" if pays else ": not beyond chance")
