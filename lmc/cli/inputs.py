"""Inputs of a program on the command line: `--input` JSON, or one option for each parameter.

An option of the command itself goes before a parameter of that name. After `--` every option is a
parameter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lmc.check.subtyping import required
from lmc.consent import OWN, Consent
from lmc.diagnostics import did_you_mean
from lmc.ir.graph import Graph, Port
from lmc.media.given import Access
from lmc.regular import MOST_TEXT_BYTES, read_text
from lmc.types import ListType, MediaType, StrType, WrittenType
from lmc.values import InvalidValue, taken_in, validate
from lmc.values.aliases import from_seen
from lmc.values.taking import holds_media
from lmc.written import exact_float


class InputsCommand(click.Command):
    """A command with options of its own, and with one for each parameter of a program.

    An option takes the next word as its value, also if that word starts with `-`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the options of parameters to values that click would take for options."""
        return super().parse_args(ctx, list(_joined(args, _own_options(ctx, self))))


def _own_options(ctx: click.Context, command: click.Command) -> dict[str, click.Parameter]:
    """The options of a command itself, by what the user types."""
    return {o: p for p in command.get_params(ctx) for o in (*p.opts, *p.secondary_opts)}


def _joined(args: Sequence[str], own: dict[str, click.Parameter]) -> Iterator[str]:
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield from (word, *rest)
            return
        option = own.get(word)
        if rest and isinstance(option, click.Option) and not option.is_flag and not option.count:
            yield from (word, rest.pop(0))
        elif rest and option is None and _takes_next(word) and rest[0].startswith("-"):
            yield f"{word}={rest.pop(0)}"
        else:
            yield word


def _takes_next(word: str) -> bool:
    return word.startswith("--") and "=" not in word


def read_inputs(
    graph: Graph, given: str | None, extra: Sequence[str], consent: Consent = OWN
) -> dict[str, Any]:
    """Values by parameter name, not yet validated. Raises: click.UsageError.

    An option names images and other media by paths from here; JSON by paths in its own folder.
    """
    ports = {p.name: p for p in graph.inputs}
    values = _read_json(given) if given is not None else {}
    folder = Path(given[1:]).absolute().parent if given and given[0] == "@" else Path.cwd()
    values = _with_media(ports, values, Access(folder, consent=consent, owner="the input"))
    values |= _read_options(ports, extra, Access(anywhere=True, consent=consent))
    missing = [
        p.name for p in graph.inputs if not p.has_default and not p.train and p.name not in values
    ]
    if missing:
        message = f"`{graph.name}` needs {_options(missing)}; {signature(graph)}"
        raise click.UsageError(message + _clashes(missing))
    return values


def _with_media(ports: dict[str, Port], values: dict[str, Any], access: Access) -> dict[str, Any]:
    """The values with their files read. Raises: click.UsageError."""
    try:
        return {
            n: taken_in(ports[n].type, v, access) if n in ports else v for n, v in values.items()
        }
    except InvalidValue as problem:
        raise click.UsageError(str(problem)) from None


def signature(graph: Graph) -> str:
    """`main(problem: str) -> Solution`."""
    parameters = ", ".join(f"{p.name}: {p.type}" for p in graph.inputs)
    return f"its signature is {graph.name}({parameters}) -> {graph.result}"


def _clashes(names: Sequence[str]) -> str:
    """What to do about parameters that have the name of an option of the command."""
    ctx = click.get_current_context()
    own = _own_options(ctx, ctx.command).keys()
    both = [name for name in names if {f"--{name}", f"--{name.replace('_', '-')}"} & own]
    if not both:
        return ""
    shown = " ".join(f"--{name} VALUE" for name in both)
    are = "are options" if len(both) > 1 else "is an option"
    return (
        f"\n{_options(both)} {are} of `lmc {ctx.command.name}` itself. After `--`,"
        f" every option is a parameter: `-- {shown}`"
    )


def _options(names: Sequence[str]) -> str:
    return " and ".join(f"--{n}" for n in names)


def _read_json(given: str) -> dict[str, Any]:
    text = given
    if given == "-":
        text = sys.stdin.read(MOST_TEXT_BYTES)
    elif given.startswith("@"):
        try:
            text = read_text(Path(given[1:]))
        except (OSError, UnicodeDecodeError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise click.UsageError(f"--input: cannot read {given[1:]}: {reason}") from None
    try:
        value = json.loads(text, parse_float=exact_float)
    except (ValueError, RecursionError) as problem:
        raise click.UsageError(f"--input: not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise click.UsageError("--input: give a JSON object with one key for each parameter")
    return value


def _read_options(ports: dict[str, Port], extra: Sequence[str], access: Access) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rest = list(extra)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            message = f"unexpected argument `{word}`; give each input as --name value"
            raise click.UsageError(message + _clashes(list(ports)))
        name, equals, text = word[2:].partition("=")
        name = name if name in ports else name.replace("-", "_")
        if name not in ports:
            near = did_you_mean(name, ports)
            tail = f"; did you mean --{near}?" if near else f"; it takes {_options(list(ports))}"
            raise click.UsageError(f"there is no parameter `{name}`{tail}")
        if not equals:
            if not rest:
                raise click.UsageError(f"--{name} needs a value")
            text = rest.pop(0)
        values[name] = _value(ports[name], text, access)
    return values


def _value(port: Port, text: str, access: Access) -> Any:
    """A text for a `str`, a path for media. For other types it is JSON, or else the text itself.

    A date or a path may be in quotes, as in JSON.
    """
    if isinstance(port.type, StrType):
        return text
    if isinstance(port.type, WrittenType):
        return _unquoted(text)
    if holds_media(port.type):
        alone = isinstance(required(port.type), MediaType)
        value = _unquoted(text) if alone else _json_or_text(text)
        value = [value] if isinstance(port.type, ListType) and isinstance(value, str) else value
        try:
            return taken_in(port.type, value, access)
        except InvalidValue as problem:
            raise click.UsageError(f"--{port.name}: {problem}") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if _fits(port, value) or not _fits(port, text) else text


def _unquoted(text: str) -> str:
    """A JSON text without its quotes; any other text as it is."""
    value = _json_or_text(text) if text[:1] == '"' else text
    return value if isinstance(value, str) else text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _fits(port: Port, value: Any) -> bool:
    try:
        validate(port.type, from_seen(port.type, value))
    except InvalidValue:
        return False
    return True
