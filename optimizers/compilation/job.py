"""A compile job: everything a compilation will do, checked before the first model call."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.consent import Given
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.cost import cost
from lmc.ir.reach import reached_stores
from lmc.measure.metric_functions import Score, code_digest
from lmc.measure.objective import Objective
from lmc.optimizers.assistant.preference import NAME as PREFERENCE
from lmc.optimizers.candidates.gate import MIN_CONFIRM_ROWS
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.guards import Guard, find_guards
from lmc.optimizers.compilation.options import Accept, CompileOptions
from lmc.optimizers.compilation.run_folder import RUNS_DIR, job_name
from lmc.optimizers.compilation.seeds import find_making, made_by, seed_rows
from lmc.optimizers.compilation.steps import check_steps, parse_steps, steps_text
from lmc.program.artifact import graph_part
from lmc.program.program import Program, open_program
from lmc.program.task import (
    NO_DATA,
    Data,
    Target,
    Task,
    find_data,
    find_metric,
    find_target,
    metric_name,
    require_effects,
)
from lmc.runtime.stores import FrozenStores
from lmc.stores.brought import BadRecords, require_bounded, snapshots_of

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Row, Split
    from lmc.runtime.executor import Executor

DEFAULT_STEPS = "auto()"
MOST_SAMPLES = 64  # of a row at the gate


@frozen
class RowParts:
    """The parts of the data. One half of dev chooses (select), the other half confirms.

    The parts are disjoint, unless nothing is proven: then all of dev does both.
    """

    train: tuple[Row, ...]
    select: tuple[Row, ...]
    confirm: tuple[Row, ...]
    test: tuple[Row, ...]
    digest: str

    @classmethod
    def of(cls, split: Split, seed: int, accept: Accept = "proven") -> RowParts:
        """Split dev into two random halves by the seed."""
        dev = list(split.dev)
        random.Random(f"{seed}/dev").shuffle(dev)
        half = (len(dev) + 1) // 2
        chosen, held = (dev[:half], dev[half:]) if accept == "proven" else (dev, dev)
        parts = tuple(split.train), tuple(chosen), tuple(held), tuple(split.test)
        return cls(*parts, digest=_digest(parts))

    def __bool__(self) -> bool:
        return bool(self.train or self.select or self.confirm or self.test)

    def counts(self) -> dict[str, int]:
        """The number of rows of each part."""
        return {
            "train": len(self.train),
            "select": len(self.select),
            "confirm": len(self.confirm),
            "test": len(self.test),
        }

    def shrunk(self, share: float) -> RowParts:
        """A copy with fewer rows to confirm and to test."""
        confirm = self.confirm[: int(len(self.confirm) * share)]
        return replace(self, confirm=confirm, test=self.test[: int(len(self.test) * share)])


@frozen
class FixedMetric:
    """A metric that scores all candidates alike, even if it calls modules of the program.

    It always runs them with the judge, never with a candidate's parameters.
    """

    metric: Metric
    judge: Executor

    @property
    def name(self) -> str:
        """The metric as the user wrote it."""
        return self.metric.name

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row with the judge instead of the candidate's own executor."""
        return await self.metric.score(gold, pred, self.judge)


@frozen
class CompileJob:
    """A task with everything that decides how it is improved.

    `name` is the file name of the program, `sources` are its texts. `keep` names the modules that
    must not change. `calls_per_run` is the number of model calls of a run and its scoring.
    `brought` are the records that the artifact gets for the stores of the program.
    """

    task: Task
    name: str
    sources: Mapping[str, str]
    rows: RowParts
    steps: tuple[Step, ...]
    objective: Objective | None
    guards: tuple[Guard, ...]
    keep: tuple[str, ...]
    accept: Accept
    budget: Mapping[str, float]
    calls_per_run: int
    confirm_samples: int
    stores: FrozenStores
    brought: Mapping[str, Sequence[Any]]

    @property
    def program(self) -> Program:
        """The program to improve."""
        return self.task.program

    @property
    def target(self) -> str:
        """The name of the module or pipeline to improve."""
        return self.task.graph.name

    @property
    def model(self) -> str | None:
        """The model that replaces every model of the program."""
        return self.program.options.model

    def identity(self) -> dict[str, Any]:
        """Everything that decides the outcome. The same identity means the same run."""
        metric = self.task.metric
        return {
            "program": self.name,
            "sources": {n: hashlib.sha256(t.encode()).hexdigest() for n, t in self.sources.items()},
            "parameters": self.program.parameters.to_json(),
            "target": self.target,
            "metric": metric.name,
            "metric_code": code_digest(metric),
            "data": self.rows.digest,
            "rows": self.rows.counts(),
            "objective": self.objective.text if self.objective else None,
            "guards": [guard.name for guard in self.guards],
            "keep": list(self.keep),
            "accept": self.accept,
            "steps": list(steps_text(self.steps)),
            "budget": dict(self.budget),
            "seed": self.task.seed,
            "model": self.model,
            **({"confirm_samples": n} if (n := self.confirm_samples) > 1 else {}),
            **self._made(),
            **self._given(),
        }

    def _made(self) -> dict[str, Any]:
        """Digests of the rows of which steps make others."""
        names = {name for step in self.steps if (name := made_by(step)) is not None}
        target, found = self.task.target, {}
        for name in sorted(names):
            seeds = seed_rows(target, find_making(target, name), self.rows.train, self.task.seed)
            found[name] = _digest([seeds])
        return {"made_of": found} if found else {}

    def _given(self) -> dict[str, Any]:
        """What the user put in the place of what the program names, where he did."""
        options, functions = self.program.options, self.program.consent.functions
        base_url = {"base_url": options.base_url} if options.base_url else {}
        names = {name: _named(given) for name, given in functions.items()}
        return base_url | ({"functions": names} if names else {}) | self._remembered()

    def _remembered(self) -> dict[str, Any]:
        """Hashes of what the stores hold, if the target reads any."""
        names = reached_stores(self.program.graph, self.task.graph)
        read = self.stores.read(names) if names else {}
        found = {"stores": {name: read[name].digest for name in names}} if names else {}
        brought = {name: each.digest for name, each in snapshots_of(self.brought).items()}
        return {**found, "brought": brought} if brought else found

    @property
    def id(self) -> str:
        """The name of the job. Equal identities have equal names."""
        return job_name(self.identity())

    def default_folder(self) -> Path:
        """The folder of the run unless the user names another."""
        return RUNS_DIR / self.id


def _named(given: Given) -> str | list[str]:
    """The names of functions that a user gave."""
    if isinstance(given, Sequence):
        return [f"{f.__module__}:{f.__qualname__}" for f in given]
    return f"{given.__module__}:{given.__qualname__}"


def settle(program: str | Path | Program, options: CompileOptions) -> CompileJob:
    """Make the job from the options and the program's `optimize` block.

    Raises: LmcError if something is missing or does not fit.
    """
    target = find_target(open_program(program, options), options.target)
    graph_part(target.program.graph)  # an artifact can hold it
    require_effects(target.program.graph, target.graph, allowed=options.effects)
    steps = _steps(options, target)
    check_steps(steps)
    data = _data(target, options, steps)
    task = Task(target, data, _metric(target, data, options.metric), options.seed)
    declared = target.declared.settings if target.declared else {}
    guards = options.guards or declared.get("guards", ())
    judges = [task.metric.name, *guards]
    require_effects(task.program.graph, target.graph, judges, allowed=options.effects)
    rows = RowParts.of(data.split, options.seed, options.accept)
    stores = FrozenStores(task.program.stores)
    if rows:
        _require_rows(rows)
    aim = options.objective or declared.get("objective")
    return CompileJob(
        task=task,
        name=_entry_name(program, task.program),
        sources=_sources(task.program),
        rows=rows,
        steps=steps,
        objective=None if aim is None else Objective(aim, task.metric.name),
        guards=find_guards(task, guards),
        keep=tuple(declared.get("keep", ())),
        accept=options.accept,
        budget=_budget(target, options),
        calls_per_run=_calls_per_run(task),
        confirm_samples=_samples(options),
        stores=stores,
        brought=_brought(task.program, stores, all_of_them=options.with_stores),
    )


def _brought(
    program: Program, stores: FrozenStores, *, all_of_them: bool
) -> Mapping[str, Sequence[Any]]:
    """The records that the artifact gets: what an artifact brought, or what the stores hold now.

    Raises: LmcError[no-stores, artifact-too-large].
    """
    if not all_of_them:
        return program.parameters.stores
    if not program.graph.stores:
        message = "the program has no stores that the artifact could bring"
        raise LmcError.of("no-stores", message, help="leave `--with-stores` out")
    found = stores.read(sorted(program.graph.stores))
    brought = {name: held.records for name, held in found.items() if held.records}
    try:
        require_bounded(brought)
    except BadRecords as problem:
        help = "keep fewer records (`keep:`), or give the database to whoever runs the artifact"
        raise LmcError.of("artifact-too-large", str(problem), help=help) from None
    return brought


def _samples(options: CompileOptions) -> int:
    """The runs of each row at the gate. Raises: LmcError[bad-option]."""
    if not 1 <= options.confirm_samples <= MOST_SAMPLES:
        message = f"`confirm_samples` is from 1 to {MOST_SAMPLES}, not {options.confirm_samples}"
        raise LmcError.of("bad-option", message)
    return options.confirm_samples


def _data(target: Target, options: CompileOptions, steps: Sequence[Step]) -> Data:
    """The rows, or no rows if no step needs any. Raises: LmcError."""
    try:
        return find_data(target, options.data, options.seed)
    except LmcError as problem:
        if problem.code == "no-data" and not any(BY_NAME[s.name].needs_rows for s in steps):
            return NO_DATA
        raise


def _metric(target: Target, data: Data, given: Any) -> Metric:
    """The metric. The compilation replaces `preference`, since only it can run the start."""
    if data is NO_DATA:
        return Unscored("no metric")
    if metric_name(target, given) == PREFERENCE:
        return Unscored(PREFERENCE)
    return find_metric(target, data, given)


@frozen
class Unscored:
    """Scores nothing: there are no rows, the compilation replaces it, or runs need no score."""

    name: str

    async def score(self, gold: Any, pred: Any, executor: Any = None) -> Score:
        """A run that came to its end."""
        return Score(1.0)


def _steps(options: CompileOptions, target: Target) -> tuple[Step, ...]:
    if options.optimizer is not None:
        return parse_steps(options.optimizer)
    if options.steps is not None:
        return tuple(options.steps)
    declared = target.declared.steps if target.declared else ()
    return declared or parse_steps(DEFAULT_STEPS)


def _budget(target: Target, options: CompileOptions) -> Mapping[str, float]:
    if options.budget is not None:
        return dict(options.budget)
    return dict(target.declared.budget) if target.declared else {}


def _require_rows(rows: RowParts) -> None:
    """Refuse data that cannot prove a gain, before the first model call."""
    dev, help = len(rows.select) + len(rows.confirm), None
    if len(rows.confirm) < MIN_CONFIRM_ROWS:
        needed = 2 * MIN_CONFIRM_ROWS
        message = f"dev has {dev} rows; confirming a gain needs at least {needed}"
        help = "half of the dev rows choose among candidates, the other half confirms the choice"
    elif not rows.test:
        message = "there are no test rows to measure the result on"
    else:
        return
    raise LmcError.of("too-few-rows", message, help=help)


def _entry_name(program: Any, loaded: Program) -> str:
    if loaded.checked is not None:
        return Path(loaded.checked.source.name).name
    if loaded.artifact is not None:
        return loaded.artifact.manifest.entry
    return Path(program).name if isinstance(program, str | Path) else "program"


def _sources(program: Program) -> Mapping[str, str]:
    """The source texts under relative names, so that no path of this machine is stored."""
    if program.checked is None:
        return program.artifact.sources if program.artifact else {}
    base = program.base_dir or Path()
    named = ((tree.source, tree.source.path) for tree in program.checked.trees)
    return {_inner_name(s.name, path, base): s.text for s, path in named}


def _inner_name(name: str, path: Path | None, base: Path) -> str:
    if path is None:
        return name.strip("/")
    resolved = path.resolve()
    if resolved.is_relative_to(base.resolve()):
        return resolved.relative_to(base.resolve()).as_posix()
    return f"outside/{resolved.name}"


def _calls_per_run(task: Task) -> int:
    """The calls of a run and its scoring, without repairs; 1 if no bound is known."""
    graph, metric = task.program.graph, task.metric.name
    names = [task.graph.name, *([metric] if metric in graph.graphs else [])]
    calls = sum(cost(graph, name).baseline for name in names)
    return int(calls) if math.isfinite(calls) else 1


def _digest(parts: Sequence[Sequence[Row]]) -> str:
    text = json.dumps([[[r.id, r.values] for r in part] for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
