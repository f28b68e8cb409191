"""A graph made ready to run: who waits for whom, and a function for every node without effects.

A plan belongs to one set of parameters: choices are resolved while planning, so they cost nothing
while running.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmc.check.program import Choice
from lmc.check.types import Type
from lmc.diagnostics import Label, LmcError, error
from lmc.ir.functions import FUNCTIONS
from lmc.ir.graph import Graph, Node

Values = list[Any]  # by node index
Env = Mapping[str, Any]  # what a graph's inputs take, by name
Compute = Callable[[Values, Env], Any]
Resolve = Callable[[Any], Any]  # a setting's value; of a Choice the option that counts

SHOWN_CHARS = 200  # of each side of a failed assertion
REGIONS_OF_PURE_BODIES = ("cond", "map", "loop")


@dataclass(slots=True)
class Step:
    """One node of a plan; `compute` is None where the node has effects."""

    index: int
    node: Node
    inputs: tuple[int, ...]
    types: tuple[Type, ...]  # of the inputs
    followers: list[int]  # a follower that reads this value twice stands here twice
    compute: Compute | None
    bodies: Mapping[str, Plan]


@dataclass(slots=True)
class Plan:
    """The steps in the order of the graph, and how many inputs each one waits for."""

    graph: Graph
    steps: tuple[Step, ...]
    waits: tuple[int, ...]
    pure: bool
    branches: bool  # whether one of the steps is a condition with effects
    lone: Step | None  # the one that has effects, where it takes inputs and gives the result
    takes: tuple[str, ...]  # names of the inputs that it takes


def plan_graph(graph: Graph, resolve: Resolve) -> Plan:
    """Plan a graph and its bodies; nodes stand after their inputs."""
    places = {node.id: i for i, node in enumerate(graph.nodes)}
    steps: list[Step] = []
    for i, node in enumerate(graph.nodes):
        inputs = tuple(places[id] for id in node.inputs)
        bodies = {name: plan_graph(body, resolve) for name, body in node.bodies.items()}
        types = tuple(graph.nodes[source].type for source in inputs)
        compute = (
            _assertion(node, steps[inputs[0]])
            if node.op == "assert"
            else _compute(node, inputs, bodies, resolve)
        )
        steps.append(Step(i, node, inputs, types, [], compute, bodies))
        for source in inputs:
            steps[source].followers.append(i)
    waits = tuple(len(step.inputs) for step in steps)
    pure = all(step.compute for step in steps)
    branches = any(step.node.op == "cond" and step.compute is None for step in steps)
    lone = _lone(steps)
    takes = tuple(graph.nodes[i].attrs["name"] for i in lone.inputs) if lone else ()
    return Plan(graph, tuple(steps), waits, pure, branches, lone, takes)


def _lone(steps: Sequence[Step]) -> Step | None:
    """The step of a graph that is nothing but a call on its inputs, as that of a module is."""
    if len(steps) < 2:
        return None
    *inputs, step, last = steps
    called = step.compute is None and step.node.op != "cond"
    plain = all(s.node.op == "input" for s in inputs) and last.node.op == "return"
    return step if called and plain and last.inputs == (step.index,) else None


def evaluate(plan: Plan, env: Env) -> Any:
    """The value of a graph without effects."""
    values: Values = []
    for step in plan.steps:
        values.append(step.compute(values, env))  # type: ignore[misc]
    return values[-1]


PENDING: Any = object()  # stands for a value that is not there yet


class Flow:
    """One run through a plan: computes what it can, and gives out the steps with effects."""

    __slots__ = ("begun", "env", "look_ahead", "plan", "values", "waits")

    def __init__(self, plan: Plan, env: Env) -> None:
        self.plan = plan
        self.env = env
        self.values: Values = [PENDING] * len(plan.steps)
        self.waits = list(plan.waits)
        self.begun: dict[
            int, Mapping[str, asyncio.Future[Any]]
        ] = {}  # branches under way, by condition
        self.look_ahead: Callable[[], None] | None = None

    def start(self) -> list[Step]:
        """Steps with effects that are ready at once."""
        return self._advance([i for i, count in enumerate(self.plan.waits) if not count])

    def settle(self, step: Step, value: Any) -> list[Step]:
        """Take the value of a step with effects; gives the steps that became ready by it."""
        self.values[step.index] = value
        ready = self._advance(self._release(step))
        if self.look_ahead is not None:
            self.look_ahead()
        return ready

    def undecided(self) -> Iterator[Step]:
        """Conditions that wait for nothing but what decides them."""
        for step in self.plan.steps:
            if step.node.op == "cond" and step.compute is None:
                decides, *others = (self.values[i] for i in step.inputs)
                if decides is PENDING and all(value is not PENDING for value in others):
                    yield step

    def _advance(self, indices: list[int]) -> list[Step]:
        ready = []
        for i in indices:  # grows while it is walked
            step = self.plan.steps[i]
            if step.compute is None:
                ready.append(step)
            else:
                self.values[i] = step.compute(self.values, self.env)
                indices.extend(self._release(step))
        return ready

    def _release(self, step: Step) -> list[int]:
        freed = []
        for follower in step.followers:
            self.waits[follower] -= 1
            if not self.waits[follower]:
                freed.append(follower)
        return freed


# --- nodes without effects ---


def _compute(
    node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan], resolve: Resolve
) -> Compute | None:
    if node.op in REGIONS_OF_PURE_BODIES and not all(body.pure for body in bodies.values()):
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
        case "loop":
            return _loop(node, inputs, bodies, resolve)
        case _:
            return None


def _constant(value: Any) -> Compute:
    return lambda values, env: value


def _operation(node: Node, inputs: tuple[int, ...]) -> Compute:
    function = FUNCTIONS[node.attrs["fn"]]
    attrs = node.attrs

    def compute(values: Values, env: Env) -> Any:
        try:
            return function(attrs, *[values[i] for i in inputs])
        except (ArithmeticError, LookupError, TypeError, ValueError) as problem:
            raise LmcError(error("evaluation-failed", f"{problem}", node.span)) from None

    return compute


COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "in": "in"}


def _assertion(node: Node, condition: Step) -> Compute:
    def compute(values: Values, env: Env) -> None:
        if not values[condition.index]:
            raise AssertionFailure(node, _sides(condition, values))

    return compute


def _sides(condition: Step, values: Values) -> str:
    """Both sides of a comparison that failed, such as `4 == 5`."""
    sign = COMPARISONS.get(condition.node.attrs.get("fn", ""))
    if condition.node.op != "op" or sign is None:
        return ""
    left, right = (_shown(values[i]) for i in condition.inputs)
    return f"{left} {sign} {right}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


class AssertionFailure(LmcError):
    """An `assert` that does not hold, with the values of both sides where it is a comparison."""

    def __init__(self, node: Node, sides: str) -> None:
        message = node.attrs.get("message") or "the assertion does not hold"
        label = Label(node.span, f"here, {sides}" if sides else "") if node.span else None
        super().__init__(error("assertion-failed", message, label))
        self.sides = sides


def free_values(node: Node, args: Iterable[Any], skip: int) -> dict[str, Any]:
    """The values that a region's bodies take from outside, by name; they follow its own inputs."""
    return dict(zip(node.attrs.get("free", ()), list(args)[skip:]))


def _cond(node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan]) -> Compute:
    free = tuple(zip(node.attrs.get("free", ()), inputs[1:]))

    def compute(values: Values, env: Env) -> Any:
        body = bodies["then" if values[inputs[0]] else "otherwise"]
        return evaluate(body, {name: values[i] for name, i in free})

    return compute


def _map(node: Node, inputs: tuple[int, ...], bodies: Mapping[str, Plan]) -> Compute:
    count, item, keep = node.attrs["count"], bodies["item"], bodies.get("filter")
    names = variable_names(node)

    def compute(values: Values, env: Env) -> list[Any]:
        args = [values[i] for i in inputs]
        free = free_values(node, args, count)
        envs = (free | dict(zip(names, row)) for row in zip(*args[:count]))
        return [evaluate(item, e) for e in envs if keep is None or evaluate(keep, e)]

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
            if until is not None and evaluate(until, {**free, name: state}):
                break
            state = evaluate(body, {**free, name: state})
        return state

    return compute


def variable_names(node: Node) -> tuple[str, ...]:
    """The variables of a map: the body's inputs that are not taken from outside."""
    free = set(node.attrs.get("free", ()))
    return tuple(p.name for p in node.bodies["item"].inputs if p.name not in free)


def resolver(choices: Mapping[str, Any]) -> Resolve:
    """Gives a setting's value: of a Choice the option that was chosen, else its baseline."""

    def resolve(value: Any) -> Any:
        if isinstance(value, Choice):
            return choices.get(value.id, value.baseline)
        return value

    return resolve
