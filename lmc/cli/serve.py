"""`lmc serve`: programs over HTTP, by OpenAI's API, and as tools over MCP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from lmc.cli.terminal import FILE, cache_option, consent_options, model_option, say
from lmc.diagnostics import LmcError

_DEFAULT_JOBS = Path(".lmc/jobs.db")


def _budget(ctx: click.Context, option: click.Parameter, given: str | None) -> Any:
    from lmc.cli.data_options import parse_budget

    return parse_budget(given) or None


@click.command("serve")
@click.argument("programs", nargs=-1, metavar="[NAME=]PROGRAM...")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes any free one.",
)  # fmt: skip
@click.option("--mcp", is_flag=True, help="Speak MCP over standard input and output, and not HTTP.")
@click.option(
    "--engine", "engines", multiple=True, metavar="MODEL",
    help="Serve this model by itself under /v1, such as lmc/smollm2. Repeatable.",
)  # fmt: skip
@click.option(
    "--adapter", "adapters", multiple=True, metavar="NAME=DIR",
    help="LoRA weights on the first --engine, served under this name. Repeatable.",
)  # fmt: skip
@click.option(
    "--keys", "keys_file", type=FILE, metavar="FILE",
    help="File of API keys, one a line.  [default: LMC_SERVE_KEYS]",
)  # fmt: skip
@click.option("--without-keys", is_flag=True, help="Let everybody who reaches the server use it.")
@click.option(
    "--host-name", "hosts", multiple=True, metavar="NAME",
    help="Name under which clients reach the server. Repeatable.",
)  # fmt: skip
@click.option(
    "--cors", "origins", multiple=True, metavar="ORIGIN",
    help="Web site whose pages may ask, such as https://example.org. Repeatable.",
)  # fmt: skip
@click.option("--public-docs", is_flag=True, help="Show /docs and /openapi.json without a key.")
@click.option("--runs", default=256, show_default=True, help="Runs at one time.")
@click.option("--queue", default=1024, show_default=True, help="Requests that wait.")
@click.option(
    "--max-body", "body_mb", default=32.0, show_default=True, help="Megabytes of a request."
)
@click.option(
    "--timeout", "timeout_s", default=300.0, show_default=True, help="Seconds of a run at most."
)
@click.option(
    "--budget", callback=_budget, metavar="LIMITS",
    help="Limits for each request, such as `calls=20,usd=0.05`.",
)  # fmt: skip
@click.option(
    "--total-budget", callback=_budget, metavar="LIMITS",
    help="Limits for all requests together, until the server ends.",
)  # fmt: skip
@click.option(
    "--jobs", type=FILE, default=_DEFAULT_JOBS, show_default=True,
    help="File of accepted jobs; `off` accepts none.",
)  # fmt: skip
@click.option("--job-runs", default=32, show_default=True, help="Rows of jobs at one time.")
@click.option(
    "--keep-jobs", "keep_jobs_days", default=7.0, show_default=True,
    help="Days to keep the results of jobs.",
)  # fmt: skip
@click.option(
    "--traces", metavar="PLACE",
    help="Keep all runs in this trace store, a file or a URL. They hold the inputs of clients.",
)  # fmt: skip
@click.option(
    "--grace", "grace_s", default=30.0, show_default=True,
    help="Seconds that running requests have when the server stops.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Load programs again when their files change.")
@model_option
@cache_option
@consent_options
def command(
    programs: tuple[str, ...],
    host: str,
    port: int,
    mcp: bool,
    keys_file: Path | None,
    without_keys: bool,
    body_mb: float,
    jobs: Path,
    grace_s: float,
    watch: bool,
    adapters: tuple[str, ...],
    model: str | None,
    cache: bool,
    hosts: tuple[str, ...],
    **rest: Any,
) -> None:
    """Serve PROGRAMs (.lmp, .lmpc, or folders of them) until SIGTERM or Ctrl-C.

    POST /run/main runs a program; /docs shows all endpoints. SIGHUP loads the programs again.
    """
    _require_packages(mcp=mcp)
    from lmc.serve.hosted import Loading
    from lmc.serve.keys import given_keys
    from lmc.serve.options import ServeOptions

    names = [field.name for field in fields(ServeOptions)]
    own = {name: rest.pop(name) for name in names if name in rest}
    keys = [] if without_keys or mcp else given_keys(keys_file)
    options = ServeOptions(
        **own,
        keys=keys,
        hosts=_host_names(host, hosts, keys, without_keys=without_keys or mcp),
        body_bytes=round(body_mb * (1 << 20)),
        jobs=None if mcp or str(jobs) == "off" else jobs,
        adapters=dict(_named(adapter, "--adapter") for adapter in adapters),
    )
    loading = Loading({"model": model, "cache": cache, **rest})
    _start(programs, options, loading, host, port, mcp, grace_s, watch)


def _start(
    programs: Sequence[str],
    options: Any,
    loading: Any,
    host: str,
    port: int,
    mcp: bool,
    grace_s: float,
    watch: bool,
) -> None:
    from lmc.serve.application import serve_app
    from lmc.serve.hosted import hosted_programs

    if not programs and not options.engines:
        message = "there is nothing to serve"
        raise LmcError.of("nothing-to-serve", message, help="name a program: `lmc serve a.lmp`")
    hosted = [one for text in programs for one in hosted_programs(*_given(text, loading))]
    _require_names(hosted)
    serving = serve_app(hosted, options, loading)
    if mcp:
        from lmc.serve.mcp_stdio import serve_stdio

        serve_stdio(serving)
        return
    from lmc.serve.server import Listening, serve_until_stopped

    listening = Listening(host, port, grace_s=grace_s, watch=watch)
    serve_until_stopped(serving, listening, lambda url: _greet(url, hosted, options))


def _greet(url: str, hosted: Sequence[Any], options: Any) -> None:
    for one in hosted:
        say(f"{one.name}: {', '.join(one.targets)}", err=True)
    for name in options.engines:
        say(f"{name}: {url}/v1", err=True)
    say(f"serving at {url}, documents at {url}/docs")


def _given(text: str, loading: Any) -> tuple[Any, Any]:
    name, equals, file = text.partition("=")
    named = equals and not Path(text).exists()
    return ({name: Path(file)} if named else Path(text)), loading


def _require_names(hosted: Sequence[Any]) -> None:
    names = [one.name for one in hosted]
    for name in names:
        if names.count(name) > 1:
            message = f"two programs are called `{name}`"
            raise LmcError.of("name-taken", message, help="write `NAME=FILE` for one of them")


def _named(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{option}: write NAME=DIR")
    return name, value


def _host_names(
    host: str, given: Sequence[str], keys: Sequence[str], *, without_keys: bool
) -> list[str] | None:
    """The names that clients may use. Raises: LmcError[keys-needed]."""
    from lmc.serve.gate import LOOPBACK

    loopback = host in ("127.0.0.1", "::1", "localhost")
    if not loopback and not keys and not without_keys:
        message = f"a server on {host} can be reached by others, and has no API keys"
        help = "give `--keys FILE`; `--without-keys` lets everybody spend your money"
        raise LmcError.of("keys-needed", message, help=help)
    if given:
        return [*given, *LOOPBACK]
    return None if keys or not loopback else list(LOOPBACK)


def _require_packages(*, mcp: bool) -> None:
    """Raises: LmcError[missing-extra]."""
    from importlib.util import find_spec

    needed = ["starlette", "uvicorn", "prometheus_client", *(["mcp"] if mcp else [])]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        extras = "serve,mcp" if mcp else "serve"
        message = f"`lmc serve` needs {' and '.join(missing)}"
        raise LmcError.of("missing-extra", message, help=f'pip install "lmc-lang[{extras}]"')
