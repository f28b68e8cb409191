"""Streaming: find the call that writes a result, and yield its text in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from lmc.ir.graph import Graph, Node, ProgramGraph, all_nodes
from lmc.prompts.border import whole_text
from lmc.prompts.thinking import answer_so_far
from lmc.special_tokens import plain_so_far
from lmc.types import STR

_LONG = 20_000  # characters; every piece has all of the text read again, so then several at once
Start = Callable[[Callable[[str], None]], Awaitable[str]]  # runs with a listener; gives the text


def last_call(program: ProgramGraph, graph: Graph) -> Node | None:
    """Find the one model call whose answer is the result unchanged; else None.

    A call does not count if `require:` may refuse its answer, or if it is one of several samples.
    """
    nodes = {node.id: node for node in graph.nodes}
    end = graph.nodes[-1]
    node = nodes[end.inputs[0]] if end.op == "return" else end
    if node.op == "call":
        target = node.attrs["target"]
        calls = [n for n in _everywhere(program) if n.op == "call" and n.attrs["target"] == target]
        return last_call(program, program.graphs[target]) if len(calls) == 1 else None
    if node.op != "model" or node.type != STR or node.attrs["role"] != "generate":
        return None
    slots = node.attrs["slots"]
    return None if slots.requirements or slots.settings.get("reason") else node


async def pieces(start: Start) -> AsyncGenerator[str, None]:
    """Yield the text of a run as it comes. The joined pieces are the result.

    A result has no white space at its ends, so white space is held back until text follows it. If
    the model copies a disarmed special token, the text after it comes at the end. Leaving the loop
    early cancels the run.
    """
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def hear(piece: str) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, piece)

    run = asyncio.ensure_future(start(hear))
    run.add_done_callback(lambda _: queue.put_nowait(None))
    heard = said = ""
    try:
        ended = False
        while not ended and (piece := await queue.get()) is not None:
            heard += piece
            while len(heard) > _LONG and not ended and not queue.empty():
                piece = queue.get_nowait()
                heard, ended = heard + (piece or ""), piece is None
            whole = plain_so_far(whole_text(answer_so_far(heard)).strip())
            if len(whole) > len(said):
                yield whole[len(said) :]
                said = whole
        whole = await run
        if len(whole) > len(said):  # from a cache, or from a model that does not stream
            yield whole[len(said) :]
    finally:
        run.cancel()


def _everywhere(program: ProgramGraph) -> list[Node]:
    return [node for graph in program.graphs.values() for node in all_nodes(graph)]
