"""Trains the results of votes and refines into a module that then replaces the loop.

Sources: distilling self-consistency, LMSI, Huang et al. 2022, arXiv 2210.11610; refinements, SELF,
Lu et al. 2023, arXiv 2310.00533; context distillation, Snell et al. 2022, arXiv 2209.15189.
Differences: the graph decides which module can replace which loop. The gate requires a lower cost
and a loss below `margin` instead of a gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from lmc.check.optimizers import SIGNATURES
from lmc.diagnostics import LmcError
from lmc.ir.graph import ProgramGraph, all_nodes
from lmc.ir.provenance import Module, reached_modules
from lmc.ir.reach import reached_nodes
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, race
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.demonstrations import as_outputs, demo_of
from lmc.optimizers.lessons.groups import groups
from lmc.optimizers.lessons.rounds import lessons_of
from lmc.optimizers.lessons.teaching import require_teacher, teaching
from lmc.optimizers.lessons.weights import (
    Lesson,
    Lessons,
    Update,
    both,
    require_trainable,
    train_group,
    with_adapter,
    without_demos,
)
from lmc.program.artifact import can_stand_in
from lmc.prompts.spec import REASONING
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import RegionTrace, Trace
from lmc.traces import selectors
from lmc.traces.store import Run
from lmc.training.bases import Quantize
from lmc.training.lora import Kind
from lmc.training.losses import LossSettings

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

_RUNS_SHARE = 0.6  # largest share of the remaining runs


def _check(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    require_trainable(executor, target, options)
    known = SIGNATURES["distill"].complete(options)
    if known["loss"] != "kl":
        if known["jsd"]:
            message = "`jsd` is about probabilities of a teacher, which `sft` does not learn"
            raise LmcError.of("bad-option", message, help='take `loss="kl"`, or leave it out')
        return
    loops = outline(executor.program, target).loops
    if known["teacher"] is None and loops:
        message = f"what `{next(iter(loops))}` comes to is a result, and has no probabilities"
        help = 'take `loss="sft"`, or name a `teacher` that runs here'
        raise LmcError.of("bad-option", message, help=help)


def _check_teacher(
    executor: Executor, teacher: Executor, target: str, options: Mapping[str, Any]
) -> None:
    if options.get("loss") == "kl":
        require_teacher(executor, teacher, target, options)


@optimizer(
    paper="context distillation, Snell et al. 2022, arXiv 2209.15189; SELF, arXiv 2310.00533",
    check=_check,
    check_teacher=_check_teacher,
    goal="cheaper",
)
async def distill(
    start: Parameters,
    context: Context,
    *,
    threshold: float | None,
    margin: float,
    teacher: str | None,
    loss: Literal["sft", "kl"],
    jsd: float,
    rank: int,
    epochs: int | None,
    rate: float | None,
    kind: Kind,
    quantize: Quantize | None,
) -> Parameters:
    """Train the results of votes and refines, and the demonstrations, into the weights.

    One call of the module then replaces the loop, without demonstrations and `train` parameters. If
    the old weights do as well without the loop, they stay. Only runs that score at least
    `threshold` are learnt from, or all runs if it is `none`. A loss below `margin` is accepted.
    With `loss="kl"`, what is learnt is what the teacher, or the program under its demonstrations,
    would choose for each token of these results.
    """
    seen = outline(context.program, context.target)
    rows = shuffled(context, "distill")
    rows = rows[: int(min(len(rows), context.trials.runs_left() * _RUNS_SHARE))]
    runs = await make_runs(start, context, rows, Mode(teacher, training=True), "running the loops")
    kept = runs if threshold is None else selectors.threshold(runs, threshold)
    context.tell(f"learning from {len(kept)} of {len(runs)} runs")
    plain = lessons_of(context, kept, at_least=threshold)
    outside = {name: lessons for name, lessons in plain.items() if name in seen.outside}
    lessons = both(outside, loop_lessons(kept, seen.loops))
    settings = LossSettings() if loss == "sft" else LossSettings("kl", jsd=jsd)
    update = Update.of(rank, epochs, rate, kind, quantize=quantize, loss=settings)
    if loss == "kl":
        update = replace(update, teaching=teaching(context, start, teacher, context.target))
    cut = start
    for loop, module in seen.loops.items():
        cut = cut.with_shortcut(loop, module.name)
    distilled = without_demos(cut)
    for group in groups(context.open_executor(distilled), context.target):
        if context.keep & set(group.modules):
            continue
        if lessons.keys() & set(group.modules) and (
            id := await train_group(group, context, lessons, update)
        ):
            distilled = with_adapter(distilled, group.modules, id)
    rivals = [Candidate("distilled", distilled)]
    if cut != start:  # weights that an earlier step trained may not need the loop
        rivals.append(Candidate("without the loops", cut))
    return await _cheapest(start, rivals, context, margin)


async def _cheapest(
    start: Parameters, rivals: Sequence[Candidate], context: Context, margin: float
) -> Parameters:
    """The best rival if it loses less than the margin on the select rows, else the start."""
    await race(Candidate("start", start), rivals, context.select, context.trials)
    all_of_them = [start, *(rival.parameters for rival in rivals)]
    before, *after = await context.trials.scores("choosing", all_of_them, context.select)
    gains = [_gain(before, scores) for scores in after]
    best = max(range(len(rivals)), key=lambda i: (gains[i], -i))
    if gains[best] > -margin:
        return rivals[best].parameters
    context.tell(f"{rivals[best].name}, the program loses {-gains[best]:.3f}: not accepted")
    return start


@dataclass(slots=True)
class Outline:
    """The outermost loops that a module can replace, and the modules outside them."""

    loops: dict[str, Module] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)


def outline(program: ProgramGraph, target: str) -> Outline:
    """Find the outermost votes and refines, and the first module that can replace each."""
    found, seen = Outline(), set[str]()
    modules = reached_modules(program, target)

    def enter(name: str) -> None:
        seen.add(name)
        graph = program.graphs[name]
        called = (n.attrs["target"] for n in reached_nodes(program, graph) if n.op == "call")
        fit = [c for c in called if c in modules and can_stand_in(program, c, graph.name)]
        if fit:
            found.loops[name] = modules[fit[0]]
            return
        for node in all_nodes(graph):
            if node.op == "model":
                found.outside.add(node.attrs["slots"].module)
            elif node.op == "call" and node.attrs["target"] not in seen:
                enter(node.attrs["target"])

    enter(target)
    return found


def loop_lessons(runs: Sequence[Run], loops: Mapping[str, Module]) -> Lessons:
    """The results of each loop, as lessons for the module that replaces it."""
    found: dict[str, list[Lesson]] = {}
    for run in runs:
        for region in run.trace.regions:
            module = loops.get(region.name)
            if module is None or region.result is None:
                continue
            outputs = _outputs(run.trace, region, module)
            inputs = {name: region.inputs[name] for name in module.inputs if name in region.inputs}
            demo = demo_of(module, inputs, outputs, f"row {run.row}, {region.name}")
            found.setdefault(module.name, []).append(Lesson(demo))
    return found


def _outputs(trace: Trace, region: RegionTrace, module: Module) -> dict[str, object]:
    """The result of a loop as outputs of a module, with the reasoning that led to it."""
    outputs = as_outputs(module, region.result)
    if module.slots.settings.get("reason"):
        place = region.place
        for call in trace.calls:
            thought = (call.outputs or {}).get(REASONING)
            if call.place[: len(place)] == place and call.result == region.result and thought:
                return {REASONING: thought, **outputs}
    return outputs


def _gain(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    rows = before.keys() & after.keys()
    return fmean(after[row] - before[row] for row in rows) if rows else float("-inf")
