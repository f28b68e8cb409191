"""What a compilation will do, settled and checked before anything is paid for."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.check.program import Choice, DatasetDef, OptimizeDef
from lmc.diagnostics import LmcError, error
from lmc.ir.cost import cost
from lmc.optimizers.routes import reached_modules
from lmc.optimizers.steps import check_steps, parse_steps, steps_text
from lmc.runtime.data import Row, Split, load_dataset, load_rows, split_rows, target_row
from lmc.runtime.metrics import resolve_metric

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.check.types import RecordType
    from lmc.ir.graph import Graph
    from lmc.runtime.executor import Executor
    from lmc.runtime.metric_functions import Score
    from lmc.runtime.metrics import Metric
    from lmc.runtime.program import Program

DEFAULT_STEPS = "bootstrap(demos=4)"
RUNS_DIR = Path(".lmc/runs")


@dataclass(frozen=True, slots=True)
class Rows:
    """The parts of the data, disjoint: dev is halved, one half chooses, the other confirms."""

    train: tuple[Row, ...]
    select: tuple[Row, ...]
    confirm: tuple[Row, ...]
    test: tuple[Row, ...]
    digest: str

    @classmethod
    def of(cls, split: Split, seed: int) -> Rows:
        """Halve dev at random, by the seed."""
        dev = list(split.dev)
        random.Random(f"{seed}/dev").shuffle(dev)
        half = (len(dev) + 1) // 2
        parts = tuple(split.train), tuple(dev[:half]), tuple(dev[half:]), tuple(split.test)
        return cls(*parts, digest=_digest(parts))

    def counts(self) -> dict[str, int]:
        """Rows of each part."""
        return {
            "train": len(self.train),
            "select": len(self.select),
            "confirm": len(self.confirm),
            "test": len(self.test),
        }

    def shrunk(self, share: float) -> Rows:
        """Fewer rows to confirm and to test; the rest is left as it is."""
        confirm = self.confirm[: int(len(self.confirm) * share)]
        return replace(self, confirm=confirm, test=self.test[: int(len(self.test) * share)])


@dataclass(frozen=True, slots=True)
class FixedMetric:
    """A metric that judges all candidates alike, also where it calls modules of the program."""

    name: str
    metric: Metric
    judge: Executor | None

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score one row; the candidate's own executor is left aside."""
        return await self.metric.score(gold, pred, self.judge)


@dataclass(frozen=True, slots=True)
class Plan:
    """A program with all that decides how it is improved."""

    program: Program
    name: str
    sources: Mapping[str, str]
    target: str
    metric: str | Metric
    row_type: RecordType | None
    rows: Rows
    steps: tuple[Step, ...]
    budget: Mapping[str, float]
    seed: int
    model: str | None
    calls_per_run: int

    @property
    def metric_name(self) -> str:
        """The metric as the user wrote it."""
        return self.metric if isinstance(self.metric, str) else self.metric.name

    def open_metric(self, executor: Executor | None) -> Metric:
        """The metric; what it asks of models, this executor asks. Raises: LmcError."""
        metric = self.metric
        if isinstance(metric, str):
            metric = resolve_metric(
                metric,
                self.program.graph,
                self.program.graph.graphs[self.target],
                list(self.rows.test[0].values),
                row_type=self.row_type,
                base_dir=self.program.base_dir,
            )
        return FixedMetric(metric.name, metric, executor)

    def identity(self) -> dict[str, Any]:
        """All that decides the outcome: the same identity means the same run."""
        return {
            "program": self.name,
            "sources": {n: hashlib.sha256(t.encode()).hexdigest() for n, t in self.sources.items()},
            "parameters": self.program.parameters.to_json(),
            "target": self.target,
            "metric": self.metric_name,
            "data": self.rows.digest,
            "rows": self.rows.counts(),
            "steps": list(steps_text(self.steps)),
            "budget": dict(self.budget),
            "seed": self.seed,
            "model": self.model,
        }

    def default_run_dir(self) -> Path:
        """Where the run is kept unless the user says otherwise."""
        text = json.dumps(self.identity(), sort_keys=True)
        return RUNS_DIR / f"{Path(self.name).stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def used_models(plan: Plan) -> list[str | None]:
    """Every model that a run of the target or a teacher may ask; None is the program's default."""
    names: dict[str | None, None] = {}
    for module in reached_modules(plan.program.graph, plan.target).values():
        own = plan.program.parameters.modules.get(module.name)
        model = plan.model or (own and own.model) or module.slots.settings.get("model")
        options = model.options if isinstance(model, Choice) else (model,)
        names.update(dict.fromkeys(options))
    teachers = (step.kwargs.get("teacher") for step in plan.steps)
    return [*names, *(teacher for teacher in teachers if teacher)]


def make_plan(
    program: str | Path | Program,
    *,
    target: str | None,
    metric: Any,
    data: Any,
    optimizer: str | None,
    steps: Sequence[Step] | None,
    model: str | None,
    budget: Mapping[str, float] | None,
    seed: int | None,
    cache: bool | str | Path,
    backend: Any,
) -> Plan:
    """Settle everything from the options and the program's `optimize` block.

    Raises: LmcError with what is missing or does not fit.
    """
    loaded = _load(program, model=model, cache=cache, backend=backend)
    declared = _declaration(loaded, target)
    name = target or (declared.target if declared else None)
    graph = loaded.target(name).graph
    seed = seed or 0
    chosen = _steps(optimizer, steps, declared)
    check_steps(chosen)
    given_metric = metric or (declared.metric if declared else None)
    if given_metric is None:
        message = f"no metric to improve `{graph.name}` by"
        raise LmcError(
            error("no-metric", message, help="give --metric, or `metric:` in `optimize`")
        )
    dataset = _dataset(loaded, data, declared)
    rows = Rows.of(_split(loaded, data, dataset, graph, seed), seed)
    _require_rows(rows)
    plan = Plan(
        program=loaded,
        name=_entry_name(program, loaded),
        sources=_sources(loaded),
        target=graph.name,
        metric=given_metric,
        row_type=dataset.row if dataset else None,
        rows=rows,
        steps=chosen,
        budget=dict(budget if budget is not None else (declared.budget if declared else {})),
        seed=seed,
        model=model,
        calls_per_run=_calls_per_run(loaded, graph.name, given_metric),
    )
    plan.open_metric(None)
    return plan


def _load(program: Any, *, model: str | None, cache: Any, backend: Any) -> Program:
    from lmc.runtime.program import load

    if not isinstance(program, str | Path):
        loaded: Program = program
        return loaded
    return load(program, model=model, cache=cache, backend=backend)


def _declaration(program: Program, target: str | None) -> OptimizeDef | None:
    """The `optimize` block for the target; without one named, the file's last block."""
    blocks = program.checked.optimizes if program.checked else []
    fitting = [b for b in blocks if target is None or b.target == target]
    return fitting[-1] if fitting else None


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


def _dataset(program: Program, data: Any, declared: OptimizeDef | None) -> DatasetDef | None:
    """The dataset that is named, or that the `optimize` block is about."""
    datasets = program.checked.datasets if program.checked else {}
    name = data if isinstance(data, str) and data in datasets else declared and declared.data
    return datasets.get(name) if name else None


def _split(
    program: Program, data: Any, dataset: DatasetDef | None, graph: Graph, seed: int
) -> Split:
    """The rows of a dataset of the program, of a file, or given as mappings."""
    inputs = [port.name for port in graph.inputs]
    if dataset is not None and data in (None, dataset.name):
        return load_dataset(dataset, program.base_dir, inputs=inputs, seed=seed)
    if data is None:
        message = f"no data to improve `{graph.name}` with"
        raise LmcError(error("no-data", message, help="give --data, or `data:` in `optimize`"))
    if not isinstance(data, str | Path):
        rows = [Row(f"{number}", dict(values)) for number, values in enumerate(data, start=1)]
    elif dataset is not None:  # another file in the place of the declared one
        rows = load_rows(Path(data), dataset.row, dataset.settings.get("columns"))
    else:
        rows = load_rows(Path(data), target_row(graph), others=True)
    return split_rows(rows, seed=seed, inputs=inputs)


def _require_rows(rows: Rows) -> None:
    for part, count in rows.counts().items():
        if not count and part != "train":
            name = part if part == "test" else "dev"
            message = f"the {name} part of the data has too few rows: {count} to {part}"
            help = "give more rows, or a `split:` with train, dev and test"
            raise LmcError(error("too-few-rows", message, help=help))


def _entry_name(program: Any, loaded: Program) -> str:
    if loaded.checked is not None:
        return Path(loaded.checked.source.name).name
    return Path(program).name if isinstance(program, str | Path) else "program"


def _sources(program: Program) -> dict[str, str]:
    """Source texts under names that hold no path of this machine."""
    if program.checked is None:
        return {}
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
