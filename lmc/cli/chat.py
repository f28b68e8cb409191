"""`lmc chat`: a conversation in the terminal with a program that takes `messages`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.inputs import InputsCommand, read_inputs, signature
from lmc.cli.terminal import (
    cache_option,
    consent_options,
    count,
    model_option,
    paint,
    print_diagnostics,
    program_argument,
    say,
    target_option,
)
from lmc.diagnostics import LmcError
from lmc.types import StrType, is_messages

if TYPE_CHECKING:
    from lmc.ir.graph import Graph
    from lmc.program.program import Callee
    from lmc.requests.usage import Usage

END = "/exit"


@click.command("chat", cls=InputsCommand, context_settings={"ignore_unknown_options": True})
@program_argument
@click.argument("values", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
@target_option
@model_option
@cache_option
@consent_options
def command(
    program: Path,
    values: tuple[str, ...],
    target: str | None,
    model: str | None,
    cache: bool,
    **allowed: Any,
) -> None:
    """Talk with PROGRAM, which has a parameter of the type `messages` and one for what you say.

    What you say is a line; `/exit` or the end of the input ends the conversation, and Ctrl-C stops
    an answer. All other parameters are given once: `lmc chat helper.lmp --today 2026-03-01`.
    """
    from lmc.program.program import load

    loaded = load(program, model=model, cache=cache, **allowed)
    talk = Talk(loaded.target(target), values)
    try:
        failed = talk.go_on(_lines())
    finally:
        _print_usage(talk.turns, loaded.pool.usage)
    if failed and not sys.stdin.isatty():
        sys.exit(1)


class Talk:
    """A conversation: what was said so far, and the program that answers."""

    def __init__(self, callee: Callee, values: tuple[str, ...]) -> None:
        graph = callee.graph
        history = [port.name for port in graph.inputs if is_messages(port.type)]
        texts = [p.name for p in graph.inputs if isinstance(p.type, StrType) and not p.has_default]
        if len(history) != 1:
            message = f"`{graph.name}` needs one parameter of the type `messages` for a chat"
            raise click.UsageError(f"{message}; {signature(graph)}")
        open_ends = _with_defaults(graph, {*history, *texts})
        self.given = read_inputs(open_ends, None, values, callee.program.consent)
        said = [name for name in texts if name not in self.given]
        if len(said) != 1:
            message = f"`{graph.name}` needs one `str` parameter for what you say"
            raise click.UsageError(f"{message}, so give all others; {signature(graph)}")
        self.callee, self.history, self.said = callee, history[0], said[0]
        self.messages: list[dict[str, Any]] = list(self.given.pop(self.history, []))
        self.turns = 0

    def go_on(self, lines: Iterator[str]) -> bool:
        """Answer line after line. Whether the last answer failed."""
        failed = False
        for line in lines:
            try:
                self._answer(line)
                failed = False
            except LmcError as failure:
                print_diagnostics(failure.diagnostics)
                failed = True
            except KeyboardInterrupt:
                say(paint("stopped", "dim"), err=True)
        return failed

    def _answer(self, line: str) -> None:
        inputs = {**self.given, self.history: self.messages, self.said: line}
        if isinstance(self.callee.graph.result, StrType):
            answer = self._stream(inputs)
        else:
            result, _ = self.callee.run_traced(inputs)
            if is_messages(self.callee.graph.result):
                self._take(result)
                return
            answer = json.dumps(result, ensure_ascii=False)
            say(answer, raw=True)
        self.messages += [
            {"role": "user", "content": line},
            {"role": "assistant", "content": answer},
        ]
        self.turns += 1

    def _stream(self, inputs: Mapping[str, Any]) -> str:
        pieces = []
        try:
            for piece in self.callee.stream(**inputs):
                say(piece, nl=False, raw=True)
                pieces.append(piece)
        finally:
            say()
        return "".join(pieces)

    def _take(self, messages: list[dict[str, Any]]) -> None:
        """Go on from the conversation that a program gives back."""
        for turn in messages[len(self.messages) :]:
            if turn["role"] == "assistant":
                say(turn["content"], raw=True)
        self.messages = messages
        self.turns += 1


def _with_defaults(graph: Graph, names: set[str]) -> Graph:
    """The graph where some inputs may be left out."""
    ports = (replace(p, has_default=p.has_default or p.name in names) for p in graph.inputs)
    return replace(graph, inputs=tuple(ports))


def _lines() -> Iterator[str]:
    """What the user says: lines that are not empty, up to `/exit` or the end of the input."""
    asked = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(asked)
        except (EOFError, KeyboardInterrupt):
            return
        if line.strip() == END:
            return
        if line.strip():
            yield line


def _print_usage(turns: int, usage: Usage) -> None:
    spent = f", ${usage.cost_usd:.4f}" if usage.cost_usd else ""
    words = f"{count(turns, 'turn')}, {count(usage.calls, 'call')}, {count(usage.tokens, 'token')}"
    say(paint(f"{words}{spent}", "dim"), err=True)
