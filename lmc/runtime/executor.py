"""The dataflow interpreter: runs all ready nodes of a graph at once.

Nodes without effects are computed in place, and a chain of effects is awaited in place. A task is
started only when two effects are ready at the same time, so a straight program needs none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.consent import OWN, Consent
from lmc.diagnostics import Diagnostic, LmcError, suggestion, warning
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots
from lmc.ir.ops import OWN_REGION
from lmc.ir.reach import (
    pure_tools,
    reached_nodes,
    reached_slots,
    reached_stores,
    reached_tools,
    sequenced,
)
from lmc.ir.size import forget_sizes
from lmc.ir.tool_graphs import own_tools, tool_graph
from lmc.ir.weighed import is_certain
from lmc.requests.batching import SampleBatcher
from lmc.runtime.acting import act
from lmc.runtime.binding import bind_inputs
from lmc.runtime.call import ModuleCall
from lmc.runtime.conversation import converse
from lmc.runtime.failures import no_continuation
from lmc.runtime.media import require_media
from lmc.runtime.parameters import Parameters
from lmc.runtime.plan import (
    Env,
    Flow,
    Plan,
    PlannedNode,
    compute_plan,
    free_values,
    plan_graph,
    resolver,
)
from lmc.runtime.regions.agent import perform_agent
from lmc.runtime.regions.branches import (
    perform_cond,
    perform_loop,
    perform_map,
    perform_samples,
    perform_weigh,
)
from lmc.runtime.regions.find import perform_find
from lmc.runtime.regions.refine import perform_refine
from lmc.runtime.regions.route import perform_route
from lmc.runtime.regions.search import perform_search
from lmc.runtime.regions.vote import perform_vote
from lmc.runtime.scope import Observer, RunState, Scope, Watch
from lmc.runtime.speculation import Speculation
from lmc.runtime.stores import NoStores, RunStores, Stores
from lmc.runtime.streaming import Listener, spoken_calls
from lmc.runtime.tools import Toolbox, told_target
from lmc.runtime.traces import Place, Trace
from lmc.stores.snapshot import require_fit
from lmc.tasks.together import first_failure

if TYPE_CHECKING:
    from lmc.requests.pool import ModelPool
    from lmc.runtime.remote import RemoteTool
    from lmc.runtime.retrieval import MeaningIndex
    from lmc.runtime.votes.difficulty import Seat

Perform = Callable[["Executor", PlannedNode, list[Any], Scope], Awaitable[Any]]


class Executor:
    """Runs the graphs of one program with one set of parameters.

    `model` replaces the model of every module. `temperature` replaces that of every generating
    module. With `training`, prompts show `train` parameters. `base_dir` is the folder of the
    program's Python tools, and `consent` says which of them may run. `speculate` is the most
    speculative calls in progress at once. With `vary`, the samples of a run differ in the answers
    of that module only, and `temperature` is for it alone. With `branch`, what stands at a place
    of a run or behind it is sampled anew; the number tells such runs apart.
    """

    def __init__(
        self,
        program: ProgramGraph,
        pool: ModelPool,
        parameters: Parameters | None = None,
        *,
        training: bool = False,
        model: str | None = None,
        temperature: float | None = None,
        base_dir: Path | None = None,
        speculate: int = 0,
        consent: Consent = OWN,
        stores: Stores | None = None,
        vary: str | None = None,
        branch: tuple[Place, int] | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.watch = watch
        self.in_flight = 0  # rows at a time; 0 leaves that to who has them
        self.program = program
        self.pool = pool
        self.parameters = parameters or Parameters()
        self.training = training
        self.model, self.temperature, self.vary = model, temperature, vary
        self.branch = branch
        self.base_dir, self.consent = base_dir, consent
        self.stores = stores or NoStores()
        self.resolve = resolver(self.parameters.choices)
        self.batcher = SampleBatcher()
        self.speculation = Speculation(speculate, program, pool)
        self._allowed: set[str] = set()  # graphs whose tools may all run
        self._able: set[str] = set()  # graphs whose models take the media that they are given
        self._plans: dict[int, Plan] = {}
        self._acting = frozenset(program.tools) - pure_tools(program)
        self._sequenced = sequenced(program)
        self._calls: dict[int, ModuleCall] = {}
        self._tool_graphs: dict[str, Graph] = {}
        self.meanings: dict[str, tuple[list[Any], MeaningIndex]] = {}
        self._stores_of: dict[str, tuple[str, ...]] = {}

    async def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        trace: Trace | None = None,
        stubs: Mapping[str, Any] | None = None,
        sample: int = 0,
        observer: Observer | None = None,
        listener: Listener | None = None,
        seat: Seat | None = None,
    ) -> Any:
        """Run a module or pipeline on JSON values and return its JSON result.

        What watches the executor has seen all calls when the run returns or fails.

        `sample` distinguishes repeated runs on the same inputs. `stubs` maps modules and tools to
        results that replace their calls. `listener` hears the calls that write the result, piece by
        piece. `seat` is the run's place in a batch.
        """
        graph = self.graph(name)
        if self.consent.stranger and name not in self._allowed:
            self._require_tools(graph, stubs or {})
            if not stubs:
                self._allowed.add(name)
        if name not in self._able:
            require_media(self, graph, stubs or {})
            if not stubs:
                self._able.add(name)
        if listener is not None:
            listener.spoken = spoken_calls(self.program, graph)
        watch, spans = observer or self.watch, self.pool.spans
        run = RunState(trace, stubs or {}, watch, listener, seat, spans=spans, branch=self.branch)
        if self.watch is None:
            return await self._run(graph, inputs, run, sample)
        try:
            result = await self._run(graph, inputs, run, sample)
        except LmcError:
            await self.watch.settle()
            raise
        await self.watch.settle()
        return result

    async def _run(
        self, graph: Graph, inputs: Mapping[str, Any], run: RunState, sample: int
    ) -> Any:
        trace, seat = run.trace, run.seat
        try:
            bound = bind_inputs(graph, inputs)
            run.stores = await self._snapshots(graph, run)
            if self.vary is not None:
                run.varied, sample = (self.vary, sample), 0
            result = await self.run_graph(graph, bound, Scope(run, sample=sample))
            if kept := run.stores.kept():
                if trace is not None:
                    trace.kept = kept
                await asyncio.shield(asyncio.to_thread(self.stores.commit, kept))
            return result
        finally:
            forget_sizes()
            if seat is not None:
                seat.leave()
            if trace is not None:
                trace.sort()
            await run.close()

    async def _snapshots(self, graph: Graph, run: RunState) -> RunStores:
        """What the stores that a run may reach hold now."""
        names = self._reached_stores(graph) if self.program.stores else ()
        if not names:
            return run.stores
        snapshots = await asyncio.to_thread(self.stores.read, names)
        if run.trace is not None:
            run.trace.stores = {name: snapshots[name].digest for name in names}
        return RunStores(snapshots)

    def _reached_stores(self, graph: Graph) -> tuple[str, ...]:
        if graph.name not in self._stores_of:
            self._stores_of[graph.name] = reached_stores(self.program, graph)
        return self._stores_of[graph.name]

    def graph(self, name: str) -> Graph:
        """The graph of a module, pipeline or tool. Raises: LmcError[unknown-target]."""
        graph = self.program.graphs.get(name) or self._tool_graphs.get(name)
        if graph is None and name in self.program.tools:
            graph = self._tool_graphs[name] = tool_graph(self.program.tools[name])
        if graph is None:
            help = suggestion(name, [*self.program.graphs, *own_tools(self.program)])
            message = f"no module, pipeline or tool is called `{name}`"
            raise LmcError.of("unknown-target", message, help=help)
        return graph

    def models(self, name: str) -> list[str | None]:
        """The models that a run may ask; None stands for the program's default."""
        names: dict[str | None, None] = {}
        for slots in reached_slots(self.program, self.graph(name)).values():
            names[self._model_of(slots)] = None
        return list(names)

    def preflight(self, name: str) -> list[Diagnostic]:
        """Check keys, models and tools before the first paid call, and return warnings.

        Raises: LmcError with everything that is missing.
        """
        asked = [*self.models(name), *self._embedders(name)]
        warnings = self.pool.preflight(asked, with_fallbacks=self.model is None)
        self._require_continuing(self.graph(name))
        require_media(self, self.graph(name), ())
        warnings += self._without_certainty(self.graph(name))
        self._require_tools(self.graph(name), ())
        for tool in reached_tools(self.program, self.graph(name)):
            self.tools.load(tool)
        return warnings

    def _require_continuing(self, graph: Graph) -> None:
        """Check that each model goes on with the beginning that a module gives its answer.

        Raises: LmcError[no-continuation].
        """
        for node in reached_nodes(self.program, graph):
            if node.op != "model":
                continue
            slots = node.attrs["slots"]
            if not (slots.settings.get("begin") or "begin" in node.bodies):
                continue
            bound = self.pool.bind(self._model_of(slots))
            if not bound.backend.capabilities.continues:
                raise no_continuation(slots.module, bound.name, node.span)

    def _without_certainty(self, graph: Graph) -> list[Diagnostic]:
        """A warning for each answer whose certainty will be none, as its model tells none."""
        found: dict[Diagnostic, None] = {}
        for node in reached_nodes(self.program, graph):
            weighed = node.op == "weigh" and is_certain(node.type)
            inside = node.bodies.values() if weighed else ()
            for slots in (s for body in inside for s in reached_slots(self.program, body).values()):
                bound = self.pool.bind(self._model_of(slots))
                if not bound.backend.capabilities.logprobs:
                    message = f"the certainty of `{slots.module}` is none: `{bound.name}` gives no"
                    words = f"{message} log-probabilities"
                    found[warning("no-logprobs", words, node.span)] = None
        return list(found)

    def _model_of(self, slots: Slots) -> str | None:
        """The model that a module asks; None stands for the program's default."""
        own = self.parameters.modules.get(slots.module)
        chosen = own.model if own else None
        return self.model or chosen or self.resolve(slots.settings.get("model"))

    def _require_tools(self, graph: Graph, stubbed: Collection[str]) -> None:
        """Check before the first model call that all tools of a run are allowed.

        Raises: LmcError[tool-not-allowed].
        """
        names = [name for name in reached_tools(self.program, graph) if name not in stubbed]
        self.consent.require_functions({n: told_target(self.program.tools[n]) for n in names})

    def _embedders(self, name: str) -> list[str]:
        """The embedding models that choose demonstrations, and records of stores, for a run."""
        reached = reached_slots(self.program, self.graph(name))
        own = (self.parameters.modules.get(module) for module in reached)
        names = [found.embedder for found in own if found and found.embedder]
        stores = (self.program.stores[s] for s in self._reached_stores(self.graph(name)))
        found = [store.embedder for store in stores if store.embedder]
        return names + ([] if self.model else found)

    @cached_property
    def tools(self) -> Toolbox:
        """The program's Python tools. Each is imported at its first call."""
        return Toolbox(self.program.tools, self.base_dir, self.consent)

    async def list_tools(self, server: str, node: Node) -> Sequence[RemoteTool]:
        """The tools of a server."""
        return await self.tools.list_tools(server, node.span)

    async def run_graph(self, graph: Graph, env: Env, scope: Scope) -> Any:
        """Run a module or pipeline as one region of the trace."""
        if graph.name in scope.run.stubs:
            return scope.run.stubbed(graph.name)
        if shortcut := self.parameters.shortcuts.get(graph.name):
            graph = self.program.graphs[shortcut]
            names = (port.name for port in graph.inputs)
            env = bind_inputs(graph, {name: env[name] for name in names if name in env})
        plan = self.plan(graph)
        return await scope.region(
            graph.kind, graph.name, env, lambda within: self.run_plan(plan, env, within)
        )

    async def run_plan(self, plan: Plan, env: Env, scope: Scope) -> Any:
        """Run a graph or the body of a region: the dataflow loop."""
        if plan.pure:
            return compute_plan(plan, env)
        if plan.lone is not None:
            return await self._perform(plan.lone, [env[name] for name in plan.takes], scope)
        flow = Flow(plan, env)
        if not self.speculation.limit or not plan.branches:
            return await self._run_flow(flow, flow.start(), scope)

        def branch(planned: PlannedNode, name: str, args: list[Any]) -> Awaitable[Any]:
            free = free_values(planned.node, args, 1)
            return self.run_plan(planned.bodies[name], free, scope.at(planned.index))

        async with self.speculation.branches(flow, branch) as look_ahead:
            ready = flow.start()
            look_ahead()
            return await self._run_flow(flow, ready, scope)

    async def _run_flow(self, flow: Flow, ready: list[PlannedNode], scope: Scope) -> Any:
        while len(ready) == 1:
            ready = flow.settle(ready[0], await self._perform_in(flow, ready[0], scope))
        if ready:
            await self._run_side_by_side(flow, ready, scope)
        return flow.values[-1]

    def plan(self, graph: Graph) -> Plan:
        """The plan of a graph, built once."""
        plan = self._plans.get(id(graph))
        if plan is None:
            plan = plan_graph(graph, self.resolve, self._acting, self._sequenced)
            self._plans[id(graph)] = plan
        return plan

    def module_call(self, planned: PlannedNode) -> ModuleCall:
        """The prepared call of a model node, built once."""
        call = self._calls.get(id(planned))
        if call is None:
            call = self._calls[id(planned)] = ModuleCall(self, planned)
        return call

    async def _run_side_by_side(self, flow: Flow, ready: list[PlannedNode], scope: Scope) -> None:
        async def work(planned: PlannedNode) -> None:
            """Perform a node, then one follower that it made ready. The others become tasks."""
            while True:
                freed = flow.settle(planned, await self._perform_in(flow, planned, scope))
                if not freed:
                    return
                planned, *others = freed
                for other in others:
                    group.create_task(work(other))

        try:
            async with asyncio.TaskGroup() as group:
                for planned in ready:
                    group.create_task(work(planned))
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    def _perform_in(self, flow: Flow, planned: PlannedNode, scope: Scope) -> Awaitable[Any]:
        args = [flow.values[i] for i in planned.inputs]
        if branches := flow.begun.get(planned.index):
            return self.speculation.take(branches, "then" if args[0] else "otherwise")
        return self._perform(planned, args, scope)

    def _perform(self, planned: PlannedNode, args: list[Any], scope: Scope) -> Awaitable[Any]:
        op = planned.node.op
        # The only node of such a module takes the region's place, where its parts are numbered.
        place = scope if op in OWN_REGION else scope.at(planned.index)
        return PERFORM[op](self, planned, args, place)


# --- nodes with effects ---


def perform_model(
    executor: Executor, planned: PlannedNode, args: list[Any], scope: Scope
) -> Awaitable[Any]:
    """One model call of a module."""
    call = executor.module_call(planned)
    ask = act if planned.node.attrs["role"] == "act" else converse
    return ask(call, dict(zip(planned.node.attrs["names"], args)), scope)


async def perform_call(
    executor: Executor, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """A call of another graph. Arguments come in the order of its inputs."""
    graph = executor.program.graphs[planned.node.attrs["target"]]
    given = {port.name: value for port, value in zip(graph.inputs, args)}
    if len(given) < len(graph.inputs):
        given = bind_inputs(graph, given)
    return await executor.run_graph(graph, given, scope)


async def perform_tool(
    executor: Executor, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """A call of a Python tool."""
    name = planned.node.attrs["target"]
    if name in scope.run.stubs:
        return scope.run.stubbed(name)
    inputs = executor.tools.bind(name, args)
    return await scope.region(
        "tool",
        name,
        inputs,
        lambda within: executor.tools.call(name, inputs, planned.node, within.run),
    )


async def perform_store(
    executor: Executor, planned: PlannedNode, args: list[Any], scope: Scope
) -> list[Any]:
    """A read of a store: what it held when the run began."""
    name = planned.node.attrs["store"]
    held: list[Any] = scope.run.stubs.get(name, scope.run.stores[name].records)
    return held


async def perform_keep(
    executor: Executor, planned: PlannedNode, args: list[Any], scope: Scope
) -> None:
    """Note a record for the end of the run."""
    name = planned.node.attrs["store"]
    require_fit(executor.program.stores[name], args[0], planned.node.span)

    async def note(_: Scope) -> None:
        scope.run.stores.keep(scope.place, name, args[0])

    await scope.region("keep", name, {"record": args[0]}, note)


PERFORM: Mapping[str, Perform] = {
    "model": perform_model,
    "call": perform_call,
    "tool": perform_tool,
    "cond": perform_cond,
    "map": perform_map,
    "samples": perform_samples,
    "weigh": perform_weigh,
    "loop": perform_loop,
    "refine": perform_refine,
    "vote": perform_vote,
    "search": perform_search,
    "agent": perform_agent,
    "route": perform_route,
    "store": perform_store,
    "find": perform_find,
    "keep": perform_keep,
}
