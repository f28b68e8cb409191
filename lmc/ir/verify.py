"""The executable specification of the graph: a table of rules, checked at the borders of stages.

A finding is a fault of lmc, not of the program: it names the rule, the node, and the source line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lmc.check.program import Choice, options_of
from lmc.check.subtyping import is_subtype
from lmc.frozen import frozen
from lmc.ir.functions import FUNCTIONS
from lmc.ir.graph import Graph, Node, ProgramGraph, Slots, route_options
from lmc.types import BoolType, ErrorType, ListType, Type


class GraphFault(Exception):
    """A graph that breaks its specification; one line for each finding."""


@frozen
class Site:
    """A node with what stands around it."""

    program: ProgramGraph
    graph: Graph
    node: Node
    inputs: tuple[Node, ...]


SpecRule = tuple[str, Callable[[Site], bool]]


def verify(program: ProgramGraph) -> None:
    """Check all graphs of a program. Raises: GraphFault."""
    graphs = [*program.graphs.values(), *(t.graph for t in program.tests)]
    graphs += [stub for t in program.tests for stub in t.stubs.values()]
    findings = [f for graph in graphs for f in _findings(program, graph)]
    findings += [f"graphs call one another in a circle: {' -> '.join(c)}" for c in _cycle(program)]
    if findings:
        raise GraphFault("\n".join(findings))


def _findings(program: ProgramGraph, graph: Graph) -> Iterator[str]:
    known: dict[str, Node] = {}
    for node in graph.nodes:
        unknown = [id for id in node.inputs if id not in known]
        if unknown or node.id in known:
            yield _told(graph, node, "inputs precede their uses and ids are unique")
        else:
            place = Site(program, graph, node, tuple(known[id] for id in node.inputs))
            rules = (*EVERY_NODE, *RULES.get(node.op, ()))
            yield from (_told(graph, node, message) for message, holds in rules if not holds(place))
            for body in node.bodies.values():
                yield from _findings(program, body)
        known[node.id] = node
    if not graph.nodes or graph.nodes[-1].op != "return":
        yield f"{graph.name}: the last node is the return"


def _told(graph: Graph, node: Node, message: str) -> str:
    where = f" ({node.span})" if node.span else ""
    return f"{graph.name}, node {node.id} {node.op}{where}: {message}"


# --- the rules ---


def _arity(low: int, high: int | None = None) -> SpecRule:
    top = low if high is None else high
    words = f"takes {low} inputs" if top == low else f"takes {low} to {top} inputs"
    return words, lambda p: low <= len(p.inputs) <= top


def _has(*names: str) -> SpecRule:
    return f"has the attributes {', '.join(names)}", lambda p: all(n in p.node.attrs for n in names)


def _bodies(needed: Iterable[str], allowed: Iterable[str] = ()) -> SpecRule:
    must, may = set(needed), {*needed, *allowed}
    words = f"has the bodies {', '.join(sorted(must)) or 'none'}"
    words += f", perhaps {', '.join(sorted(may - must))}" if may - must else ""
    return words, lambda p: must <= set(p.node.bodies) <= may


def _fits(actual: Type, wanted: Type) -> bool:
    return (
        isinstance(actual, ErrorType) or isinstance(wanted, ErrorType) or is_subtype(actual, wanted)
    )


def _is_bool(type: Type) -> bool:
    return isinstance(type, BoolType | ErrorType)


def _bound(key: str, low: int, high: int) -> SpecRule:
    def holds(place: Site) -> bool:
        value = place.node.attrs.get(key)
        return all(isinstance(v, int) and low <= v <= high for v in options_of(value))

    return f"`{key}` is a constant or choice within {low}..{high}", holds


def _free_follow(own: Callable[[Site], int]) -> SpecRule:
    def holds(place: Site) -> bool:
        return len(place.inputs) == own(place) + len(place.node.attrs.get("free", ()))

    return "the values of `free` follow its own inputs", holds


def _given(names: Callable[[Site], Iterable[str]]) -> SpecRule:
    """Whatever a body takes is given by the region or comes from outside."""

    def holds(place: Site) -> bool:
        known = {*names(place), *place.node.attrs.get("free", ())}
        used = {
            n.attrs["name"] for b in place.node.bodies.values() for n in b.nodes if n.op == "input"
        }
        return used <= known

    return "its bodies take only what it gives them", holds


def _names_and(*more: str) -> Callable[[Site], Iterable[str]]:
    return lambda p: (*p.node.attrs.get("names", ()), *more)


def _map_variables(place: Site) -> list[str]:
    free = set(place.node.attrs.get("free", ()))
    return [port.name for port in place.node.bodies["item"].inputs if port.name not in free]


def _options_fit(place: Site) -> bool:
    options = route_options(place.node.bodies).values()
    return all(_fits(option.result, place.node.type) for option in options)


def _call_fits(place: Site) -> bool:
    target = place.program.graphs.get(place.node.attrs["target"])
    return target is not None and len(target.inputs) == len(place.inputs)


def _tool_fits(place: Site) -> bool:
    tool = place.program.tools.get(place.node.attrs["target"])
    return tool is not None and len(tool.inputs) == len(place.inputs)


def _named_inputs(place: Site) -> bool:
    return len(place.node.attrs["names"]) == len(place.inputs)


EVERY_NODE: tuple[SpecRule, ...] = (("has a type", lambda p: isinstance(p.node.type, Type)),)
RULES: dict[str, tuple[SpecRule, ...]] = {
    "input": (_arity(0), _has("name")),
    "const": (_arity(0), _has("value")),
    "choice": (
        _arity(0),
        ("has a choice", lambda p: isinstance(p.node.attrs.get("choice"), Choice)),
    ),
    "op": (("its function is known", lambda p: p.node.attrs.get("fn") in FUNCTIONS),),
    "model": (
        _has("slots", "role", "names"),
        ("has slots", lambda p: isinstance(p.node.attrs["slots"], Slots)),
        ("names its inputs", _named_inputs),
        _bodies((), ("require", "check")),
        _given(_names_and("out")),
    ),
    "call": (("calls a graph with as many inputs", _call_fits),),
    "tool": (("calls a tool with as many inputs", _tool_fits),),
    "map": (
        _has("count"),
        _bodies(("item",), ("filter",)),
        _free_follow(lambda p: int(p.node.attrs["count"])),
        _given(_map_variables),
        ("gives a list", lambda p: isinstance(p.node.type, ListType | ErrorType)),
    ),
    "loop": (
        _has("name", "bound"),
        _bodies(("body",), ("until",)),
        _free_follow(lambda p: 1),
        _given(lambda p: (p.node.attrs["name"],)),
        _bound("bound", 0, 10_000),
    ),
    "cond": (
        _bodies(("then", "otherwise")),
        _free_follow(lambda p: 1),
        _given(lambda p: ()),
        ("its condition is a bool", lambda p: _is_bool(p.inputs[0].type)),
    ),
    "refine": (
        ("names its inputs", _named_inputs),
        _bodies(("draft", "check", "revise"), ("until",)),
        _given(_names_and("draft", "check")),
        _bound("rounds", 0, 8),
        ("its draft is of its type", lambda p: _fits(p.node.bodies["draft"].result, p.node.type)),
    ),
    "vote": (
        ("names its inputs", _named_inputs),
        _bodies(("sample",), ("key", "adjudicate", "compare", "difficulty")),
        _given(_names_and("out", "candidates", "first", "second")),
        _bound("n", 1, 64),
        ("its sample is of its type", lambda p: _fits(p.node.bodies["sample"].result, p.node.type)),
    ),
    "search": (
        ("names its inputs", _named_inputs),
        _bodies(("expand", "value"), ("until",)),
        _given(_names_and("path")),
        _bound("width", 1, 64),
        _bound("keep", 1, 64),
        _bound("depth", 1, 64),
        _bound("rounds", 1, 256),
        ("gives a list", lambda p: isinstance(p.node.type, ListType | ErrorType)),
    ),
    "agent": (
        ("names its inputs", _named_inputs),
        ("has the body act", lambda p: "act" in p.node.bodies),
        _bound("steps", 1, 64),
    ),
    "route": (
        ("names its inputs", _named_inputs),
        _has("by"),
        ("has options", lambda p: bool(route_options(p.node.bodies))),
        _given(_names_and("out")),
        ("each option is of its type", _options_fit),
    ),
    "assert": (_arity(1), ("its condition is a bool", lambda p: _is_bool(p.inputs[0].type))),
    "return": (
        _arity(1),
        ("is the last node", lambda p: p.node is p.graph.nodes[-1]),
        (
            "what it returns is of the graph's type",
            lambda p: _fits(p.inputs[0].type, p.graph.result),
        ),
    ),
}


def _cycle(program: ProgramGraph) -> Iterator[list[str]]:
    """A circle among calls, if there is one."""
    done: set[str] = set()
    for start in program.graphs:
        path: list[str] = []
        todo = [(start, iter(_targets(program.graphs[start])))] if start not in done else []
        path += [name for name, _ in todo]
        while todo:
            _, targets = todo[-1]
            target = next((t for t in targets if t in program.graphs and t not in done), None)
            if target is None:
                todo.pop()
                done.add(path.pop())
            elif target in path:
                yield [*path[path.index(target) :], target]
                return
            else:
                todo.append((target, iter(_targets(program.graphs[target]))))
                path.append(target)


def _targets(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op == "call":
            yield node.attrs["target"]
        for body in node.bodies.values():
            yield from _targets(body)
