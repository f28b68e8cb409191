"""`lmc run`: runs a program or an artifact on one input."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.inputs import InputsCommand, read_inputs
from lmc.cli.terminal import (
    cache_option,
    consent_options,
    console,
    count,
    model_option,
    paint,
    program_argument,
    say,
    speculate_option,
    target_option,
)

if TYPE_CHECKING:
    from lmc.program.program import Callee


@click.command("run", cls=InputsCommand, context_settings={"ignore_unknown_options": True})
@program_argument
@click.argument("values", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
@target_option
@click.option(
    "-i", "--input", "given",
    help="All inputs as a JSON object, as @FILE with one, or - for standard input.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON, also if it is a string."
)
@click.option(
    "--stream", is_flag=True,
    help="Show the result while the model writes it; with --json as lines, each with a change.",
)  # fmt: skip
@click.option("--trace", is_flag=True, help="Print every model call on standard error.")
@click.option("--prompt", "prompt_only", is_flag=True, help="Print the prompt and call no model.")
@model_option
@cache_option
@speculate_option
@consent_options
def command(
    program: Path,
    values: tuple[str, ...],
    target: str | None,
    given: str | None,
    as_json: bool,
    stream: bool,
    trace: bool,
    prompt_only: bool,
    model: str | None,
    cache: bool,
    speculate: int,
    **allowed: Any,
) -> None:
    """Run PROGRAM (.lmp or .lmpc) on one input: `lmc run tiny.lmp --question "2 + 2?"`.

    A parameter that has the name of an option below comes after `--`, where every option is a
    parameter: `lmc run tiny.lmp -- --model "…"`.
    """
    from lmc.program.program import load
    from lmc.runtime.traces import Trace

    loaded = load(program, model=model, cache=cache, speculate=speculate, **allowed)
    callee = loaded.target(target)
    inputs = read_inputs(callee.graph, given, values, loaded.consent)
    if prompt_only:
        _print_messages(callee.prompt(**inputs))
        return
    if stream:
        if trace:
            raise click.UsageError("--trace shows finished calls only; leave out --stream")
        _print_stream(callee, inputs, as_json=as_json)
        return
    calls = Trace()
    try:
        result, _ = callee.run_traced(inputs, calls)
    finally:
        if trace:
            _print_trace(calls)
    _print_result(result, as_json=as_json)


def _print_result(result: Any, *, as_json: bool) -> None:
    say(result if isinstance(result, str) and not as_json else _json(result), raw=True)


def _print_stream(callee: Callee, inputs: dict[str, Any], *, as_json: bool) -> None:
    """Print a text piece by piece; redraw any other result on a terminal, else print it whole."""
    from lmc.types import StrType
    from lmc.values import to_json

    stream, result = callee.stream(**inputs), callee.graph.result
    if as_json:
        for delta in stream.deltas():
            say(json.dumps(delta.as_json(), ensure_ascii=False), raw=True)
    elif isinstance(result, StrType):
        try:
            for piece in stream:
                say(piece, nl=False, raw=True)
        finally:
            say()
    else:
        _redraw(stream)
        _print_result(to_json(result, stream.result), as_json=False)


def _redraw(stream: Iterable[Any]) -> None:
    """Show what is there so far. The picture goes when the result is complete."""
    from pydantic_core import to_json
    from rich.live import Live
    from rich.text import Text

    screen = console(stderr=True)
    with Live(console=screen, refresh_per_second=12, transient=True) as live:
        for part in stream:
            if screen.is_terminal:
                live.update(Text(to_json(part, indent=2, exclude_none=True).decode()))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _print_messages(messages: list[dict[str, str]]) -> None:
    for message in messages:
        say(paint(f"--- {message['role']}", "bold"))
        say(message["content"])


def _print_trace(trace: Any) -> None:
    for call in trace.calls:
        tokens = count(call.usage.prompt_tokens + call.usage.completion_tokens, "token")
        head = f"{call.module} ({call.role}, sample {call.sample}, {tokens})"
        say(paint(head, "bold"), err=True)
        for text in call.raw if call.error else ():
            say(f"  {text}", err=True)
        say(f"  {call.error or _json(call.outputs)}", err=True)
