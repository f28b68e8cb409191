"""Finds the calls whose answer may be the target's result: those that a run chooses among.

A debate that is written as statements is a vote that nobody declares: the answers of several calls
flow unchanged, through lists, records and loops, to a place that picks one. What was not picked did
not lead to the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lmc.frozen import frozen
from lmc.ir.graph import Graph, Node, ProgramGraph, route_options
from lmc.ir.ops import OWN_REGION, body_numbers
from lmc.ir.weighed import VALUE

Path = tuple[str, ...]  # fields, and `_ITEM` for any item of a list
_ITEM = "[]"
_SAME_LIST = ("slice", "filter", "unique", "sort_by")
_SAME_VALUE = ("present", "narrow", "project")
_ANSWERS = ("generate", "revise", "adjudicate")
MOST_STEPS = 20_000  # of a search; beyond, what was found counts


@frozen
class Alternative:
    """A call whose answer may be the result, or a field of it.

    `place` is that of the call in a trace, with None for the number of an item, sample or round.
    `path` leads to the part of the answer that flows on, and `part` to the part of the result.
    """

    place: tuple[int | None, ...]
    path: Path
    part: Path


@dataclass(slots=True, eq=False)
class _Frame:
    """A graph or body at a place, with what its inputs may be."""

    graph: Graph
    place: tuple[int | None, ...]
    nodes: dict[str, Node] = field(init=False)
    numbers: dict[str, int] = field(init=False)
    inputs: dict[str, list[tuple[_Frame, str, Path]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.nodes = {node.id: node for node in self.graph.nodes}
        self.numbers = {node.id: number for number, node in enumerate(self.graph.nodes)}

    @property
    def result(self) -> str | None:
        last = self.graph.nodes[-1]
        return last.inputs[0] if last.op == "return" else None


def alternatives(program: ProgramGraph, target: str) -> frozenset[Alternative]:
    """The calls whose answers may be the result. Votes are not entered: they tell their winners."""
    finder = _Alternatives(program)
    start = _Frame(program.graphs[target], ())
    finder.follow(start, start.result, (), ())
    finder.run()
    return frozenset(finder.found)


@dataclass(slots=True)
class _Alternatives:
    program: ProgramGraph
    found: set[Alternative] = field(default_factory=set)
    todo: list[tuple[_Frame, str, Path, Path]] = field(default_factory=list)
    seen: set[tuple[tuple[int | None, ...], str, str, Path, Path]] = field(default_factory=set)
    frames: dict[tuple[tuple[int | None, ...], str, int], _Frame] = field(default_factory=dict)

    def follow(self, frame: _Frame, id: str | None, path: Path, part: Path) -> None:
        if id is None:
            return
        key = (frame.place, frame.graph.name, id, path, part)
        if key not in self.seen and len(path) < 16 and len(self.seen) < MOST_STEPS:
            self.seen.add(key)
            self.todo.append((frame, id, path, part))

    def run(self) -> None:
        while self.todo:
            frame, id, path, part = self.todo.pop()
            for where, source, rest, whole in self._sources(frame, frame.nodes[id], path, part):
                self.follow(where, source, rest, whole)

    def _sources(
        self, frame: _Frame, node: Node, path: Path, part: Path
    ) -> Iterator[tuple[_Frame, str | None, Path, Path]]:
        """What a part of a node's value may be a part of."""
        match node.op:
            case "input":
                for where, source, before in frame.inputs.get(node.attrs["name"], ()):
                    yield where, source, (*before, *path), part
            case "model" if node.attrs["role"] in _ANSWERS:
                if _ITEM not in path:
                    self.found.add(Alternative(self._at(frame, node), path, part))
            case "call":
                callee = self.program.graphs[node.attrs["target"]]
                inner = self._frame(callee, self._at(frame, node))
                for port, source in zip(callee.inputs, node.inputs):
                    self._bind(inner, port.name, frame, source)
                yield inner, inner.result, path, part
            case "op":
                for source, rest, whole in _through(node, path, part):
                    yield frame, source, rest, whole
            case _:
                for inner, rest in self._bodies(frame, node, path):
                    yield inner, inner.result, rest, part
                if node.op == "loop":
                    yield frame, node.inputs[0], path, part

    def _bodies(self, frame: _Frame, node: Node, path: Path) -> Iterator[tuple[_Frame, Path]]:
        """The bodies that a part of a region's value may come from, and what part that is."""
        at, numbers = self._at(frame, node), body_numbers(node.op)
        item = path[1:] if path[:1] == (_ITEM,) else None
        match node.op:
            case "cond":
                for body in node.bodies.values():
                    yield self._body(frame, node, body, at, 1), path
            case "loop":
                place = (*at, None, numbers["body"])
                inner = self._body(frame, node, node.bodies["body"], place, 1)
                self._bind(inner, node.attrs["name"], frame, node.inputs[0])
                if inner.result:
                    self._bind(inner, node.attrs["name"], inner, inner.result)
                yield inner, path
            case "map" if item is not None:
                body, count = node.bodies["item"], node.attrs["count"]
                inner = self._body(frame, node, body, (*at, None, numbers["item"]), count)
                free = set(node.attrs.get("free", ()))
                names = [port.name for port in body.inputs if port.name not in free]
                for name, source in zip(names, node.inputs):
                    self._bind(inner, name, frame, source, (_ITEM,))
                yield inner, item
            case "samples" if item is not None:
                yield self._body(frame, node, node.bodies["sample"], (*at, None), 0), item
            case "weigh" if path[:1] == (VALUE,):
                yield self._body(frame, node, node.bodies["value"], at, 0), path[1:]
            case "refine":
                for name in ("draft", "revise"):
                    place = (*at, None, numbers[name])
                    yield self._named(frame, node, node.bodies[name], place), path
            case "route":
                for body in route_options(node.bodies).values():
                    for place in ((*at, numbers["to."]), (*at, None, 0)):
                        yield self._named(frame, node, body, place), path

    def _at(self, frame: _Frame, node: Node) -> tuple[int | None, ...]:
        own = node.op in OWN_REGION
        return frame.place if own else (*frame.place, frame.numbers[node.id])

    def _frame(self, graph: Graph, place: tuple[int | None, ...]) -> _Frame:
        return self.frames.setdefault((place, graph.name, id(graph)), _Frame(graph, place))

    def _body(
        self, frame: _Frame, node: Node, body: Graph, place: tuple[int | None, ...], skip: int
    ) -> _Frame:
        inner = self._frame(body, place)
        for name, source in zip(node.attrs.get("free", ()), node.inputs[skip:]):
            self._bind(inner, name, frame, source)
        return inner

    def _named(
        self, frame: _Frame, node: Node, body: Graph, place: tuple[int | None, ...]
    ) -> _Frame:
        inner = self._frame(body, place)
        for name, source in zip(node.attrs["names"], node.inputs):
            self._bind(inner, name, frame, source)
        return inner

    @staticmethod
    def _bind(inner: _Frame, name: str, frame: _Frame, source: str, path: Path = ()) -> None:
        known = inner.inputs.setdefault(name, [])
        if (frame, source, path) not in known:
            known.append((frame, source, path))


def _through(node: Node, path: Path, part: Path) -> Iterator[tuple[str, Path, Path]]:
    """What an operation passes on unchanged: the input, its part, and the part of the result."""
    fn, inputs = node.attrs["fn"], node.inputs
    head, rest = path[:1], path[1:]
    match fn:
        case "attr":
            yield inputs[0], (node.attrs["name"], *path), part
        case "record" | "object":
            for name, source in zip(node.attrs["names"], inputs):
                if head == (name,):
                    yield source, rest, part
                elif not path:
                    yield source, (), (*part, name)
        case "list" if head == (_ITEM,):
            for source in inputs:
                yield source, rest, part
        case "add" if head == (_ITEM,):
            for source in inputs:
                yield source, path, part
        case "index" | "first":
            yield inputs[0], (_ITEM, *path), part
        case "min" | "max":
            items = (_ITEM, *path) if len(inputs) == 1 else path
            for source in inputs:
                yield source, items, part
        case "flatten" if head == (_ITEM,):
            yield inputs[0], (_ITEM, *path), part
        case "group_by" if path[:2] == (_ITEM, "items"):
            yield inputs[0], path[2:], part
        case "group_by" if path[:2] == (_ITEM, "key") and node.attrs.get("by"):
            yield inputs[0], (_ITEM, node.attrs["by"], *path[2:]), part
        case "group_by" if path[:2] == (_ITEM, "key"):
            yield inputs[0], (_ITEM, *path[2:]), part
        case _ if fn in _SAME_LIST or fn in _SAME_VALUE:
            yield inputs[0], path, part


def value_at(value: object, path: Path) -> object:
    """The part of a value; None if it has no such part. `path` has no items of lists."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
