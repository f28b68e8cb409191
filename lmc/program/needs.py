"""What a program needs of the model that answers it, and what a server lacks of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lmc.check.program import Choice
from lmc.frozen import frozen
from lmc.ir.graph import Node, ProgramGraph, all_nodes
from lmc.models.probing import Probed


@frozen
class Need:
    """An ability that a part of a program needs. `otherwise` is what happens without it."""

    where: str
    ability: str
    otherwise: str


_OTHERWISE: Mapping[str, str] = {
    "sampling": "all its samples are equal, so the vote decides nothing",
    "n": "each sample is a request of its own, and reads the prompt again",
    "schema": "answers are read and repaired, and some may fail",
    "logprobs": "its certainty is not known",
    "seed": "runs do not repeat",
    "tools": "its tools are described in the prompt",
    "reasoning": "`reasoning:` is left out",
    "adapters": "it cannot be asked",
    "system role": "the instruction goes into the user's turn",
    "usage": "budgets count estimates",
}


def needs(graph: ProgramGraph) -> tuple[Need, ...]:
    """What the modules of a program need, each ability once a module."""
    found: dict[tuple[str, str], None] = {}
    for name, one in graph.graphs.items():
        for node in all_nodes(one):
            for where, ability in _of(node, name):
                found[where, ability] = None
    if any(model.get("logprobs") for model in graph.models.values()):
        found["the model's `logprobs`", "logprobs"] = None
    return tuple(Need(where, ability, _OTHERWISE[ability]) for where, ability in found)


def lacking(graph: ProgramGraph, probed: Probed) -> tuple[Need, ...]:
    """The needs that a probed server does not meet."""
    unmet = {f.ability for f in probed.findings if f.verdict in ("no", "partly")}
    return tuple(need for need in needs(graph) if need.ability in unmet)


def _of(node: Node, graph: str) -> Iterator[tuple[str, str]]:
    if node.op in ("vote", "samples"):
        yield f"`{graph}`", "sampling"
        yield f"`{graph}`", "n"
    if node.op == "weigh" or "certainty" in (node.attrs.get("by"), node.attrs.get("weight")):
        yield f"`{graph}`", "logprobs"
    if node.op != "model":
        return
    slots = node.attrs["slots"]
    where, settings = f"`{slots.module}`", slots.settings
    yield where, "system role"
    if _may_be(settings.get("layout"), "json"):
        yield where, "schema"
    if node.attrs.get("offers"):
        yield where, "tools"
    for setting, ability in (("adapter", "adapters"), ("seed", "seed"), ("reasoning", "reasoning")):
        if settings.get(setting) is not None:
            yield where, ability


def _may_be(value: object, wanted: str) -> bool:
    return wanted in value.options if isinstance(value, Choice) else value == wanted
