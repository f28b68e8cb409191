"""Bind the inputs of a graph to their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.diagnostics import Diagnostic, LmcError, error, suggestion
from lmc.ir.graph import Graph


def bind_inputs(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs by name, with defaults. Raises: LmcError[missing-input, unknown-input]."""
    env: dict[str, Any] = {}
    wrong: list[Diagnostic] = []
    known = 0
    for port in graph.inputs:
        if port.name in inputs:
            env[port.name] = inputs[port.name]
            known += 1
        elif port.has_default or port.train:
            env[port.name] = port.default
        else:
            message = f"`{graph.name}` needs an input `{port.name}: {port.type}`"
            wrong.append(error("missing-input", message, graph.span))
    if wrong or known < len(inputs):
        raise LmcError(*_unknown_inputs(graph, inputs), *wrong)
    return env


def _unknown_inputs(graph: Graph, inputs: Mapping[str, Any]) -> list[Diagnostic]:
    names = [port.name for port in graph.inputs]
    found = []
    for name in sorted(inputs.keys() - set(names)):
        help = suggestion(name, names)
        message = f"`{graph.name}` has no input `{name}`"
        found.append(error("unknown-input", message, graph.span, help=help))
    return found
