"""A graph prepared to run: its dependencies, and a function for every node without effects.

A plan belongs to one set of parameters. Choices are resolved while planning, so they cost nothing
at run time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lmc.check.program import Choice
from lmc.diagnostics import Label, LmcError, error
from lmc.ir.functions import function_of
from lmc.ir.graph import Graph, Node
from lmc.ir.ops import OF_BODIES
from lmc.ir.refinements import UnmetError
from lmc.ir.size import bounded
from lmc.ir.weighed import CERTAINTY, LOGPROB, VALUE
from lmc.types import Type

Values = list[Any]  # by node index
Env = Mapping[str, Any]  # values of a graph's inputs, by name
Compute = Callable[[Values, Env], Any]
Resolve = Callable[[Any], Any]  # from a setting to its value; from a Choice to its option

SHOWN_CHARS = 200  # of each side of a failed assertion


@dataclass(slots=True)
class PlannedNode:
    """One node of a plan. `compute` is None if the node has effects."""

    index: int
    node: Node
    inputs: tuple[int, ...]
    types: tuple[Type, ...]  # of the inputs
    followers: list[int]  # a follower that waits for this node twice is listed twice
    compute: Compute | None
    bodies: Mapping[str, Plan]
    in_turn: bool  # what it does in the world must follow the order of the source


@dataclass(slots=True)
class Plan:
    """The nodes in graph order, and how many inputs each one waits for."""

    graph: Graph
    nodes: tuple[PlannedNode, ...]
    waits: tuple[int, ...]
    pure: bool
    branches: bool  # whether a node is a condition with effects
    lone: PlannedNode | None  # the only node, if it maps the inputs to the result
    takes: tuple[str, ...]  # names of the inputs of `lone`


def plan_graph(
    graph: Graph,
    resolve: Resolve,
    ordered: Collection[str] = (),
    sequenced: Collection[str] = (),
) -> Plan:
    """Plan a graph and its bodies. Nodes come after their inputs.

    A call of a tool in `ordered` also comes after the call of such a tool before it in the graph.
    So does any node that may call a tool or a graph in `sequenced`, at any depth.
    """
    places = {node.id: i for i, node in enumerate(graph.nodes)}
    nodes: list[PlannedNode] = []
    for i, node in enumerate(graph.nodes):
        inputs = tuple(places[id] for id in node.inputs)
        bodies = {
            name: plan_graph(body, resolve, ordered, sequenced)
            for name, body in node.bodies.items()
        }
        in_turn = _in_turn(node, bodies, sequenced)
        types = tuple(graph.nodes[source].type for source in inputs)
        compute = (
            _assertion(node, nodes[inputs[0]])
            if node.op == "assert"
            else _compute(node, inputs, bodies, resolve)
        )
        nodes.append(PlannedNode(i, node, inputs, types, [], compute, bodies, in_turn))
        for source in inputs:
            nodes[source].followers.append(i)
    acting = [n.index for n in nodes if n.in_turn or _calls_one(n.node, ordered)]
    for earlier, later in pairwise(acting):
        nodes[earlier].followers.append(later)
    later_ones = set(acting[1:])
    waits = tuple(len(n.inputs) + (n.index in later_ones) for n in nodes)
    pure = all(planned.compute for planned in nodes)
    branches = any(planned.node.op == "cond" and planned.compute is None for planned in nodes)
    lone = _lone(nodes)
    takes = tuple(graph.nodes[i].attrs["name"] for i in lone.inputs) if lone else ()
    return Plan(graph, tuple(nodes), waits, pure, branches, lone, takes)


def _calls_one(node: Node, tools: Collection[str]) -> bool:
    return node.op == "tool" and node.attrs["target"] in tools


def _in_turn(node: Node, bodies: Mapping[str, Plan], sequenced: Collection[str]) -> bool:
    """Whether a node may call something that is in `sequenced`, itself or in its bodies."""
    if not sequenced:
        return False
    if node.op in ("tool", "call") and node.attrs["target"] in sequenced:
        return True
    return any(planned.in_turn for body in bodies.values() for planned in body.nodes)


def _lone(nodes: Sequence[PlannedNode]) -> PlannedNode | None:
    """The node of a graph that only makes one call on its inputs, as a module does."""
    if len(nodes) < 2:
        return None
    *inputs, planned, last = nodes
    called = planned.compute is None and planned.node.op != "cond"
    plain = all(s.node.op == "input" for s in inputs) and last.node.op == "return"
    return planned if called and plain and last.inputs == (planned.index,) else None


def compute_plan(plan: Plan, env: Env) -> Any:
    """The value of a graph without effects."""
    values: Values = []
    for planned in plan.nodes:
        values.append(planned.compute(values, env))  # type: ignore[misc]
    return values[-1]


PENDING: Any = object()  # marks a value that is not computed yet


class Flow:
    """One run of a plan. It computes pure nodes and hands out the nodes with effects."""

    __slots__ = ("begun", "env", "look_ahead", "plan", "values", "waits")

    def __init__(self, plan: Plan, env: Env) -> None:
        self.plan = plan
        self.env = env
        self.values: Values = [PENDING] * len(plan.nodes)
        self.waits = list(plan.waits)
        self.begun: dict[
            int, Mapping[str, asyncio.Future[Any]]
        ] = {}  # speculative branches, by condition
        self.look_ahead: Callable[[], None] | None = None

    def start(self) -> list[PlannedNode]:
        """The nodes with effects that are ready at the start."""
        return self._advance([i for i, count in enumerate(self.plan.waits) if not count])

    def settle(self, planned: PlannedNode, value: Any) -> list[PlannedNode]:
        """Store the value of a node with effects, and return the nodes that it made ready."""
        self.values[planned.index] = value
        ready = self._advance(self._release(planned))
        if self.look_ahead is not None:
            self.look_ahead()
        return ready

    def undecided(self) -> Iterator[PlannedNode]:
        """The conditions that wait only for the value that decides them."""
        for planned in self.plan.nodes:
            if planned.node.op == "cond" and planned.compute is None:
                decides, *others = (self.values[i] for i in planned.inputs)
                if decides is PENDING and all(value is not PENDING for value in others):
                    yield planned

    def _advance(self, indices: list[int]) -> list[PlannedNode]:
        ready = []
        for i in indices:  # grows during the walk
            planned = self.plan.nodes[i]
            if planned.compute is None:
                ready.append(planned)
            else:
                self.values[i] = planned.compute(self.values, self.env)
                indices.extend(self._release(planned))
        return ready

    def _release(self, planned: PlannedNode) -> list[int]:
        freed = []
        for follower in planned.followers:
            self.waits[follower] -= 1
            if not self.waits[follower]:
                freed.append(follower)
        return freed


# --- nodes without effects ---


def _compute(
    node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan], resolve: Resolve
) -> Compute | None:
    if node.op in OF_BODIES and not all(body.pure for body in bodies.values()):
        return None
    match node.op:
        case "input":
            name = node.attrs["name"]
            return lambda values, env: env[name]
        case "const":
            return _constant(node.attrs["value"])
        case "choice":
            return _constant(resolve(node.attrs["choice"]))
        case "op":
            return _operation(node, inputs)
        case "return":
            source = inputs[0]
            return lambda values, env: values[source]
        case "cond":
            return _cond(node, inputs, bodies)
        case "map":
            return _map(node, inputs, bodies)
        case "samples":
            return _samples(node, inputs, bodies, resolve)
        case "weigh":
            return _weigh(node, inputs, bodies)
        case "loop":
            return _loop(node, inputs, bodies, resolve)
        case _:
            return None


def _constant(value: Any) -> Compute:
    return lambda values, env: value


def _operation(node: Node, inputs: tuple[int, ...]) -> Compute:
    function = function_of(node)

    def compute(values: Values, env: Env) -> Any:
        try:
            return function(*[values[i] for i in inputs])
        except (ArithmeticError, LookupError, TypeError, ValueError) as problem:
            raise _failed(node, problem) from None

    return compute


def _failed(node: Node, problem: Exception) -> LmcError:
    """The failure of an operation, in the words of what went wrong."""
    if isinstance(problem, UnmetError):
        return LmcError.of("out-of-range", f"{problem}", node.span, help=problem.help)
    return LmcError.of("evaluation-failed", f"{problem}", node.span)


COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in"}


def _assertion(node: Node, condition: PlannedNode) -> Compute:
    def compute(values: Values, env: Env) -> None:
        if not values[condition.index]:
            raise AssertionFailure(node, _sides(condition, values))

    return compute


def _sides(condition: PlannedNode, values: Values) -> str:
    """Both sides of a failed comparison, such as `4 == 5`."""
    sign = COMPARISONS.get(condition.node.attrs.get("fn", ""))
    if condition.node.op != "op" or sign is None:
        return ""
    left, right = (_shown(values[i]) for i in condition.inputs)
    return f"{left} {sign} {right}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


class AssertionFailure(LmcError):
    """An `assert` that does not hold. A comparison shows the values of both sides."""

    def __init__(self, node: Node, sides: str) -> None:
        message = node.attrs.get("message") or "the assertion does not hold"
        label = Label(node.span, f"here, {sides}" if sides else "") if node.span else None
        super().__init__(error("assertion-failed", message, label))
        self.sides = sides


def free_values(node: Node, args: Iterable[Any], skip: int) -> dict[str, Any]:
    """The outer values that a region's bodies use, by name. They follow the region's own inputs."""
    return dict(zip(node.attrs.get("free", ()), list(args)[skip:]))


def _cond(node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan]) -> Compute:
    free = tuple(zip(node.attrs.get("free", ()), inputs[1:]))

    def compute(values: Values, env: Env) -> Any:
        body = bodies["then" if values[inputs[0]] else "otherwise"]
        return compute_plan(body, {name: values[i] for name, i in free})

    return compute


def _map(node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan]) -> Compute:
    count, item, keep = node.attrs["count"], bodies["item"], bodies.get("filter")
    names = variable_names(node)

    def compute(values: Values, env: Env) -> list[Any]:
        args = [values[i] for i in inputs]
        free = free_values(node, args, count)
        envs = (free | dict(zip(names, row)) for row in zip(*args[:count]))
        results = (compute_plan(item, e) for e in envs if keep is None or compute_plan(keep, e))
        return bounded_list(node, list(results))

    return compute


def bounded_list(node: Node, results: list[Any]) -> list[Any]:
    """The results of a map, if they are small enough. Raises: LmcError[evaluation-failed]."""
    try:
        bounded(results)
    except ValueError as problem:
        raise LmcError.of("evaluation-failed", f"{problem}", node.span) from None
    return results


def _samples(
    node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan], resolve: Resolve
) -> Compute:
    n, body = resolve(node.attrs["n"]), bodies["sample"]
    free = tuple(zip(node.attrs["free"], inputs))

    def compute(values: Values, env: Env) -> list[Any]:
        return bounded_list(node, [compute_plan(body, {k: values[i] for k, i in free})] * n)

    return compute


def _weigh(node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan]) -> Compute:
    free = tuple(zip(node.attrs["free"], inputs))

    def compute(values: Values, env: Env) -> dict[str, Any]:
        value = compute_plan(bodies["value"], {k: values[i] for k, i in free})
        return {VALUE: value, CERTAINTY: None, LOGPROB: None}

    return compute


def _loop(
    node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan], resolve: Resolve
) -> Compute:
    bound, name = resolve(node.attrs["bound"]), node.attrs["name"]
    body, until = bodies["body"], bodies.get("until")

    def compute(values: Values, env: Env) -> Any:
        args = [values[i] for i in inputs]
        state, free = args[0], free_values(node, args, 1)
        for _ in range(bound):
            if until is not None and compute_plan(until, {**free, name: state}):
                break
            state = compute_plan(body, {**free, name: state})
        return state

    return compute


def variable_names(node: Node) -> tuple[str, ...]:
    """The variables of a map: the inputs of its body that are not outer values."""
    free = set(node.attrs.get("free", ()))
    return tuple(p.name for p in node.bodies["item"].inputs if p.name not in free)


def resolver(choices: Mapping[str, Any]) -> Resolve:
    """Resolve settings to values: a Choice to its chosen option, else to its baseline."""

    def resolve(value: Any) -> Any:
        if isinstance(value, Choice):
            return choices.get(value.id, value.baseline)
        return value

    return resolve
