"""`lmc run`: runs a program or an artifact on one input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.inputs import InputsCommand, read_inputs
from lmc.cli.terminal import (
    cache_option,
    consent_options,
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
@click.option("--stream", is_flag=True, help="Print the text while the model generates it.")
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
    from lmc.tasks.loop import run_sync
    from lmc.types import StrType

    loaded = load(program, model=model, cache=cache, speculate=speculate, **allowed)
    callee = loaded.target(target)
    inputs = read_inputs(callee.graph, given, values, loaded.consent)
    if prompt_only:
        _print_messages(callee.prompt(**inputs))
        return
    if stream:
        if trace:
            raise click.UsageError("--trace shows finished calls only; leave out --stream")
        if isinstance(callee.graph.result, StrType) and not as_json:
            run_sync(_print_pieces(callee, inputs))
            return
    calls = Trace()
    try:
        result, _ = callee.run_traced(inputs, calls)
    finally:
        if trace:
            _print_trace(calls)
    say(result if isinstance(result, str) and not as_json else _json(result), raw=True)


async def _print_pieces(callee: Callee, inputs: dict[str, Any]) -> None:
    try:
        async for piece in callee.stream(**inputs):
            say(piece, nl=False, raw=True)
    finally:
        say()


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
