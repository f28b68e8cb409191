"""The view of a graph for pictures: boxes for calls, clusters for regions, edges for values.

Called graphs are expanded: a vote over a refine over a generate is three nested clusters. Pure
operations are only edges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lmc.check.program import Choice
from lmc.frozen import frozen
from lmc.ir.graph import Graph, Node, ProgramGraph, route_options
from lmc.ir.ops import CALLS, OF_BODIES, OPS

Kind = Literal[
    "input", "output", "generate", "critique", "revise", "adjudicate", "act", "tool", "decide",
    "pipeline", "refine", "vote", "search", "agent", "route", "map", "samples", "loop", "if",
]  # fmt: skip
Sources = frozenset[str]
NONE: Sources = frozenset()
MOST_OPEN = 30  # calls drawn one in the other; a call further in is a box
MOST_BOXES = 2000  # of calls that are drawn; beyond them a call is a box
MOST_EDGES = 16  # of a crowded view, only edges without a way around are drawn


@dataclass(slots=True)
class Box:
    """A box: something that takes time, or an end of the graph."""

    id: str
    label: str
    kind: Kind
    note: str = ""


@dataclass(slots=True)
class Cluster:
    """A region and its contents."""

    id: str
    label: str
    kind: Kind
    children: list[Box | Cluster] = field(default_factory=list)


@frozen
class Edge:
    """A value that flows from box to box. A dashed edge is control or repetition."""

    source: str
    target: str
    label: str = ""
    dashed: bool = False


@dataclass(slots=True)
class View:
    """Everything in the picture."""

    root: Cluster
    edges: list[Edge]


def view(program: ProgramGraph, name: str | None = None) -> View:
    """The view of one callable (default: `main`, else the last export)."""
    target = name or program.main
    if target is None:
        return View(Cluster("root", "nothing to show", "pipeline"), [])
    return _Painter(program).paint(program.graphs[target])


class _Painter:
    """Walks a graph and expands its calls."""

    def __init__(self, program: ProgramGraph) -> None:
        self.program = program
        self.boxes: list[str] = []  # in the order in which they were drawn
        self.open = 0  # calls that are being drawn, one in the other
        self.edges: dict[Edge, None] = {}
        self.count = 0

    def paint(self, graph: Graph) -> View:
        root = Cluster("root", f"{graph.kind} {graph.name}", graph.kind)  # type: ignore[arg-type]
        env = {
            p.name: frozenset({self.box(root, f"{p.name}: {p.type}", "input")})
            for p in graph.inputs
        }
        result = self.graph(graph, env, root)
        end = self.box(root, str(graph.result), "output")
        self.connect(result, end)
        edges = list(self.edges)
        return View(root, _without_detours(edges) if len(edges) > MOST_EDGES else edges)

    def graph(self, graph: Graph, env: Mapping[str, Sources], into: Cluster) -> Sources:
        """Draw the nodes of a graph. Returns the boxes that its value comes from."""
        known: dict[str, Sources] = {}
        for node in graph.nodes:
            known[node.id] = self.node(node, [known[id] for id in node.inputs], env, into)
        return known[graph.nodes[-1].id] if graph.nodes else NONE

    def node(
        self, node: Node, args: list[Sources], env: Mapping[str, Sources], into: Cluster
    ) -> Sources:
        match node.op:
            case "input":
                return env.get(node.attrs["name"], NONE)
            case "model":
                return self.model(node, args, into)
            case "tool":
                box = self.box(into, node.attrs["target"], "tool")
                names = [p.name for p in self.program.tools[node.attrs["target"]].inputs]
                return self.fed(box, names, args)
            case "store":
                return NONE
            case "find" | "keep":
                box = self.box(into, f"{node.op} in {node.attrs['store']}", "tool")
                return self.fed(box, ("query", "count") if node.op == "find" else ("",), args)
            case "call":
                return self.call(self.program.graphs[node.attrs["target"]], args, into)
        if node.op in _PAINTERS and (node.op not in OF_BODIES or _calls(node)):
            return _PAINTERS[node.op](self, node, args, into)
        return frozenset().union(*args)

    def model(self, node: Node, args: list[Sources], into: Cluster) -> Sources:
        slots, role = node.attrs["slots"], node.attrs["role"]
        label = slots.module if role in ("generate", "critique") else role
        box = self.box(into, label, role, _words(slots.settings.get("model")))
        return self.fed(box, node.attrs["names"], args)

    def call(self, graph: Graph, args: list[Sources], into: Cluster) -> Sources:
        names = [p.name for p in graph.inputs]
        if self.open >= MOST_OPEN or len(self.boxes) >= MOST_BOXES:
            return self.fed(self.box(into, graph.name, graph.kind), names, args)  # type: ignore[arg-type]
        if graph.kind == "pipeline":
            into = self.cluster(into, f"pipeline {graph.name}", "pipeline")
        self.open += 1
        result = self.graph(graph, dict(zip(names, args)), into)
        self.open -= 1
        return result

    def box(self, into: Cluster, label: str, kind: Kind, note: str = "") -> str:
        """Add a box and return its id."""
        self.count += 1
        box = Box(f"n{self.count}", label, kind, note)
        into.children.append(box)
        self.boxes.append(box.id)
        return box.id

    def cluster(self, into: Cluster, label: str, kind: Kind) -> Cluster:
        """Add a cluster."""
        self.count += 1
        child = Cluster(f"c{self.count}", label, kind)
        into.children.append(child)
        return child

    def fed(self, box: str, names: Iterable[str], args: Iterable[Sources]) -> Sources:
        """Connect arguments to a box by name."""
        for name, sources in zip(names, args):
            self.connect(sources, box, name)
        return frozenset({box})

    def connect(self, sources: Sources, target: str, label: str = "", dashed: bool = False) -> None:
        """Add edges from all sources."""
        for source in sorted(sources, key=lambda id: int(id[1:])):
            self.edges[Edge(source, target, label, dashed)] = None


def _without_detours(edges: list[Edge]) -> list[Edge]:
    """The transitive reduction of the solid edges, which always lead to a later box."""
    after: dict[str, set[str]] = {}
    for edge in sorted(edges, key=lambda e: -int(e.source[1:])):
        if not edge.dashed:
            after.setdefault(edge.source, set()).add(edge.target)
    beyond: dict[str, set[str]] = {}  # the boxes that a box leads to, the last boxes first
    for box, targets in after.items():
        beyond[box] = targets.union(*(beyond.get(t, ()) for t in targets))
    return [
        edge
        for edge in edges
        if edge.dashed
        or not any(edge.target in beyond.get(t, ()) for t in after[edge.source] if t != edge.target)
    ]


def _refine(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["revise"].name.removesuffix(".revise")
    inner = painter.cluster(
        into, f"refine {name}, at most {_words(node.attrs['rounds'])} rounds", "refine"
    )
    env = dict(zip(node.attrs["names"], args))
    draft = painter.graph(node.bodies["draft"], env, inner)
    check = painter.graph(node.bodies["check"], {**env, "draft": draft}, inner)
    revised = painter.graph(node.bodies["revise"], {**env, "draft": draft, "check": check}, inner)
    for box in sorted(check):
        painter.connect(revised, box, "again", dashed=True)
    return draft | revised


def _vote(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["sample"].name.removesuffix(".sample")
    inner = painter.cluster(into, f"vote {name}, {_words(node.attrs['n'])} samples", "vote")
    env = dict(zip(node.attrs["names"], args))
    samples = painter.graph(node.bodies["sample"], env, inner)
    if "adjudicate" in node.bodies:
        return painter.graph(node.bodies["adjudicate"], {**env, "candidates": samples}, inner)
    by = node.attrs["by"]
    words = {
        "value": "majority",
        "expr": "best",
        "score": "best score",
        "certainty": "most certain",
        "steps": "most shared steps",
        "tournament": "knockout",
        "win_rate": "most wins",
    }
    if "compare" in node.bodies:
        both = {**env, "first": samples, "second": samples}
        samples = painter.graph(node.bodies["compare"], both, inner)
    label = words[by] if isinstance(by, str) else "majority by " + ", ".join(f".{f}" for f in by)
    box = painter.box(inner, label, "decide")
    painter.connect(samples, box)
    return frozenset({box})


def _search(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["expand"].name.removesuffix(".expand")
    words = f"search {name}, {_words(node.attrs['method'])}, {_words(node.attrs['width'])} a step"
    inner = painter.cluster(into, words, "search")
    env = dict(zip(node.attrs["names"], args))
    step = painter.graph(node.bodies["expand"], env, inner)
    value = painter.graph(node.bodies["value"], {**env, "path": step}, inner)
    if "until" in node.bodies:
        value |= painter.graph(node.bodies["until"], {**env, "path": step}, inner)
    for box in sorted(step):
        painter.connect(value, box, "again", dashed=True)
    return value


def _agent(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["act"].name.removesuffix(".act")
    words = f"agent {name}, at most {_words(node.attrs['steps'])} steps"
    inner = painter.cluster(into, words, "agent")
    act = painter.graph(node.bodies["act"], dict(zip(node.attrs["names"], args)), inner)
    for tool, body in node.bodies.items():
        if tool != "act":
            env = {port.name: act for port in body.inputs}
            seen = painter.graph(body, env, inner)
            for box in sorted(act):
                painter.connect(seen, box, "observed", dashed=True)
    return act


def _route(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    options = route_options(node.bodies)
    key, first = next(iter(node.bodies.items()))
    name = first.name.removesuffix(f".{key}")
    by = node.attrs["by"]
    words = "by case" if by == "case" else f"from {_words(node.attrs['threshold'])} on"
    inner = painter.cluster(into, f"route {name}, {words}", "route")
    env = dict(zip(node.attrs["names"], args))
    if by == "case":
        chosen = painter.graph(node.bodies["by"], env, inner)
        ways = [_entered(painter, body, env, inner, chosen, case) for case, body in options.items()]
        return frozenset().union(*ways)
    given, judge, judged = NONE, node.bodies.get("by"), NONE
    *others, last = options.values()
    for body in others:
        out = _entered(painter, body, env, inner, judged, "not sure")
        given |= out
        judged = painter.graph(judge, {**env, "out": out}, inner) if judge else out
    return given | _entered(painter, last, env, inner, judged, "not sure")


def _map(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    inner = painter.cluster(into, "for each, in parallel", "map")
    own = node.attrs["count"]
    free = node.attrs.get("free", ())
    names = [p.name for p in node.bodies["item"].inputs if p.name not in free]
    env = {**dict(zip(names, args[:own])), **dict(zip(free, args[own:]))}
    kept = [
        painter.graph(node.bodies[spec.name], env, inner)
        for spec in OPS["map"].bodies
        if spec.name in node.bodies
    ]
    return frozenset().union(*kept)


def _samples(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    words = f"{_words(node.attrs['n'])} samples"
    inner = painter.cluster(into, words, "samples")
    return painter.graph(node.bodies["sample"], dict(zip(node.attrs["free"], args)), inner)


def _weigh(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    return painter.graph(node.bodies["value"], dict(zip(node.attrs["free"], args)), into)


def _loop(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    inner = painter.cluster(into, f"loop, at most {_words(node.attrs['bound'])} rounds", "loop")
    env = {node.attrs["name"]: args[0], **dict(zip(node.attrs.get("free", ()), args[1:]))}
    result = painter.graph(node.bodies["body"], env, inner)
    return args[0] | result


def _cond(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    box = painter.box(into, "if", "if")
    painter.connect(args[0], box)
    env = dict(zip(node.attrs.get("free", ()), args[1:]))
    result: Sources = frozenset({box})
    for key, word in (("then", "then"), ("otherwise", "else")):
        result |= _entered(painter, node.bodies[key], env, into, frozenset({box}), word)
    return result


def _entered(
    painter: _Painter,
    body: Graph,
    env: Mapping[str, Sources],
    into: Cluster,
    origin: Sources,
    word: str,
) -> Sources:
    """Draw a body that runs only sometimes. The edge to it says when."""
    before = len(painter.boxes)
    result = painter.graph(body, env, into)
    if len(painter.boxes) > before and origin:
        painter.connect(origin, painter.boxes[before], word, dashed=True)
    return result


_PAINTERS: Mapping[str, Callable[[_Painter, Node, list[Sources], Cluster], Sources]] = {
    "map": _map,
    "samples": _samples,
    "weigh": _weigh,
    "loop": _loop,
    "cond": _cond,
    "refine": _refine,
    "vote": _vote,
    "search": _search,
    "agent": _agent,
    "route": _route,
}


def _calls(node: Node) -> bool:
    """Whether a region contains effects. One without them is drawn like an operation."""
    return any(n.op in CALLS or _calls(n) for b in node.bodies.values() for n in b.nodes)


def _words(value: Any) -> str:
    if isinstance(value, Choice):
        return "tune[" + ", ".join(map(str, value.options)) + "]"
    return "" if value is None else str(value)
