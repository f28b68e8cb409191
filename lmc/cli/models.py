"""`lmc models`: lists the model providers; `probe` finds out what a server can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.terminal import FILE, clean, console, paint, say

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph
    from lmc.models.base import Backend
    from lmc.models.openai_compatible import OpenAICompatible
    from lmc.models.probing import Probed
    from lmc.models.registry import Provider

_COLOURS = {"yes": "green", "partly": "yellow", "no": "red", "unknown": "yellow"}


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the model providers and whether each one is ready on this machine."""
    if ctx.invoked_subcommand is not None:
        return
    from rich.table import Table

    from lmc.models.registry import describe_models

    table = Table(
        "name", "ready", "what answers", "can do", box=None, header_style="bold", pad_edge=False
    )
    for provider in describe_models():
        table.add_row(provider.prefix, readiness(provider), provider.about, abilities(provider))
    console().print(table)


@command.command("probe")
@click.argument("server", metavar="URL|NAME")
@click.option("-m", "--model", help="Which model of the server.  [default: its only one]")
@click.option("--api-key-env", metavar="VARIABLE", help="Variable that holds the server's key.")
@click.option(
    "--for", "program", type=FILE, metavar="PROGRAM", help="Program that is to run there."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def probe(
    server: str, model: str | None, api_key_env: str | None, program: Path | None, *, as_json: bool
) -> None:
    """Find out what a server or a model can do, by about a dozen short requests.

    URL is the address of a server (http://localhost:8000/v1), NAME a model (groq/llama-3.1-8b).
    With --for, say what will not work for a program. Exits with 1 if the server does not answer.
    """
    from lmc.models.probing import MOST_TOKENS, PLANNED, most_usd
    from lmc.tasks.loop import run_sync

    graph = _graph(program) if program is not None else None
    backend, name = run_sync(_opened(server, model, api_key_env))
    usd = 0.0 if backend.capabilities.local else most_usd(backend.price)
    cost = "at a price that is not known" if usd is None else f"at most ${usd:.4f}"
    planned = (
        f"{PLANNED} requests to {backend.endpoint}, of up to {MOST_TOKENS} tokens each, {cost}"
    )
    say(planned, err=True)
    probed = run_sync(_probed(backend, name))
    if as_json:
        say(json.dumps(_data(probed, graph), indent=2))
    else:
        _show(probed, graph)
    if not probed.reached:
        raise SystemExit(1)


async def _opened(server: str, model: str | None, key_env: str | None) -> tuple[Backend, str]:
    """The backend of a name, or of the server at an address, and its name for the model."""
    from lmc.diagnostics import LmcError
    from lmc.models.registry import open_backend

    settings: dict[str, Any] = {"users": True, "base_dir": Path.cwd()}
    settings |= {"api_key_env": key_env} if key_env else {}
    if "://" not in server:
        return open_backend(server, settings)
    address = server.rstrip("/").removesuffix("/chat/completions")
    backend, _ = open_backend("openai/any", {**settings, "base_url": address})
    if model is None:
        names = await _models(backend)  # type: ignore[arg-type]
        if len(names) != 1:
            help = f"name one with `-m`: {', '.join(names[:20])}" if names else "name it with `-m`"
            message = f"{address} lists {len(names) or 'no'} models"
            await backend.close()
            raise LmcError.of("unknown-model", message, help=help)
        model = names[0]
    return backend, model


async def _models(backend: OpenAICompatible) -> tuple[str, ...]:
    """The models that a server lists, without the adapters among them."""
    from lmc.models.base import ModelFailure

    try:
        _, found = await backend.listed()
    except ModelFailure:
        return ()
    listed = found.get("data") if isinstance(found, dict) else None
    models = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    return tuple(str(m.get("id")) for m in models if not m.get("parent"))


async def _probed(backend: Backend, model: str) -> Probed:
    from lmc.models.probing import probe as find_out

    try:
        return await find_out(backend, model)
    finally:
        await backend.close()


def _graph(program: Path) -> ProgramGraph:
    from lmc.program.artifact import Artifact
    from lmc.program.program import check_file, lower_checked

    if program.suffix == ".lmpc":
        return Artifact.read(program).graph
    return lower_checked(check_file(program))


def _show(probed: Probed, graph: ProgramGraph | None) -> None:
    spoken = f", dialect `{probed.kind}`" if probed.kind else ""
    say(f"{probed.model} at {probed.endpoint}{spoken}")
    for finding in probed.findings:
        verdict = paint(f"{finding.verdict:8}", _COLOURS[finding.verdict])
        say(f"  {finding.ability:12} {verdict} {clean(finding.told)}")
    tokens = f"{probed.prompt_tokens:,} + {probed.completion_tokens:,} tokens"
    say(paint(f"{probed.requests} requests, {tokens}", "dim"))
    if graph is None or not probed.reached:
        return
    from lmc.program.needs import lacking

    unmet = lacking(graph, probed)
    for need in unmet:
        say(f"{need.where} needs {need.ability}: {need.otherwise}")
    if not unmet:
        say("the program needs nothing that this server lacks")


def _data(probed: Probed, graph: ProgramGraph | None) -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(probed)
    if graph is not None and probed.reached:
        from lmc.program.needs import lacking

        found["lacking"] = [asdict(need) for need in lacking(graph, probed)]
    return found


def readiness(provider: Provider) -> str:
    """`yes`, or what the user must do first."""
    if not provider.installed:
        return f'[yellow]pip install "lmc-lang\\[{provider.extra}]"[/]'
    if provider.key_needed and not provider.key_present:
        return f"[yellow]set {provider.key_env}[/]"
    return "[green]yes[/]"


def abilities(provider: Provider) -> str:
    """The capabilities of a provider beyond plain text."""
    can = provider.capabilities
    words = {
        "JSON schema": can.json_schema,
        "grammar": can.grammar,
        "n samples": can.multiple_samples,
        "logprobs": can.logprobs,
        "seed": can.seed,
        "adapters": can.adapters,
        "begin": can.continues,
    }
    return ", ".join(word for word, able in words.items() if able)
