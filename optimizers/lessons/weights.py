"""Training of weights, shared by all optimizers that train: training rows and a race.

An optimizer selects demonstrations, as for prompts. They are then trained on instead of shown.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.models.adapters import Adapter, AdapterStore, adapter_store, is_adapter_id
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.events import TrainingProgressed
from lmc.optimizers.lessons.bounds import read_bounds
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.groups import Group, adapter_of, groups, moved
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import ModuleParameters, Parameters
from lmc.training.bases import Quantize, require_quantizer, require_splittable
from lmc.training.drift import drift
from lmc.training.live import train_live
from lmc.training.lora import (
    Kind,
    LoraSettings,
    Report,
    Stop,
    TrainingJob,
    TrainingProgress,
    train_adapter,
)
from lmc.training.losses import SUPERVISED, LossSettings
from lmc.training.mixing import mix
from lmc.training.processes import process_count, splits_model
from lmc.training.rows import Row, ScoredRow, TaughtRow, TrainingRow
from lmc.training.teaching import Teacher

if TYPE_CHECKING:
    from pathlib import Path

    from lmc.optimizers.base import Context
    from lmc.runtime.call import ModuleCall
    from lmc.runtime.executor import Executor
    from lmc.traces.store import Run

MOST_COMPARED = 64  # answers of a module that show how far its weights have moved
MIN_ROWS = 8  # fewest rows that are worth training on


@frozen
class Lesson:
    """The right outputs of a module for some inputs, and their weight in the loss."""

    demo: Demo
    weight: float = 1.0


# By module: right outputs, or prompts and answers as they were sampled.
Lessons = Mapping[str, Sequence[Lesson | Row]]


def both(one: Lessons, other: Lessons) -> Lessons:
    """The lessons of two sources together."""
    names = dict.fromkeys([*one, *other])
    return {name: [*one.get(name, ()), *other.get(name, ())] for name in names}


def as_lessons(pool: DemoPool) -> Lessons:
    """The demonstrations of a pool as lessons."""
    return {name: [Lesson(demo) for demo in pool.of(name)] for name in pool.by_module}


@dataclass
class LiveSteps:
    """The steps of a live training so far: of each group, the key of the last one."""

    last: dict[str, str] = field(default_factory=dict)


@frozen
class Teaching:
    """Whose probabilities are learnt: a model or artifact, and its calls by module.

    `parameters` are those of the program that it runs with, if it is a model.
    """

    name: str | None
    parameters: Parameters
    calls: Mapping[str, ModuleCall]

    def of(self, group: Group, store: AdapterStore) -> Teacher:
        """The weights that teach the modules of a group. Raises: LmcError[cannot-train]."""
        found: dict[tuple[str, str | None], Teacher] = {}
        for call in (self.calls[name] for name in group.modules if name in self.calls):
            if call.gates:
                name = call.slots.module
                message = f"the teacher's `{name}` chooses among adapters, and one can teach"
                raise LmcError.of("cannot-train", message)
            id, backend = call.request.adapter, call.bound.backend
            adapter = store.find(id) if id and is_adapter_id(id) else None
            one = Teacher(backend.source, backend.endpoint, adapter)  # type: ignore[attr-defined]
            found[one.key] = one
        if len(found) > 1:
            names = ", ".join(group.modules)
            message = f"{names} share an adapter, and different weights teach them"
            help = "give them adapters of their own"
            raise LmcError.of("cannot-train", message, help=help)
        return next(iter(found.values()))


@frozen
class Update:
    """How to train weights: the settings of the training, and what stays in the prompts.

    Without `demos`, trained modules no longer show demonstrations, in training and in use. Their
    content is then in the weights. With `teaching`, the answers' probabilities are learnt.
    """

    settings: LoraSettings
    demos: bool = False
    resume: bool = False  # continue from the current adapter
    modules: tuple[str, ...] | None = None  # None: train all modules
    loss: LossSettings = SUPERVISED
    also: tuple[str, ...] = ()  # other graphs whose modules are trained
    apart: bool = False  # modules that share an adapter get their own
    momentum: float = 0.0  # how far to go on in the direction from the current adapter
    live: LiveSteps | None = None  # train in the engine, where the optimizer goes on
    teaching: Teaching | None = None

    @classmethod
    def of(
        cls,
        rank: int,
        epochs: int | None,
        rate: float | None,
        kind: Kind = "lora",
        module: str | None = None,
        *,
        quantize: Quantize | None = None,
        demos: bool = False,
        loss: LossSettings = SUPERVISED,
    ) -> Update:
        """Make an update from the options of an optimizer.

        What is not supervised goes on from the current adapter, which is its reference.
        """
        settings = LoraSettings(rank, epochs=epochs, rate=rate, kind=kind, quantize=quantize)
        modules = None if module is None else (module,)
        return cls(settings, demos, loss != SUPERVISED, modules, loss)


def require_trainable(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    """Refuse modules whose model does not run here, and training that lacks a package.

    Raises: LmcError[cannot-train, unknown-target, bad-option, missing-extra].
    """
    read_bounds(options.get("bounds"))
    process_count()
    if splits_model():
        require_splittable(options.get("kind", "lora"), None, taught=options.get("loss") == "kl")
    found = groups(executor, target)
    wanted = options.get("module")
    names = [name for group in found for name in group.modules]
    if wanted is not None and wanted not in names:
        help = suggestion(wanted, names, f"it calls {', '.join(names)}")
        message = f"`{target}` does not call a module `{wanted}`"
        raise LmcError.of("unknown-target", message, help=help)
    for group in found:
        if wanted is not None and wanted not in group.modules:
            continue
        for call in group.calls:
            here = getattr(call.bound.backend, "train_elsewhere", None) is None
            if options.get("quantize") is not None and here:
                require_quantizer()
            if getattr(call.bound.backend, "source", None) is None:
                name = executor.pool.full_name(call.bound.name)
                message = (
                    f"the weights of `{group.name}` cannot be trained: `{name}` does not run here"
                )
                help = "use a model that runs here, such as `lmc/tiny` or `hf/<folder>`"
                raise LmcError.of("cannot-train", message, call.node.span, help=help)


def training_rows(
    call: ModuleCall, lessons: Lessons, teacher: ModuleCall | None = None
) -> list[Row]:
    """The prompt and what is learnt of its answers, for each lesson of a module.

    Lessons that lack an output are left out, such as a bare label for a module that reasons first.
    A `teacher` sees the same answers under its own prompts.
    """
    rows: list[Row] = []
    names = [field.name for field in call.spec.outputs]
    for lesson in lessons.get(call.slots.module, ()):
        if not isinstance(lesson, Lesson):
            rows.append(lesson)
            continue
        demo = lesson.demo
        known = all(name in demo.outputs for name in names)
        inputs = [*call.spec.inputs, *(teacher.spec.inputs if teacher else ())]
        if known and all(field.name in demo.inputs for field in inputs):
            messages = tuple(call.prompt(demo.inputs))
            spec = call.spec
            answer = call.layout.answer_text(spec.seen, spec.seen_outputs(demo.outputs))
            if teacher is None:
                rows.append(TrainingRow(messages, answer, lesson.weight))
            else:
                asked = tuple(teacher.prompt(demo.inputs))
                rows.append(TaughtRow(messages, answer, asked, lesson.weight))
    return rows


async def train_and_race(
    start: Parameters, context: Context, lessons: Lessons, update: Update
) -> Parameters:
    """Train each group on its lessons, and return the best of the start and the results."""
    base = start if update.demos else without_demos(start, update.modules)
    return await race(start, context, await train_all(base, context, lessons, update), update)


async def race(
    start: Parameters, context: Context, trained: Sequence[tuple[Group, str]], update: Update
) -> Parameters:
    """The best of the start and of what was trained from it."""
    base = start if update.demos else without_demos(start, update.modules)
    used = set(context.modules())  # others are trained too, and change nothing by themselves
    rivals = [
        Candidate(f"adapter of {group.name}", with_adapter(base, group.modules, id))
        for group, id in trained
        if used & set(group.modules)
    ]
    if not rivals:
        return start
    if len(trained) > 1:
        rivals.insert(0, Candidate("all adapters", with_adapters(base, trained)))
    if base != start:
        changed = with_adapters(start, trained)
        rivals.append(Candidate("adapters under the demonstrations", changed, size=1))
    return await best_of(Candidate("start", start, size=_shown(start)), rivals, context)


async def train_all(
    base: Parameters, context: Context, lessons: Lessons, update: Update
) -> list[tuple[Group, str]]:
    """Train each group that may change on its lessons: the groups with the ids of adapters."""
    executor = context.open_executor(base)
    found = []
    for group in groups(executor, context.target, *update.also, apart=update.apart):
        if update.modules is not None and not set(update.modules) & set(group.modules):
            continue
        here = getattr(group.calls[0].bound.backend, "source", None) is not None
        if context.keep & set(group.modules) or not here:
            continue  # teachers and opponents may run elsewhere
        id = await train_group(group, context, lessons, update)
        if id is not None:
            found.append((group, id))
    return found


def with_adapters(parameters: Parameters, trained: Sequence[tuple[Group, str]]) -> Parameters:
    """A copy in which the modules of groups use their adapters."""
    for group, id in trained:
        parameters = with_adapter(parameters, group.modules, id)
    return parameters


def with_adapter(parameters: Parameters, modules: Sequence[str], id: str) -> Parameters:
    """A copy in which some modules use this adapter."""
    for name in modules:
        parameters = parameters.with_slots(name, adapter=id)
    return parameters


def without_demos(parameters: Parameters, modules: Sequence[str] | None = None) -> Parameters:
    """A copy in which the modules (default: all) show no demonstrations from optimizers."""
    changed: Mapping[str, ModuleParameters] = {
        name: replace(module, demos=())
        if module.demos and (modules is None or name in modules)
        else module
        for name, module in parameters.modules.items()
    }
    return replace(parameters, modules=changed)


def _rows_of(call: ModuleCall, lessons: Lessons, teaching: Teaching | None) -> list[Row]:
    if teaching is None:
        return training_rows(call, lessons)
    teacher = teaching.calls.get(call.slots.module)
    return training_rows(call, lessons, teacher) if teacher else []


async def train_group(
    group: Group, context: Context, lessons: Lessons, update: Update
) -> str | None:
    """Train an adapter for a group and return its id, or None if there are too few lessons."""
    teaching, store = update.teaching, adapter_store()
    rows = [row for call in group.calls for row in _rows_of(call, lessons, teaching)]
    live = update.live
    if live is not None and not rows:
        return None
    if live is None and len(rows) < MIN_ROWS:
        text = f"{group.name}: {len(rows)} rows are too few to train on"
        context.tell(text)
        return None
    backend = group.calls[0].bound.backend
    job = TrainingJob(
        source=backend.source,  # type: ignore[attr-defined]
        base=backend.endpoint,
        rows=tuple(rows),
        settings=replace(update.settings, seed=context.seed),
        start=adapter_of(group, store) if update.resume else None,
        dtype=getattr(backend, "dtype", None),
        loss=update.loss,
        after=None if live is None else live.last.get(group.name, ""),
        teacher=teaching.of(group, store) if teaching else None,
    )
    if job.teaches_nothing:
        context.tell(f"{group.name}: its teacher is itself, with the same prompts")
        return None

    def tell(now: TrainingProgress) -> None:
        context.report(
            TrainingProgressed(
                group.name, len(rows), now.step, now.steps, now.loss, now.tokens_per_s,
                now.left_s, totals=context.trials.totals(),
            )
        )  # fmt: skip

    stopped = threading.Event()
    given = (job, context.folder, store, tell, stopped.is_set)
    elsewhere = getattr(backend, "train_elsewhere", None)  # of a model that workers run
    try:
        if live is not None:
            step = partial(_live_step, *given)
            made: Adapter = await backend.with_engine(step)  # type: ignore[attr-defined]
            live.last[group.name] = job.key
            return made.id
        if elsewhere is not None:
            made = await elsewhere(job, context.folder, tell)
        else:
            made = await asyncio.to_thread(train_adapter, *given)
        if update.momentum and job.start is not None:
            ahead = ((made, 1 + update.momentum), (job.start, -update.momentum))
            made = await asyncio.to_thread(mix, ahead, store, update.settings.rank)
        return made.id
    except asyncio.CancelledError:
        stopped.set()  # a thread cannot be cancelled; it saves a checkpoint and ends
        raise


def _live_step(
    job: TrainingJob, folder: Path, store: AdapterStore, report: Report, stop: Stop, engine: Any
) -> Adapter:
    return train_live(engine, job, folder, store, report, stop)


async def divergence(
    context: Context, start: Parameters, now: Parameters, runs: Sequence[Run], update: Update
) -> float | None:
    """How far trained weights are from those at the start, in nats a token, on some new runs.

    None where no weights changed that run here, or where the model is split for training: a process
    could not hold it.
    """
    if splits_model():
        return None
    found = []
    before, after = (
        groups(executor, context.target, *update.also, apart=True)
        for executor in map(context.open_executor, (start, now))
    )
    for group, one, other in moved(before, after, adapter_store()):
        backend = group.calls[0].bound.backend
        source = getattr(backend, "source", None)
        answers = tuple(
            ScoredRow(tuple(call.messages), call.raw[-1], 1.0, 0.0, sampled=call.sampled)
            for run in runs
            for call in run.trace.calls
            if call.module == group.name and call.raw and not call.infrastructure
        )[:MOST_COMPARED]
        if source is None or not answers:
            continue
        quantize = update.settings.quantize
        found.append(await asyncio.to_thread(drift, source, answers, one, other, quantize))
    return max(found, default=None)


def _shown(parameters: Parameters) -> int:
    return sum(len(module.demos or ()) for module in parameters.modules.values())
