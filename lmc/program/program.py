"""Programs as Python objects: load, call, and get typed values back."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import fields
from functools import cached_property
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.consent import OWN, Consent
from lmc.diagnostics import LmcError, error
from lmc.ir.graph import Graph, ProgramGraph
from lmc.ir.tool_graphs import own_tools
from lmc.media.given import Access
from lmc.models.batch_api import BatchApi
from lmc.options import takes
from lmc.program.options import LoadOptions, ModelOptions
from lmc.program.prompting import Mirror, first_prompt
from lmc.program.remembering import VARIABLE, open_stores
from lmc.program.streams import Stream, field_path, partly, text_pieces
from lmc.prompts.spec import Message
from lmc.regular import real_path
from lmc.requests.cache import Cache
from lmc.requests.database_cache import open_cache
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.binding import bind_inputs
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters
from lmc.runtime.stores import FrozenStores, KeptStores, Stores
from lmc.runtime.streaming import Listener, SpokenText, snapshots
from lmc.runtime.tools import told_target
from lmc.runtime.traces import Trace
from lmc.runtime.votes.difficulty import Seat, seats
from lmc.stores.brought import snapshots_of
from lmc.tasks.garbage import fewer_collections
from lmc.tasks.loop import at_close, forget_closer, run_async, run_sync
from lmc.tasks.together import for_all
from lmc.telemetry.switch import is_traced, require_installed
from lmc.types import StrType
from lmc.values import InvalidValue, to_json, to_python
from lmc.values.names import input_names, python_names, renamed
from lmc.values.taking import holds_media

if TYPE_CHECKING:
    from lmc.check.program import CheckedProgram
    from lmc.cluster.crew import Crew
    from lmc.program.artifact import Artifact
    from lmc.program.held import Blocks
    from lmc.program.reports import RunReport
    from lmc.program.watching import Watcher
    from lmc.requests.spans import Spans

BATCH_IN_FLIGHT = 256
DEFERRED_IN_FLIGHT = 20_000  # runs at a time that wait for a batch API, in memory


@takes(LoadOptions)
def load(path: str | Path, options: LoadOptions) -> Program:
    """Load a program (`.lmp`) or a compiled artifact (`.lmpc`), without running it.

    The options are the fields of `LoadOptions`, as keywords:

    - `model` replaces every model of the program.
    - `cache` is False to keep no answers on disk, or the path or database's URL of the cache.
    - `backend` answers instead of the models: one for all, or a mapping by name.
    - `base_url` is the server address of all models that are asked over HTTP.
    - `record` is a file that keeps all answers; the model `recorded/FILE` replays them.
    - `tools`, `hosts`, `paths` and `urls` allow what needs consent: the Python functions of an
      artifact, hosts that keys may go to, folders to read besides the program's own, and hosts
      from which inputs may fetch media.
    - `stores` is where all stores of the program are: a file, a database's URL, or "memory".
    - `speculate` is the most calls in progress before it is known that they are needed.
    - `on_call` is called with the `CallReport` of each call of a model as it ends.
    - `on` is a cluster whose processes do the runs, such as "ray".
    - `otel` sends runs to a tracing tool by OpenTelemetry.

    Raises: LmcError with all errors in the program.
    """
    return _load(path, options)


def _load(path: str | Path, options: LoadOptions) -> Program:
    path = Path(path)
    base_dir, stranger = (real_path(path) or path.absolute()).parent, path.suffix == ".lmpc"
    consent = options.consent(stranger=stranger)
    if is_traced(options.otel):
        require_installed()
    parameters, checked, artifact = Parameters(), None, None
    if stranger:
        from lmc.program.artifact import Artifact

        artifact = Artifact.read(path)
        graph, parameters = artifact.graph, artifact.parameters
        if options.model:  # it replaces what embeds elsewhere; then shared words choose
            from lmc.models.local_embedding import NAME as LOCAL_EMBEDDER

            parameters = parameters.without_embedders(but=LOCAL_EMBEDDER)
    else:
        checked = check_file(path, consent)
        graph = lower_checked(checked)
    consent.require_known(function_targets(graph))
    return Program(
        graph,
        options,
        parameters=parameters,
        checked=checked,
        artifact=artifact,
        base_dir=base_dir,
        consent=consent,
    )


def function_targets(graph: ProgramGraph) -> dict[str, str]:
    """The Python functions of a program, by the names of its tools and metrics."""
    metrics = {name: m.target for name, m in graph.metrics.items() if m.target is not None}
    return {name: told_target(tool) for name, tool in graph.tools.items()} | metrics


def open_program(
    program: Program | str | Path, options: ModelOptions, speculate: int = 0
) -> Program:
    """Return a loaded program unchanged, or load one with these options.

    Raises: LmcError[already-loaded] for an option that only loading can set.
    """
    shared = {field.name: getattr(options, field.name) for field in fields(ModelOptions)}
    given = LoadOptions(**shared, speculate=speculate)
    if not isinstance(program, Program):
        return _load(program, given)
    defaults = LoadOptions()
    for name in (field.name for field in fields(given)):
        if getattr(given, name) != getattr(defaults, name):
            message = f"`{name}` has no effect on a program that is already loaded"
            raise LmcError.of("already-loaded", message, help=f"give `{name}` to `lmc.load`")
    return program


def check_file(path: str | Path, consent: Consent = OWN) -> CheckedProgram:
    """Read, parse and check a file. Raises: LmcError with all errors found."""
    from lmc.check import check_program, open_source

    program, diagnostics = check_program(open_source(path), consent=consent)
    errors = [d for d in diagnostics if d.severity == "error"]
    if program is None or errors:
        raise LmcError(*errors)
    return program


def lower_checked(program: CheckedProgram, *, passes: bool = True) -> ProgramGraph:
    """The execution graph of a checked program, after the compiler's passes.

    Raises: LmcError[calls-too-deep].
    """
    from lmc.ir.lower import lower
    from lmc.passes.pipeline import run_passes

    graph = lower(program)
    if not passes:
        return graph
    _refuse_too_deep(program, graph)
    return run_passes(graph)


def _refuse_too_deep(program: CheckedProgram, graph: ProgramGraph) -> None:
    """Raise an error at what calls deeper than a run follows. Inlined pipelines are no calls."""
    from lmc.ir.verify import MOST_LEVELS, too_deep
    from lmc.passes.context import PassContext
    from lmc.passes.inline import inline

    if too_deep(graph) is None or (name := too_deep(inline(graph, PassContext()))) is None:
        return
    declared = program.pipelines.get(name) or program.modules[name]
    message = f"`{name}` nests calls and branches more than {MOST_LEVELS} deep in one another"
    help = "call fewer pipelines and modules in a row, or repeat a step with a `loop`"
    raise LmcError(error("calls-too-deep", message, declared.span, help=help))


def lower_file(path: str | Path, *, passes: bool = True) -> ProgramGraph:
    """The execution graph of a program file, or the stored graph of an artifact."""
    if Path(path).suffix == ".lmpc":
        from lmc.program.artifact import Artifact

        return Artifact.read(Path(path)).graph
    return lower_checked(check_file(path), passes=passes)


class Program:
    """A loaded program. Its modules, pipelines and tools are attributes, such as `program.main`.

    An attribute whose name Python or this class has taken ends with `_`, such as `program.graph_`.
    `program["name"]` gives each by its own name, and imported ones (`file.name`).
    """

    def __init__(
        self,
        graph: ProgramGraph,
        options: LoadOptions | None = None,
        *,
        parameters: Parameters | None = None,
        checked: CheckedProgram | None = None,
        artifact: Artifact | None = None,
        base_dir: Path | None = None,
        consent: Consent | None = None,
    ) -> None:
        self.graph, self.base_dir = graph, base_dir
        self.checked, self.artifact = checked, artifact
        self.options = options or LoadOptions()
        self.consent = consent or self.options.consent(stranger=False)
        self.parameters = parameters or Parameters()

    def __getattr__(self, name: str) -> Callee:
        if not name.startswith("_"):
            if name in callables(self.graph):
                return self[name]
            if own := renamed(attributes(self)).get(name):
                return self[own]
        raise AttributeError(f"the program has no module, pipeline or tool `{name}`")

    def __getitem__(self, name: str) -> Callee:
        return Callee(self, self.executor.graph(name))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *attributes(self).values()]

    def _repr_html_(self) -> str:
        """The graph of `main`, for notebooks."""
        from lmc.ir.svg import draw

        return draw(self.graph)

    def target(self, name: str | None = None) -> Callee:
        """A module, pipeline or tool by name. None is `main`, else the last one of the file.

        Raises: LmcError[unknown-target, nothing-to-run].
        """
        name = name or self.graph.main
        if name is None:
            raise LmcError.of("nothing-to-run", "the program has no module or pipeline")
        return self[name]

    @cached_property
    def blocks(self) -> Blocks:
        """The datasets and `optimize` blocks, of an artifact those of the sources that it holds."""
        from lmc.program.held import Blocks, blocks_of, held_blocks

        if self.checked is not None:
            return blocks_of(self.checked)
        return held_blocks(self.artifact, self.base_dir or Path()) if self.artifact else Blocks()

    @cached_property
    def pool(self) -> ModelPool:
        """The program's models, on lmc's event loop. Each is opened at its first call."""
        pool = self.open_pool()
        at_close(pool.close)
        return pool

    @cached_property
    def crew(self) -> Crew | None:
        """The processes of a cluster that do the runs, if `on` names one.

        Raises: LmcError, as `open_crew`.
        """
        if self.options.on is None:
            return None
        from lmc.cluster.places import open_crew

        return open_crew(self.options.on)

    def close(self) -> None:
        """Close connections and engines. The end of the process does this too."""
        pool = self.__dict__.pop("pool", None)
        crew = self.__dict__.pop("crew", None)
        self.__dict__.pop("executor", None)
        if isinstance(stores := self.__dict__.get("stores"), KeptStores):
            stores.close()
        if pool is not None:
            forget_closer(pool.close)
            run_sync(pool.close())
        if crew is not None and self.options.on is not None:
            from lmc.cluster.places import leave_crew

            leave_crew(self.options.on)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @cached_property
    def executor(self) -> Executor:
        """The executor that runs the program with its parameters."""
        return self.open_executor(self.pool)

    @cached_property
    def watcher(self) -> Watcher | None:
        """What passes the calls of the program's runs to `on_call`."""
        if self.options.on_call is None:
            return None
        from lmc.program.watching import Watcher

        return Watcher(self.options.on_call)

    @cached_property
    def spans(self) -> Spans | None:
        """What tells a tracing tool of the program's runs. Raises: LmcError, as `open_spans`."""
        if not is_traced(self.options.otel):
            return None
        from lmc.telemetry.provider import open_spans

        return open_spans()

    @cached_property
    def stores(self) -> Stores:
        """Where the program remembers things between its runs."""
        where = self.options.stores or os.environ.get(VARIABLE)
        brought = snapshots_of(self.parameters.stores)
        return open_stores(self.graph, where, self.base_dir, self.consent, brought)

    @property
    def frozen_stores(self) -> FrozenStores:
        """The stores as the first of some runs finds them, where none keeps anything."""
        return FrozenStores(self.stores)

    def open_executor(
        self,
        pool: ModelPool,
        stores: Stores | None = None,
        parameters: Parameters | None = None,
        **more: Any,
    ) -> Executor:
        """An executor over another pool, such as one with a budget, and over other stores.

        `more` are options of `Executor`. With a cluster, its processes do the runs.
        """
        options: dict[str, Any] = {
            "model": self.options.model,
            "base_dir": self.base_dir,
            "speculate": self.options.speculate,
            "consent": self.consent,
            "stores": stores or self.stores,
            "watch": self.watcher,
        }
        own = self.parameters if parameters is None else parameters
        if not isinstance(pool, ModelPool) or self.crew is None:  # a preview asks nobody
            executor = Executor(self.graph, pool, own, **options | more)
            executor.in_flight = DEFERRED_IN_FLIGHT if self.options.batch_api else 0
            return executor
        from lmc.cluster.far import FarExecutor

        return FarExecutor(self.crew, self.graph, pool, own, **options | more)

    def open_pool(self, **more: Any) -> ModelPool:
        """A pool of the program's models. `more` goes to `ModelPool`, such as a budget."""
        backend = self.options.backend
        backends = {ANY_MODEL: backend} if hasattr(backend, "generate") else backend
        options: dict[str, Any] = {
            "cache": self._open_cache(),
            "backends": backends,
            "base_dir": self.base_dir,
            "consent": self.consent,
            "record": Path(self.options.record) if self.options.record else None,
            "spans": self.spans,
            "batch_api": BatchApi.of(self.options.batch_api),
        }
        if self.crew is not None:
            from lmc.cluster.far import opening

            options["opener"] = opening(self.crew)
        return ModelPool(self.graph.models, self.graph.default, **(options | more))

    def _open_cache(self) -> Cache | None:
        cache = self.options.cache
        if cache is False:
            return None
        return open_cache(None if cache is True else cache)


def callables(graph: ProgramGraph) -> tuple[str, ...]:
    """The modules, pipelines and tools that Python can call."""
    return (*graph.exports, *own_tools(graph))


def attributes(program: Program) -> dict[str, str]:
    """The attribute of each module, pipeline and tool of a program, by their names."""
    own = {*vars(program), *dir(type(program))}
    return python_names(callables(program.graph), lambda name: iskeyword(name) or name in own)


class Callee:
    """A module, pipeline or tool of a loaded program: call it with Python values."""

    def __init__(
        self, program: Program, graph: Graph, whole: frozenset[tuple[str, ...]] = frozenset()
    ) -> None:
        self.program, self.graph, self._whole = program, graph, whole

    def __call__(self, /, *args: Any, **inputs: Any) -> Any:
        """Run it on inputs by position or name, and return the typed result. Raises: LmcError."""
        return run_sync(self._typed(self.bind(args, inputs)))

    async def acall(self, /, *args: Any, **inputs: Any) -> Any:
        """The same as a call, for coroutines on any event loop. Raises: LmcError."""
        return await run_async(self._typed(await self.bind_aside(args, inputs)))

    def traced(self, /, *args: Any, **inputs: Any) -> tuple[Any, RunReport]:
        """Run it, and return the typed result with a report of all calls and what they cost.

        Raises: LmcError, whose `run` is the report up to the failure.
        """
        return run_sync(self._reported(self.bind(args, inputs)))

    async def atraced(self, /, *args: Any, **inputs: Any) -> tuple[Any, RunReport]:
        """The same as `traced`, for coroutines on any event loop. Raises: LmcError."""
        return await run_async(self._reported(await self.bind_aside(args, inputs)))

    def batch(self, rows: Iterable[Any], *, return_exceptions: bool = False) -> list[Any]:
        """Run it on many rows concurrently, and return the results in row order.

        A row is a mapping of inputs, or the bare value if there is only one input. With
        `return_exceptions`, a failed row gives its LmcError. Otherwise the first failure stops all
        rows. Raises: LmcError.
        """
        bound = [self._bind_row(row) for row in rows]
        return run_sync(self._all(bound, return_exceptions=return_exceptions))

    def map_dataset(self, dataset: Any) -> Any:
        """Run it on the rows of a `ray.data.Dataset`: a dataset with columns for the results.

        The program needs `on="ray"`, and must stay open until the dataset is computed, which Ray
        Data does when it is read or written. Rows do not pass through this process. `pred` is the
        result as JSON. A failed row has `failed` and `error`. Raises: LmcError.
        """
        from lmc.cluster.ray_datasets import map_dataset
        from lmc.measure.blocks import BlockRows
        from lmc.measure.rows import target_row

        rows = BlockRows(target_row(self.graph), {}, self.program.consent)
        return map_dataset(self.program.executor, self.graph.name, rows, dataset)

    def stream(self, /, *args: Any, **inputs: Any) -> Stream[Any, Any]:
        """Run it, and give the result while it is written: to `for`, or to `async for`.

        A `str` comes in pieces. Of all other results each item is what is there so far: texts,
        lists and records grow, and everything else comes when it is complete. What one model call
        writes grows, as the result or as a field of it. The rest comes at the end.
        Raises: LmcError, at the first item.
        """
        bound, result = self.bind(args, inputs), self.graph.result

        async def start(hear: Callable[[SpokenText], None]) -> Any:
            listener = Listener(hear, self._whole)
            return await run_async(
                self.program.executor.run(self.graph.name, bound, listener=listener)
            )

        text = isinstance(result, StrType)
        shown = text_pieces if text else partly(result)
        return Stream(snapshots(start), shown, lambda value: to_python(result, value))

    def whole(self, *fields: str) -> Callee:
        """The same, but streams give these fields (`"reply"`, `"items.name"`) only when complete.

        Raises: LmcError[unknown-field].
        """
        paths = frozenset(field_path(self.graph.result, field) for field in fields)
        return Callee(self.program, self.graph, self._whole | paths)

    def prompt(self, /, *args: Any, **inputs: Any) -> list[Message]:
        """The messages of the first model call for these inputs. No model is asked.

        Raises: LmcError[no-prompt] if no model call comes first.
        """
        mirror: Any = Mirror(self.program.graph)
        executor = self.program.open_executor(mirror)
        return run_sync(first_prompt(executor, self.graph, self.bind(args, inputs)))

    def run_traced(
        self, inputs: Mapping[str, Any], trace: Trace | None = None
    ) -> tuple[Any, Trace]:
        """Run it and return the JSON result with the trace. A given `trace` survives failures."""
        trace = Trace() if trace is None else trace
        return run_sync(self._run(self.bind((), inputs), trace)), trace

    async def _reported(self, inputs: Mapping[str, Any]) -> tuple[Any, RunReport]:
        from lmc.program.reports import run_report

        trace, start_s, name = Trace(), time.perf_counter(), self.graph.name
        try:
            result = to_python(self.graph.result, await self._run(inputs, trace))
        except LmcError as failure:
            failure.run = run_report(name, trace, time.perf_counter() - start_s, failure)
            raise
        return result, run_report(name, trace, time.perf_counter() - start_s)

    def __repr__(self) -> str:
        parameters = ", ".join(f"{p.name}: {p.type}" for p in self.graph.inputs)
        return f"<{self.graph.kind} {self.graph.name}({parameters}) -> {self.graph.result}>"

    def _repr_html_(self) -> str:
        """Its graph, for notebooks."""
        from lmc.ir.svg import draw

        return draw(self.program.graph, self.graph.name)

    def _run(self, inputs: Mapping[str, Any], trace: Trace) -> Coroutine[Any, Any, Any]:
        return self.program.executor.run(self.graph.name, inputs, trace=trace)

    async def _typed(self, inputs: Mapping[str, Any], seat: Seat | None = None) -> Any:
        run = self.program.executor.run(self.graph.name, inputs, seat=seat)
        return to_python(self.graph.result, await run)

    async def _all(self, rows: list[dict[str, Any]], *, return_exceptions: bool) -> list[Any]:
        in_flight = max(BATCH_IN_FLIGHT, self.program.executor.in_flight)
        in_batch = seats(self.program.graph, self.graph, len(rows), in_flight)

        async def one(number: int, inputs: dict[str, Any]) -> Any:
            try:
                return await self._typed(inputs, in_batch(number))
            except LmcError as failure:
                if return_exceptions:
                    return failure
                raise

        with fewer_collections():
            return await for_all(rows, one, in_flight=in_flight)

    def _bind_row(self, row: Any) -> dict[str, Any]:
        return self.bind((), row) if isinstance(row, Mapping) else self.bind((row,), {})

    def bind(
        self, args: tuple[Any, ...], inputs: Mapping[str, Any], access: Access | None = None
    ) -> dict[str, Any]:
        """The validated JSON inputs by name. Files of media are read, as `access` allows.

        Raises: LmcError[too-many-inputs, missing-input, unknown-input, duplicate-input,
        invalid-input].
        """
        graph, access = self.graph, access or Access(consent=self.program.consent)
        if len(args) > len(graph.inputs):
            message = f"`{graph.name}` takes {len(graph.inputs)} inputs, not {len(args)}"
            raise LmcError.of("too-many-inputs", message, graph.span)
        given = {port.name: value for port, value in zip(graph.inputs, args)}
        own = renamed(input_names(graph.inputs))
        for key, value in inputs.items():
            name = own.get(key, key)
            if name in given:
                message = f"`{graph.name}` got its input `{name}` twice"
                raise LmcError.of("duplicate-input", message, graph.span)
            given[name] = value
        bind_inputs(graph, given)
        there = (port for port in graph.inputs if port.name in given)
        return {port.name: self._value(port, given[port.name], access) for port in there}

    async def bind_aside(
        self, args: tuple[Any, ...], inputs: Mapping[str, Any], access: Access | None = None
    ) -> dict[str, Any]:
        """The same, in a thread if files have to be read."""
        if any(holds_media(port.type) for port in self.graph.inputs):
            return await asyncio.to_thread(self.bind, args, inputs, access)
        return self.bind(args, inputs, access)

    def _value(self, port: Any, value: Any, access: Access) -> Any:
        try:
            return to_json(port.type, value, access)
        except InvalidValue as problem:
            what = f"the input `{port.name}` does not have the type `{port.type}`"
            message = f"`{self.graph.name}`: {what}: {problem}"
            raise LmcError.of("invalid-input", message, self.graph.span) from None
