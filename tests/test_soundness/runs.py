"""Runs of random programs, where every value of every node is held against its static type."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from lmc.canonical import same
from lmc.check import check_program
from lmc.consent import Consent
from lmc.diagnostics import Diagnostic, LmcError, render
from lmc.ir.cost import cost
from lmc.ir.graph import Graph, ProgramGraph
from lmc.ir.lower import lower
from lmc.measure.evaluate import evaluate
from lmc.measure.rows import Row
from lmc.models.scripted import prompt_text
from lmc.passes.pipeline import run_passes
from lmc.program.artifact import Artifact, Manifest
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.executor import Executor
from lmc.runtime.plan import Plan, PlannedNode
from lmc.runtime.streaming import Listener, snapshots
from lmc.runtime.traces import Trace
from lmc.source import Source
from lmc.stores.snapshot import Snapshot
from lmc.syntax.printer import format_source
from lmc.tasks.loop import run_sync
from lmc.types import DictType, ListType, OptionalType, RecordType, Type
from lmc.values.partials import to_partial
from tests.test_soundness.answers import RandomModel, random_tools
from tests.test_soundness.generator import OTHER, ProgramMaker, ProgramText
from tests.test_soundness.values import a_value, fits, fits_so_far

ONE_NAME = "test.lmp"
VALUELESS = ("keep", "assert")
STREAMED = 3  # every so many programs


class Unsound(AssertionError):
    """A program that broke a promise of the language."""


@dataclass
class Outcome:
    """What a run gave: a value, or the slug of the error that ended it."""

    value: Any = None
    error: str | None = None
    calls: int = 0
    kept: list[Any] = field(default_factory=list)


class CheckedExecutor(Executor):
    """An executor that looks at the value of every node."""

    faults: list[str]

    def plan(self, graph: Graph) -> Plan:
        """The plan of a graph, whose pure nodes check what they compute."""
        known = id(graph) in self._plans
        plan = super().plan(graph)
        if not known:
            self._watch(plan)
        return plan

    def _watch(self, plan: Plan) -> None:
        for planned in plan.nodes:
            for body in planned.bodies.values():
                self._watch(body)
            if planned.compute is not None:
                planned.compute = self._watched(planned, planned.compute)

    def _watched(self, planned: PlannedNode, compute: Any) -> Any:
        def checked(values: Any, env: Any) -> Any:
            value = compute(values, env)
            self.require_fit(planned, value)
            return value

        return checked

    def _perform(self, planned: PlannedNode, args: list[Any], scope: Any) -> Awaitable[Any]:
        working = super()._perform(planned, args, scope)

        async def checked() -> Any:
            value = await working
            self.require_fit(planned, value)
            return value

        return checked()

    def require_fit(self, planned: PlannedNode, value: Any) -> None:
        """Note a value outside of the type of its node. An error might be caught on its way."""
        node = planned.node
        if node.op not in VALUELESS and not fits(node.type, value):
            shown = f"{node.op} {dict(node.attrs).get('fn', '')} {node.id}"
            self.faults.append(f"{shown}: {value!r} is no `{node.type}` ({node.type!r})")


class HeldStores:
    """Stores in memory, whose snapshots are made of given records."""

    def __init__(self, records: dict[str, list[Any]]) -> None:
        self.records, self.kept = records, []  # type: ignore[var-annotated]

    def read(self, names: Any) -> dict[str, Snapshot]:
        """The same records for every run."""
        return {name: Snapshot(self.records[name]) for name in names}

    def commit(self, kept: Any) -> None:
        """Remember what was kept."""
        self.kept += kept


def prepare(
    program: ProgramGraph, seed: int, right: float
) -> tuple[CheckedExecutor, RandomModel, HeldStores]:
    """An executor of a program on a random model, with random tools and stores."""
    model, rng = RandomModel(seed, right), Random(seed)
    pool = ModelPool(program.models, program.default, backends={ANY_MODEL: model})
    stores = HeldStores(
        {
            name: _distinct(str(store.key), [a_value(rng, store.record) for _ in range(2)])[
                -store.keep :
            ]
            for name, store in program.stores.items()
        }
    )
    tools = random_tools(program, seed, right, model.faults)
    consent = Consent(functions=tools)
    executor = CheckedExecutor(program, pool, consent=consent, stores=stores)
    executor.faults = model.faults
    model.calls = lambda: executor._calls
    return executor, model, stores


def run_graph(program: ProgramGraph, seed: int, right: float, inputs: Any) -> Outcome:
    """Run `main` on a random model. Raises: Unsound, and whatever is no error of the language."""
    executor, model, stores = prepare(program, seed, right)
    trace, outcome = Trace(), Outcome()
    try:
        outcome.value = run_sync(executor.run("main", inputs, trace=trace))
    except LmcError as failure:
        outcome.error = failure.diagnostics[0].code
    outcome.calls, outcome.kept = len(trace.calls), stores.kept
    if model.faults:
        raise Unsound(model.faults[0])
    _check_trace(program, trace)
    return outcome


def _distinct(key: str, records: list[Any]) -> list[Any]:
    return [*{record[key]: record for record in records}.values()]


def _check_trace(program: ProgramGraph, trace: Trace) -> None:
    for region in trace.regions:
        graph = program.graphs.get(region.name)
        if graph is None or region.kind == "tool":
            continue
        types = {port.name: port.type for port in graph.inputs}
        for name, value in region.inputs.items():
            if name in types and not fits(types[name], value):
                raise Unsound(f"input {region.name}.{name}: {value!r} is no `{types[name]}`")
        if region.result is not None and not fits(graph.result, region.result):
            raise Unsound(f"result of {region.name}: {region.result!r} is no `{graph.result}`")


@dataclass
class Tally:
    """What a search went through."""

    programs: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    pieces: int = 0  # of results, in streams


def check_text(text: ProgramText) -> tuple[Any, list[Diagnostic]]:
    """Check a program, which may be in two files."""

    def read(name: str) -> Source:
        return Source(name, text.sources[name])

    return check_program(Source(ONE_NAME, text.main), read=read)


def try_program(seed: int, tally: Tally, *, whole: bool, text: ProgramText | None = None) -> None:
    """Make a program from a seed, and hold it against all promises.

    A `whole` try also formats the program, sends it through an artifact, streams it, and gives it
    rows with secrets. Raises: Unsound.
    """
    text = text or ProgramMaker(seed).make()
    tally.programs += 1
    checked, found = check_text(text)
    errors = [d for d in found if d.severity == "error"]
    if errors or checked is None:
        tally.refused[errors[0].code] += 1
        return
    plain = lower(checked)
    passed = run_passes(plain)
    graphs = [plain, passed, *(_other_forms(text, passed) if whole else ())]
    rng = Random(seed)
    right = rng.choice((1.0, 0.85))
    outcomes = [run_graph(graph, seed, right, some_inputs(Random(seed), plain)) for graph in graphs]
    tally.runs += len(outcomes)
    tally.ended[outcomes[0].error or "value"] += 1
    worst = cost(plain, "main")
    for outcome in outcomes:
        if outcome.calls > worst.calls:
            raise Unsound(f"{outcome.calls} calls, and at most {worst.calls} ({worst.formula})")
        _compare(outcomes[0], outcome)
    if whole:
        look_for_labels(passed, seed)
    if seed % STREAMED == 0 or whole:
        tally.pieces += stream(passed, seed, right, some_inputs(Random(seed), plain), outcomes[1])


def some_inputs(rng: Random, program: ProgramGraph) -> dict[str, Any]:
    """Random values for the parameters of `main`."""
    return {p.name: a_value(rng, p.type) for p in program.graphs["main"].inputs}


def look_for_labels(program: ProgramGraph, seed: int) -> None:
    """Measure a program on rows with secrets beside and within its inputs. Raises: Unsound."""
    rng, secret = Random(seed), f"SECRET{seed}"
    ports = program.graphs["main"].inputs
    rows = []
    for i in range(2):
        given = some_inputs(rng, program)
        values = {port.name: _with_secret(port.type, given[port.name], secret) for port in ports}
        rows.append(Row(f"row {i}", values | {"gold": secret}))
    executor, model, _ = prepare(program, seed, 1.0)
    run_sync(evaluate(executor, "main", rows, NoMetric()))
    for request in model.requests:
        if secret in prompt_text(request):
            raise Unsound(f"a label is in the prompt {prompt_text(request)!r}")


def _with_secret(type: Type, value: Any, secret: str) -> Any:
    """A value whose records tell their label in a field more."""
    match type:
        case OptionalType(item):
            return value if value is None else _with_secret(item, value, secret)
        case ListType(item):
            return [_with_secret(item, part, secret) for part in value]
        case DictType(item):
            return {key: _with_secret(item, part, secret) for key, part in value.items()}
        case RecordType(fields=fields):
            typed = {f.name: _with_secret(f.type, value[f.name], secret) for f in fields}
            return typed | {"told": secret}
    return value


class NoMetric:
    """A metric that finds everything good."""

    name = "none"

    async def score(self, gold: Any, pred: Any, executor: Any) -> Any:
        """One, whatever the prediction."""
        return Verdicted()


@dataclass
class Verdicted:
    """A score without words."""

    value: float = 1.0
    feedback: str = ""


def stream(program: ProgramGraph, seed: int, right: float, inputs: Any, whole: Outcome) -> int:
    """Stream `main`, and hold all that comes against its type. Returns how much came.

    Raises: Unsound.
    """
    executor, model, _ = prepare(program, seed, right)
    type = program.graphs["main"].result

    async def start(hear: Any) -> Any:
        return await executor.run("main", inputs, listener=Listener(hear))

    async def pieces() -> list[Any]:
        try:
            return [piece async for piece in snapshots(start)]
        except LmcError as failure:
            if failure.diagnostics[0].code != whole.error:
                raise Unsound(f"streamed, it ends with {failure.code}, not {whole}") from None
            return []

    found = run_sync(pieces())
    if model.faults:
        raise Unsound(model.faults[0])
    for piece in found:
        if not fits_so_far(type, piece):
            raise Unsound(f"a stream gives {piece!r}, which is no beginning of `{type}`")
        to_partial(type, piece)
    if whole.error is None and not (found and same(found[-1], whole.value)):
        raise Unsound(f"a stream ends with {found[-1:]!r}, not {whole.value!r}")
    return len(found)


def _compare(plain: Outcome, other: Outcome) -> None:
    """A pass may drop a call that fails and that nobody reads, but nothing else."""
    if plain.error is not None:
        return
    if other.error is not None:
        raise Unsound(f"without passes {plain.value!r}, with them the error {other.error}")
    if not same(plain.value, other.value):
        raise Unsound(f"without passes {plain.value!r}, with them {other.value!r}")
    if plain.kept != other.kept:
        raise Unsound(f"kept {plain.kept!r}, and {other.kept!r}")


def _other_forms(text: ProgramText, passed: ProgramGraph) -> list[ProgramGraph]:
    """The graph of the formatted text, and the graph out of an artifact."""
    parts = text.parts and format_source(Source(OTHER, text.parts))
    formatted = ProgramText(format_source(Source(ONE_NAME, text.main)), parts)
    again, found = check_text(formatted)
    if again is None:
        raise Unsound(f"formatted, it is refused: {render(found)}")
    return [run_passes(lower(again)), _through_artifact(passed, text)]


def _through_artifact(graph: ProgramGraph, text: ProgramText) -> ProgramGraph:
    manifest = Manifest(lmc="0", entry=ONE_NAME)
    data = Artifact(manifest, graph, sources={ONE_NAME: text.main, **text.sources}).to_bytes()
    read = Artifact._from_parts(_parts(data))
    if read.to_bytes() != data:
        raise Unsound("an artifact that is read and written again differs")
    return read.graph


def _parts(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
