"""The executable specification of the graph, checked when an artifact is read and after passes.

A finding is a bug of lmc or of the writer of the file, not a mistake in the program. It names the
broken rule, the node and the source line. Early checks bound the cost of later ones, so that no
graph takes long to verify, however it was made. `lmc.ir.rules` has the rules, and `lmc.ir.ops` the
table that most of them follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from operator import is_
from typing import Any

from lmc.check.program import Choice
from lmc.ir.declaration_rules import CALLABLE, DeclarationRules
from lmc.ir.graph import MOST_NODES, Graph, Node, ProgramGraph, Slots, all_nodes
from lmc.ir.op_rules import Site
from lmc.ir.ops import CALLS, OPS, body_spec
from lmc.ir.reach import acts, lasting
from lmc.ir.rules import RULES
from lmc.ir.type_rules import TypeRules, is_strings
from lmc.source import Span

MOST_NESTED = 100  # levels of bodies in bodies
MOST_LEVELS = 100  # levels of bodies and calls, from the outermost graph to the innermost node
MOST_FINDINGS = 20  # most findings in one message


class GraphFault(Exception):
    """A graph breaks its specification. The message has one line for each finding."""


def verify(program: ProgramGraph, when: str = "", seen: Verified | None = None) -> None:
    """Check all graphs of a program. The message starts with `when`.

    With `seen`, what was checked in an earlier form of the program is not checked again.
    Raises: GraphFault.
    """
    findings = list(islice(_Verifier(program, seen or Verified()).findings(), MOST_FINDINGS))
    if findings:
        raise GraphFault("\n".join([*([f"{when}:"] if when else []), *findings]))


class Verified:
    """What was found correct in the forms of one program, for instance after each of the passes.

    A node keeps the rules as long as it is the same object, on the same inputs, in a graph with the
    same inputs and result. What names other parts of the program is looked at each time, and so are
    choices, whose options must be the same wherever they stand.
    """

    def __init__(self) -> None:
        self.types = TypeRules()
        self._nodes: dict[int, tuple[Graph, Node, tuple[Node, ...]]] = {}  # keeps the ids in use

    def has(self, graph: Graph, node: Any, known: Mapping[str, Node]) -> bool:
        """Whether a node was noted, with the same graph around it and the same inputs."""
        noted = self._nodes.get(id(node))
        if noted is None or node.id in known:
            return False
        before, _, inputs = noted
        around = before.inputs is graph.inputs and before.result is graph.result
        return around and all(map(is_, map(known.get, node.inputs), inputs))

    def note(self, graph: Graph, node: Node, inputs: tuple[Node, ...]) -> None:
        """Remember that a node keeps the rules, except those of the nodes in its bodies."""
        chooses = any(value.__class__ in (Choice, Slots) for value in node.attrs.values())
        if not chooses and node.op not in _LOOKED_AT_AGAIN:
            self._nodes[id(node)] = (graph, node, inputs)


_LOOKED_AT_AGAIN = ("call", "tool", "agent", "store", "find", "keep", "return")


class _Verifier:
    """Verifies one program."""

    def __init__(self, program: ProgramGraph, seen: Verified) -> None:
        self.program, self.seen = program, seen
        seen.types.steps = 0  # each form has the whole budget of comparisons
        self.declared = DeclarationRules(program, seen.types, {})
        self.nodes = 0
        self.levels = 0  # of the graph that is looked at
        self.called: dict[str, int] = {}  # by it, with the level of the call

    def findings(self) -> Iterator[str]:
        """The findings. Each check relies only on parts that were already found correct."""
        wrong = list(islice(self.declared.findings(), MOST_FINDINGS)) or list(self._headers())
        yield from wrong
        if wrong:
            return
        levels, calls = {}, {}
        for name, graph in self.program.graphs.items():
            self.levels, self.called = 0, {}
            yield from self._graph(graph)
            levels[name], calls[name] = self.levels, self.called
        for graph in self._others():
            self.called = {}
            yield from self._graph(graph)
        yield from _told_depth(levels, calls)
        yield from self._lasting()

    def _lasting(self) -> Iterator[str]:
        """The samples of votes and searches that have effects, or keep something."""
        effects = lasting(self.program)
        for name, graph in self.program.graphs.items() if effects else ():
            for node in all_nodes(graph):
                if node.op in ("vote", "search") and acts(node, effects):
                    yield f"{name} breaks the rule: what is drawn to be chosen from has no effects"

    def _headers(self) -> Iterator[str]:
        for name, graph in self.program.graphs.items():
            wrong = self.declared.header(graph)
            if wrong is None and (graph.name != name or graph.kind not in CALLABLE):
                wrong = "has the name and a kind by which it is called"
            if wrong:
                yield f"graph {name} breaks the rule: {wrong}"
        for graph in self._others():
            if wrong := self.declared.header(graph):
                yield f"the graph of a test or metric breaks the rule: {wrong}"

    def _others(self) -> Iterator[Graph]:
        """The graphs that no call names."""
        for test in self.program.tests:
            yield from (test.graph, *test.stubs.values())
        for name, metric in self.program.metrics.items():
            own = self.program.graphs.get(name)
            if metric.graph is not None and metric.graph is not own:
                yield metric.graph

    def _graph(self, graph: Graph, level: int = 0, *, pure: bool = False) -> Iterator[str]:
        """The findings of a graph with a correct header. A `pure` one must not make calls."""
        self.nodes += len(graph.nodes)
        self.levels = max(self.levels, level)
        if self.nodes > MOST_NODES or level > MOST_NESTED:
            yield f"{graph.name}: a program has at most {MOST_NODES:,} nodes, {MOST_NESTED} deep"
            return
        known: dict[str, Node] = {}
        ports = {port.name: port for port in graph.inputs}
        for node in graph.nodes:
            if self.seen.has(graph, node, known):
                known[node.id] = node
            else:
                if wrong := self._shape(node, known):
                    yield _told(graph, node, wrong)
                    return
                inputs = tuple(map(known.__getitem__, node.inputs))
                known[node.id] = node
                if wrong := _broken(Site(self.declared, graph, ports, node, inputs)):
                    yield _told(graph, node, wrong)
                    continue
                self.seen.note(graph, node, inputs)
            if pure and node.op in CALLS:
                yield _told(graph, node, "a body without calls makes no calls")
            for key, body in node.bodies.items():
                row = body_spec(node.op, key)
                inner = pure or (row is not None and row.pure)
                yield from self._graph(body, level + 1, pure=inner)
            if node.op == "call":
                target = node.attrs["target"]
                self.called[target] = max(level, self.called.get(target, 0))
        if graph.nodes[-1].op != "return":
            yield f"{graph.name} breaks the rule: the last node is the return"

    def _shape(self, node: Node, known: Mapping[str, Node]) -> str | None:
        """The rule that a node breaks, for any operation."""
        if node.__class__ is not Node or node.id.__class__ is not str:
            return "is a node with an id"
        if node.op.__class__ is not str or node.op not in RULES:
            return "its operation is known"
        if not is_strings(node.inputs) or node.attrs.__class__ is not dict:
            return "its inputs are ids, its attributes have names"
        if node.bodies.__class__ is not dict or (node.span and node.span.__class__ is not Span):
            return "its bodies have names, and it stands in a source"
        if node.bodies and not OPS[node.op].bodies:
            return "has no bodies"
        if not self.declared.types.is_type(node.type):
            return "has a type, of bounded size"
        if node.id in known or not known.keys() >= set(node.inputs):
            return "inputs precede their uses and ids are unique"
        return None


def _broken(site: Site) -> str | None:
    """The first rule that a node breaks."""
    for rule in RULES[site.node.op]:
        if wrong := rule(site):
            return wrong
    return None


def _told(graph: Graph, node: Node, message: str) -> str:
    if node.__class__ is not Node:
        return f"{graph.name} breaks the rule: {message}"
    where = f" ({node.span})" if node.span.__class__ is Span else ""
    place = f"{graph.name}, node {str(node.id)[:40]} {str(node.op)[:40]}{where}"
    return f"{place} breaks the rule: {message}"


# --- calls ---


def too_deep(program: ProgramGraph) -> str | None:
    """The first graph whose calls and bodies nest deeper than a run follows them, if any."""
    levels, calls = {}, {}
    for name, graph in program.graphs.items():
        levels[name], calls[name] = _levels(graph)
    return next((name for name, _ in _unbounded(levels, calls)), None)


def _levels(graph: Graph) -> tuple[int, dict[str, int]]:
    """The levels of bodies in a graph, and what it calls, with the deepest level of a call."""
    most, called = 0, dict[str, int]()
    todo = [(graph, 0)]
    while todo:
        body, level = todo.pop()
        most = max(most, level)
        for node in body.nodes:
            todo += [(inner, level + 1) for inner in node.bodies.values()]
            if node.op == "call":
                target = node.attrs["target"]
                called[target] = max(level, called.get(target, 0))
    return most, called


def _told_depth(levels: dict[str, int], calls: dict[str, dict[str, int]]) -> Iterator[str]:
    """A circle of calls, or too many levels. `levels` are the levels of each graph alone."""
    for name, circle in _unbounded(levels, calls):
        if circle:
            yield f"graphs call one another in a circle: {' -> '.join(circle[:MOST_FINDINGS])}"
        else:
            yield f"{name}: calls and bodies nest at most {MOST_LEVELS} deep"


def _unbounded(
    levels: dict[str, int], calls: dict[str, dict[str, int]]
) -> Iterator[tuple[str, list[str]]]:
    """The first graph with too many levels, or in a circle of calls, with that circle."""
    whole: dict[str, int] = {}
    for start in levels:
        path: dict[str, Iterator[str]] = {} if start in whole else {start: iter(calls[start])}
        while path:
            name = next(reversed(path))
            target = next((t for t in path[name] if t in levels and t not in whole), None)
            if target is None:
                path.popitem()
                below = [at + 1 + whole[t] for t, at in calls[name].items() if t in whole]
                whole[name] = max([levels[name], *below])
                if whole[name] > MOST_LEVELS:
                    yield name, []
                    return
            elif target in path:
                names = list(path)
                yield target, [*names[names.index(target) :], target]
                return
            else:
                path[target] = iter(calls[target])
