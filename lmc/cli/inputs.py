"""Inputs of a program on the command line: `--input` JSON, or one option for each parameter."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lmc.diagnostics import did_you_mean
from lmc.ir.graph import Graph, Port
from lmc.regular import read_text
from lmc.types import StrType


def read_inputs(graph: Graph, given: str | None, extra: Sequence[str]) -> dict[str, Any]:
    """Values by parameter name, not yet validated. Raises: click.UsageError."""
    ports = {p.name: p for p in graph.inputs}
    values = _read_json(given) if given is not None else {}
    values |= _read_options(ports, extra)
    missing = [
        p.name for p in graph.inputs if not p.has_default and not p.train and p.name not in values
    ]
    if missing:
        raise click.UsageError(f"`{graph.name}` needs {_options(missing)}; {signature(graph)}")
    return values


def signature(graph: Graph) -> str:
    """`main(problem: str) -> Solution`."""
    parameters = ", ".join(f"{p.name}: {p.type}" for p in graph.inputs)
    return f"its signature is {graph.name}({parameters}) -> {graph.result}"


def _options(names: Sequence[str]) -> str:
    return " and ".join(f"--{n}" for n in names)


def _read_json(given: str) -> dict[str, Any]:
    text = given
    if given == "-":
        text = sys.stdin.read()
    elif given.startswith("@"):
        try:
            text = read_text(Path(given[1:]))
        except OSError as problem:
            raise click.UsageError(
                f"--input: cannot read {given[1:]}: {problem.strerror}"
            ) from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as problem:
        raise click.UsageError(f"--input: not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise click.UsageError("--input: give a JSON object with one key for each parameter")
    return value


def _read_options(ports: dict[str, Port], extra: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    rest = list(extra)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise click.UsageError(f"unexpected argument `{word}`; give each input as --name value")
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
        values[name] = _value(ports[name], text)
    return values


def _value(port: Port, text: str) -> Any:
    if isinstance(port.type, StrType):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # an enum variant or a literal; validation rejects anything else
