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
from lmc.ir.graph import OPTION, Graph, Node, ProgramGraph, route_options
from lmc.ir.ops import CALLS, OF_BODIES, OWN_REGION, body_numbers

Kind = Literal[
    "input", "output", "generate", "critique", "revise", "adjudicate", "act", "tool", "decide",
    "pipeline", "refine", "vote", "search", "agent", "route", "map", "samples", "loop", "if",
]  # fmt: skip
Sources = frozenset[str]
Pattern = tuple[int | None, ...]  # of places in a trace; None is an item, a sample or a round
NONE: Sources = frozenset()
MOST_OPEN = 30  # calls drawn one in the other; a call further in is a box
MOST_BOXES = 2000  # of calls that are drawn; beyond them a call is a box
MOST_WORDS = 40  # characters of a condition
MOST_EDGES = 16  # of a crowded view, only edges without a way around are drawn


@dataclass(slots=True)
class Box:
    """A box: something that takes time, or an end of the graph.

    `name` is that of the module, the tool or the input. What happens there has a place in traces
    that fits `place`.
    """

    id: str
    label: str
    kind: Kind
    note: str = ""
    name: str = ""
    place: Pattern = ()
    shown: str = ""  # a value that passed here in a run


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
        self.place: Pattern = ()  # of what is being drawn

    def paint(self, graph: Graph) -> View:
        root = Cluster("root", f"{graph.kind} {graph.name}", graph.kind)  # type: ignore[arg-type]
        env = {
            p.name: frozenset({self.box(root, f"{p.name}: {p.type}", "input", name=p.name)})
            for p in graph.inputs
        }
        result = self.graph(graph, env, root)
        end = self.box(root, str(graph.result), "output")
        self.connect(result, end)
        edges = list(self.edges)
        return View(root, _without_detours(edges) if len(edges) > MOST_EDGES else edges)

    def graph(
        self, graph: Graph, env: Mapping[str, Sources], into: Cluster, at: Pattern = ()
    ) -> Sources:
        """Draw the nodes of a graph, which is at some place in the one around it.

        Returns the boxes that its value comes from.
        """
        outer, known = self.place, dict[str, Sources]()
        within = (*outer, *at)
        for number, node in enumerate(graph.nodes):
            self.place = within if node.op in OWN_REGION else (*within, number)
            known[node.id] = self.node(node, [known[id] for id in node.inputs], env, into)
        self.place = outer
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
                target = node.attrs["target"]
                box = self.box(into, target, "tool", name=target)
                names = [p.name for p in self.program.tools[target].inputs]
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
        note = _words(slots.settings.get("model"))
        box = self.box(into, label, role, note, slots.module)
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

    def box(self, into: Cluster, label: str, kind: Kind, note: str = "", name: str = "") -> str:
        """Add a box and return its id."""
        self.count += 1
        box = Box(f"n{self.count}", label, kind, note, name, self.place)
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
    number = body_numbers("refine")
    draft = painter.graph(node.bodies["draft"], env, inner, (None, number["draft"]))
    judged = {**env, "draft": draft}
    check = painter.graph(node.bodies["check"], judged, inner, (None, number["check"]))
    known = {**judged, "check": check}
    revised = painter.graph(node.bodies["revise"], known, inner, (None, number["revise"]))
    for box in sorted(check):
        painter.connect(revised, box, "again", dashed=True)
    return draft | revised


def _vote(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["sample"].name.removesuffix(".sample")
    inner = painter.cluster(into, f"vote {name}, {_words(node.attrs['n'])} samples", "vote")
    env = dict(zip(node.attrs["names"], args))
    samples = painter.graph(node.bodies["sample"], env, inner, (None,))
    if "adjudicate" in node.bodies:
        known = {**env, "candidates": samples}
        return painter.graph(node.bodies["adjudicate"], known, inner, (None,))
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
        samples = painter.graph(node.bodies["compare"], both, inner, (None, None, None))
    label = words[by] if isinstance(by, str) else "majority by " + ", ".join(f".{f}" for f in by)
    box = painter.box(inner, label, "decide")
    painter.connect(samples, box)
    return frozenset({box})


def _search(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["expand"].name.removesuffix(".expand")
    words = f"search {name}, {_words(node.attrs['method'])}, {_words(node.attrs['width'])} a step"
    inner = painter.cluster(into, words, "search")
    env = dict(zip(node.attrs["names"], args))
    step = painter.graph(node.bodies["expand"], env, inner, (None, None))
    known = {**env, "path": step}
    value = painter.graph(node.bodies["value"], known, inner, (None, -1))
    if "until" in node.bodies:
        value |= painter.graph(node.bodies["until"], known, inner, (None, -2))
    for box in sorted(step):
        painter.connect(value, box, "again", dashed=True)
    return value


def _agent(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    name = node.bodies["act"].name.removesuffix(".act")
    words = f"agent {name}, at most {_words(node.attrs['steps'])} steps"
    inner = painter.cluster(into, words, "agent")
    number = body_numbers("agent")
    env = dict(zip(node.attrs["names"], args))
    act = painter.graph(node.bodies["act"], env, inner, (None, number["act"]))
    for tool, body in node.bodies.items():
        if tool != "act":
            env = {port.name: act for port in body.inputs}
            seen = painter.graph(body, env, inner, (None, None))
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
        number = body_numbers("route")
        chosen = painter.graph(node.bodies["by"], env, inner, (number["by"],))
        at: Pattern = (number[OPTION],)
        ways = [
            _entered(painter, body, env, inner, chosen, case, at) for case, body in options.items()
        ]
        return frozenset().union(*ways)
    given, judge, judged = NONE, node.bodies.get("by"), NONE
    *others, last = options.values()
    for body in others:
        out = _entered(painter, body, env, inner, judged, "not sure", (None, 0))
        given |= out
        judged = painter.graph(judge, {**env, "out": out}, inner, (None, 1)) if judge else out
    return given | _entered(painter, last, env, inner, judged, "not sure", (None, 0))


def _map(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    inner = painter.cluster(into, "for each, in parallel", "map")
    own = node.attrs["count"]
    free = node.attrs.get("free", ())
    names = [p.name for p in node.bodies["item"].inputs if p.name not in free]
    env = {**dict(zip(names, args[:own])), **dict(zip(free, args[own:]))}
    kept = [
        painter.graph(node.bodies[name], env, inner, (None, number))
        for name, number in body_numbers("map").items()
        if name in node.bodies
    ]
    return frozenset().union(*kept)


def _samples(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    words = f"{_words(node.attrs['n'])} samples"
    inner = painter.cluster(into, words, "samples")
    env = dict(zip(node.attrs["free"], args))
    return painter.graph(node.bodies["sample"], env, inner, (None,))


def _weigh(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    return painter.graph(node.bodies["value"], dict(zip(node.attrs["free"], args)), into)


def _loop(painter: _Painter, node: Node, args: list[Sources], into: Cluster) -> Sources:
    bodies, number, bound = node.bodies, body_numbers("loop"), _words(node.attrs["bound"])
    until = _condition(bodies["until"]) if "until" in bodies else ""
    words = f"loop, at most {bound} rounds" + (f", until {until}" if until else "")
    inner = painter.cluster(into, words, "loop")
    before = len(painter.boxes)
    env = {node.attrs["name"]: args[0], **dict(zip(node.attrs.get("free", ()), args[1:]))}
    result = painter.graph(bodies["body"], env, inner, (None, number["body"]))
    first, last = painter.boxes[before : before + 1], result - args[0]
    if "until" in bodies and _calls_in(bodies["until"]):
        asked = {**env, node.attrs["name"]: result}
        last = painter.graph(bodies["until"], asked, inner, (None, number["until"]))
    for box in first:
        painter.connect(last, box, "again", dashed=True)
    return args[0] | result


def _condition(body: Graph) -> str:
    """The words of a condition; none where the source is not there, as in an artifact."""
    span = body.span or next((n.span for n in reversed(body.nodes) if n.span), None)
    text = " ".join(span.text.split()) if span else ""
    return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 1] + "…"


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
    at: Pattern = (),
) -> Sources:
    """Draw a body that runs only sometimes. The edge to it says when."""
    before = len(painter.boxes)
    result = painter.graph(body, env, into, at)
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
    return any(map(_calls_in, node.bodies.values()))


def _calls_in(body: Graph) -> bool:
    return any(node.op in CALLS or _calls(node) for node in body.nodes)


def _words(value: Any) -> str:
    if isinstance(value, Choice):
        return "tune[" + ", ".join(map(str, value.options)) + "]"
    return "" if value is None else str(value)
