"""Streaming: find the calls that write a result, and yield the result as it grows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

from lmc.frozen import frozen
from lmc.ir.graph import Graph, Node, ProgramGraph
from lmc.ir.reach import reached_nodes
from lmc.ir.weighed import is_weighed_value
from lmc.prompts.growth import ABSENT, Growth, Path
from lmc.prompts.spec import ParseFailure
from lmc.types import OneOfType, StrType, Type

_LONG = 20_000  # characters; every piece has all of the text read again, so then several at once


class Speaker(Protocol):
    """What streaming asks of a module's call."""

    node: Node

    def so_far(self, text: str, growth: Growth) -> Any:
        """The result that an unfinished answer has given, else ABSENT. Raises: ParseFailure."""
        ...


@frozen
class SpokenText:
    """A piece of the text that a call writes, or with an empty text the start of its answer.

    The value of the call stands at `path` in the result.
    """

    path: Path
    call: Speaker
    growth: Growth
    text: str = ""


class Listener:
    """Passes on, in any thread, what the calls write whose answers are parts of the result.

    The values at the paths `whole` come when they are complete.
    """

    def __init__(
        self, hear: Callable[[SpokenText], None], whole: frozenset[Path] = frozenset()
    ) -> None:
        self.hear, self.whole = hear, whole
        self.spoken: Mapping[int, Path] = {}

    def ear(self, call: Speaker) -> Callable[[str], None] | None:
        """What the backend tells the text of a call, if it is a part of the result."""
        path = self.spoken.get(id(call.node))
        if path is None:
            return None
        growth = Growth(self.whole)
        for name in path:
            growth = growth.of(name)
        self.hear(SpokenText(path, call, growth))
        return lambda text: self.hear(SpokenText(path, call, growth, text))


Start = Callable[[Callable[[SpokenText], None]], Awaitable[Any]]  # runs with a listener


def spoken_calls(program: ProgramGraph, graph: Graph) -> dict[int, Path]:
    """Find the model calls whose answers are the result or fields of it, by `id` of the node.

    A call does not count if it is one of several samples. A text that `require:` or the bounds of
    its type may refuse does not count either, as what was said of it cannot be taken back.
    """
    targets = (n.attrs["target"] for n in reached_nodes(program, graph) if n.op == "call")
    once = {target for target, count in Counter(targets).items() if count == 1}
    found = _sources(program.graphs, once, graph, graph.nodes[-1], ())
    return {id(node): path for node, path in found}


def _sources(
    graphs: Mapping[str, Graph], once: Collection[str], graph: Graph, node: Node, path: Path
) -> Iterator[tuple[Node, Path]]:
    """The calls that write a node's value. Only graphs that are called `once` are looked into."""
    nodes = {n.id: n for n in graph.nodes}
    if node.op == "return":
        yield from _sources(graphs, once, graph, nodes[node.inputs[0]], path)
    elif node.op == "call" and node.attrs["target"] in once:
        within = graphs[node.attrs["target"]]
        yield from _sources(graphs, once, within, within.nodes[-1], path)
    elif node.op == "op" and node.attrs["fn"] == "record":
        for name, place in zip(node.attrs["names"], node.inputs):
            if place in nodes and node.inputs.count(place) == 1:
                yield from _sources(graphs, once, graph, nodes[place], (*path, name))
    elif is_weighed_value(node, nodes):
        (within,) = nodes[node.inputs[0]].bodies.values()
        yield from _sources(graphs, once, within, within.nodes[-1], path)
    elif node.op == "model" and node.attrs["role"] == "generate":
        slots = node.attrs["slots"]
        unsure = slots.requirements or slots.settings.get("reason") or _is_bounded(node.type)
        if path or not (isinstance(node.type, StrType | OneOfType) and unsure):
            yield node, path


def _is_bounded(type: Type) -> bool:
    """Whether a text may be refused for its length or form. Of an empty one nothing was said."""
    if not isinstance(type, StrType):
        return False
    return (type.min_len or 0) > 1 or type.max_len is not None or type.pattern is not None


async def snapshots(start: Start) -> AsyncGenerator[Any, None]:
    """Yield the JSON value of a result as it grows, each time whole. The last one is the result.

    An answer that was refused starts anew, so a value may shrink. A text has no white space at its
    ends, so white space is held back until text follows it. If the model copies a disarmed special
    token, the text after it comes at the end. Leaving the loop early cancels the run.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[SpokenText | None]()

    def hear(piece: SpokenText) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, piece)

    run = asyncio.ensure_future(start(hear))
    run.add_done_callback(lambda _: queue.put_nowait(None))
    state = _State()
    said = ABSENT
    try:
        while (piece := await queue.get()) is not None:
            state.add(piece)
            while state.long and not queue.empty() and (piece := queue.get_nowait()) is not None:
                state.add(piece)
            value = state.value()
            if value is not ABSENT and value != said and (value or said is not ABSENT):
                yield value
                said = value
            if piece is None:
                break
        value = await run
        if value != said:  # from a cache, or from a model that does not stream
            yield value
    finally:
        run.cancel()


class _State:
    """What the calls have written so far, by their place in the result."""

    def __init__(self) -> None:
        self.last: dict[Path, SpokenText] = {}
        self.texts: dict[Path, str] = {}
        self.values: dict[Path, Any] = {}
        self.changed: set[Path] = set()
        self.long = False

    def add(self, piece: SpokenText) -> None:
        """Add a piece, or forget a text that is written anew."""
        text = self.texts.get(piece.path, "") + piece.text if piece.text else ""
        self.last[piece.path], self.texts[piece.path] = piece, text
        self.changed.add(piece.path)
        self.long = len(text) > _LONG

    def value(self) -> Any:
        """The result so far, else ABSENT."""
        for path in self.changed:
            piece, text = self.last[path], self.texts[path]
            with suppress(ParseFailure):  # what was clear before stays
                self.values[path] = piece.call.so_far(text, piece.growth) if text else ABSENT
        self.changed.clear()
        return _joined(self.values)


def _joined(values: Mapping[Path, Any]) -> Any:
    """One value of those at each path."""
    if () in values:
        return values[()]
    found: Any = ABSENT
    for path, value in values.items():
        if value is ABSENT:
            continue
        found = inner = {} if found is ABSENT else found
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = value
    return found
