"""What a compilation will do, settled and checked before anything is paid for."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmc.diagnostics import LmcError, error
from lmc.frozen import frozen
from lmc.ir.cost import cost
from lmc.measure.metric_functions import code_digest
from lmc.measure.objective import Objective
from lmc.optimizers.assistant.preference import NAME as PREFERENCE
from lmc.optimizers.candidates.gate import MIN_CONFIRM_ROWS
from lmc.optimizers.compilation.catalog import BY_NAME
from lmc.optimizers.compilation.guards import Guard, find_guards
from lmc.optimizers.compilation.journal import RUNS_DIR
from lmc.optimizers.compilation.steps import check_steps, parse_steps, steps_text
from lmc.program.artifact import Artifact
from lmc.program.measuring import NO_DATA, find_data, find_metric, goal

if TYPE_CHECKING:
    from lmc.check.program import OptimizeDef, Step
    from lmc.ir.graph import Graph
    from lmc.measure.metric_functions import Score
    from lmc.measure.metrics import Metric
    from lmc.measure.rows import Row, Split
    from lmc.program.measuring import Data
    from lmc.program.program import Program
    from lmc.runtime.executor import Executor

Accept = Literal["proven", "better"]  # what the gate lets pass
DEFAULT_STEPS = "auto()"


@frozen
class RowParts:
    """The parts of the data: dev is halved, one half chooses, the other confirms.

    Where nothing is to be proven all of dev does both. Else the parts are disjoint.
    """

    train: tuple[Row, ...]
    select: tuple[Row, ...]
    confirm: tuple[Row, ...]
    test: tuple[Row, ...]
    digest: str

    @classmethod
    def of(cls, split: Split, seed: int, accept: Accept = "proven") -> RowParts:
        """Halve dev at random, by the seed."""
        dev = list(split.dev)
        random.Random(f"{seed}/dev").shuffle(dev)
        half = (len(dev) + 1) // 2
        chosen, held = (dev[:half], dev[half:]) if accept == "proven" else (dev, dev)
        parts = tuple(split.train), tuple(chosen), tuple(held), tuple(split.test)
        return cls(*parts, digest=_digest(parts))

    def __bool__(self) -> bool:
        return bool(self.train or self.select or self.confirm or self.test)

    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        return {
            "train": len(self.train),
            "select": len(self.select),
            "confirm": len(self.confirm),
            "test": len(self.test),
        }

    def shrunk(self, share: float) -> RowParts:
        """Fewer rows to confirm and to test; the rest is left as it is."""
        confirm = self.confirm[: int(len(self.confirm) * share)]
        return replace(self, confirm=confirm, test=self.test[: int(len(self.test) * share)])


@frozen
class FixedMetric:
    """A metric that judges all candidates alike, also where it calls modules of the program."""

    metric: Metric
    judge: Executor

    @property
    def name(self) -> str:
        """The metric as the user wrote it."""
        return self.metric.name

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row; the candidate's own executor is left aside."""
        return await self.metric.score(gold, pred, self.judge)


@frozen
class Task:
    """A program with all that decides how it is improved."""

    program: Program
    name: str
    sources: Mapping[str, str]
    target: str
    metric: Metric
    rows: RowParts
    objective: Objective | None
    guards: tuple[Guard, ...]
    keep: tuple[str, ...]
    accept: Accept
    steps: tuple[Step, ...]
    budget: Mapping[str, float]
    seed: int
    model: str | None
    calls_per_run: int

    def identity(self) -> dict[str, Any]:
        """All that decides the outcome: the same identity means the same run."""
        return {
            "program": self.name,
            "sources": {n: hashlib.sha256(t.encode()).hexdigest() for n, t in self.sources.items()},
            "parameters": self.program.parameters.to_json(),
            "target": self.target,
            "metric": self.metric.name,
            "metric_code": code_digest(self.metric),
            "data": self.rows.digest,
            "rows": self.rows.counts(),
            "objective": self.objective.text if self.objective else None,
            "guards": [guard.name for guard in self.guards],
            "keep": list(self.keep),
            "accept": self.accept,
            "steps": list(steps_text(self.steps)),
            "budget": dict(self.budget),
            "seed": self.seed,
            "model": self.model,
        }

    @property
    def job(self) -> str:
        """The name of the run: equal for equal identities."""
        text = json.dumps(self.identity(), sort_keys=True)
        return f"{Path(self.name).stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def default_run_dir(self) -> Path:
        """Where the run is kept unless the user says otherwise."""
        return RUNS_DIR / self.job


def make_task(
    program: str | Path | Program,
    *,
    target: str | None,
    metric: Any,
    data: Any,
    objective: str | None,
    guards: Sequence[str] | None,
    accept: Accept,
    optimizer: str | None,
    steps: Sequence[Step] | None,
    model: str | None,
    budget: Mapping[str, float] | None,
    seed: int | None,
    cache: bool | str | Path,
    backend: Any,
) -> Task:
    """Settle everything from the options and the program's `optimize` block.

    Raises: LmcError with what is missing or does not fit.
    """
    loaded = _load(program, model=model, cache=cache, backend=backend)
    graph, declared = goal(loaded, target)
    chosen = _steps(optimizer, steps, declared)
    check_steps(chosen)
    found = _data(loaded, graph, data, declared, seed or 0, chosen)
    scored_by = _metric(loaded, graph, metric, declared, found)
    rows = RowParts.of(found.split, seed or 0, accept)
    if rows:
        _require_rows(rows)
    aim = objective or (declared.settings.get("objective") if declared else None)
    names = guards or (declared.settings.get("guards", ()) if declared else ())
    return Task(
        program=loaded,
        name=_entry_name(program, loaded),
        sources=_sources(program, loaded),
        target=graph.name,
        metric=scored_by,
        rows=rows,
        objective=None if aim is None else Objective(aim, scored_by.name),
        guards=find_guards(loaded, graph, names, declared, found, seed or 0),
        keep=tuple(declared.settings.get("keep", ())) if declared else (),
        accept=accept,
        steps=chosen,
        budget=dict(budget if budget is not None else (declared.budget if declared else {})),
        seed=seed or 0,
        model=loaded.model,
        calls_per_run=_calls_per_run(loaded, graph.name, scored_by.name),
    )


def _data(
    program: Program,
    graph: Graph,
    given: Any,
    declared: OptimizeDef | None,
    seed: int,
    steps: Sequence[Step],
) -> Data:
    """The rows; none at all where no step needs any. Raises: LmcError."""
    try:
        return find_data(program, graph, given, declared, seed)
    except LmcError as problem:
        if problem.code == "no-data" and not any(BY_NAME[s.name].needs_rows for s in steps):
            return NO_DATA
        raise


def _metric(
    program: Program, graph: Graph, metric: Any, declared: OptimizeDef | None, data: Data
) -> Metric:
    """The metric; `preference` is made by the compilation, which knows who answers before."""
    wanted = metric or (declared.metric if declared else None)
    if data is NO_DATA:
        return _Unscored("no metric")
    if wanted == PREFERENCE:
        return _Unscored(PREFERENCE)
    return find_metric(program, graph, metric, declared, data)


@frozen
class _Unscored:
    """Stands for a metric where there is nothing to score, or nobody to ask yet."""

    name: str

    async def score(self, gold: Any, pred: Any, executor: Any = None) -> Score:
        """Never asked."""
        raise NotImplementedError


def _load(program: Any, *, model: str | None, cache: Any, backend: Any) -> Program:
    from lmc.program.program import load

    if not isinstance(program, str | Path):
        loaded: Program = program
        return loaded
    return load(program, model=model, cache=cache, backend=backend)


def _steps(
    optimizer: str | None, steps: Sequence[Step] | None, declared: OptimizeDef | None
) -> tuple[Step, ...]:
    if optimizer is not None:
        return parse_steps(optimizer)
    if steps is not None:
        return tuple(steps)
    if declared is not None and declared.steps:
        return declared.steps
    return parse_steps(DEFAULT_STEPS)


def _require_rows(rows: RowParts) -> None:
    """Refuse data on which no gain could be shown, before anything is paid."""
    dev, help = len(rows.select) + len(rows.confirm), None
    if len(rows.confirm) < MIN_CONFIRM_ROWS:
        needed = 2 * MIN_CONFIRM_ROWS
        message = f"dev has {dev} rows; with fewer than {needed} no gain can be confirmed"
        help = "half of dev chooses among candidates, the other half confirms the choice"
    elif not rows.test:
        message = "there are no test rows to measure the result on"
    else:
        return
    raise LmcError(error("too-few-rows", message, help=help))


def _entry_name(program: Any, loaded: Program) -> str:
    if loaded.checked is not None:
        return Path(loaded.checked.source.name).name
    return Path(program).name if isinstance(program, str | Path) else "program"


def _sources(given: Any, program: Program) -> Mapping[str, str]:
    """Source texts under names that hold no path of this machine."""
    if program.checked is None:
        return Artifact.read(Path(given)).sources if isinstance(given, str | Path) else {}
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


def _calls_per_run(program: Program, target: str, metric: Any) -> int:
    """Calls of a run and its scoring, without repairs; experience tells where no bound is known."""
    names = [target, *([metric] if metric in program.graph.graphs else [])]
    calls = sum(cost(program.graph, name).baseline for name in names)
    return int(calls) if math.isfinite(calls) else 1


def _digest(parts: Sequence[Sequence[Row]]) -> str:
    text = json.dumps([[[r.id, r.values] for r in part] for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
