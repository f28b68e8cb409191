"""List everything outside that a program can reach, from the graph that runs.

The manifest and the sources of an artifact are only claims of its writer. The graph and the
parameters are what lmc executes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lmc.check.program import Choice
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import ProgramGraph, all_nodes
from lmc.models.passed_on import passes_on
from lmc.models.registry import TINY, provider_of
from lmc.models.server_kinds import KINDS as SERVER_KINDS
from lmc.requests.bound import fallbacks
from lmc.requests.pool import OF_ONE_MODEL
from lmc.runtime.parameters import Parameters

_PLACES: Mapping[str, str] = {  # by prefix, if the program names no address
    "lmc/": "here",
    "lmc/smollm2": "here",
    "openai/": "at api.openai.com, or OPENAI_BASE_URL",
    "hosted_vllm/": "at HOSTED_VLLM_API_BASE",
    "vllm/": "here, from a folder or the hub",
    "hf/": "here, from a folder or the hub",
    "gguf/": "here, from a file",
    "llama.cpp/": "here, from a file",
    "embed/local": "here",
    "ollama/": "at localhost:11434",
    "scripted/": "from a file",
    "recorded/": "from a file",
}
_LOCAL = (
    "lmc/",
    "lmc/smollm2",
    "hf/",
    "gguf/",
    "embed/local",
    "scripted/",
    "recorded/",
)  # an address has no effect


@frozen
class Reached:
    """Something outside: Python to run, a model to ask, weights to load."""

    kind: str  # "python", "model", "weights" or "store"
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind:8} {self.name} {self.what}"


def reached(
    graph: ProgramGraph, parameters: Parameters, consent: Consent | None = None
) -> tuple[Reached, ...]:
    """Everything that a program can reach from any of its pipelines.

    With `consent`, functions that need more of it are marked.
    """
    return (
        *_functions(graph, consent),
        *_models(graph, parameters),
        *_weights(parameters),
        *_stores(graph, consent),
    )


def _functions(graph: ProgramGraph, consent: Consent | None) -> Iterator[Reached]:
    tools = {name: ("tool", tool.target) for name, tool in graph.tools.items()}
    metrics = {n: ("metric", m.target) for n, m in graph.metrics.items() if m.target is not None}
    for name, (kind, target) in {**tools, **metrics}.items():
        refused = consent is not None and not consent.may_run(name, target)
        flag = f"; it runs with --allow-tool {name} only" if refused else ""
        yield Reached("python", name, f"({kind}) runs {target}{flag}")


def _models(graph: ProgramGraph, parameters: Parameters) -> Iterator[Reached]:
    """All declared and named models, with their addresses and key variables."""
    for name in dict.fromkeys([*graph.models, *_named(graph, parameters)]):
        own = graph.models.get(name, {})
        full = str(own.get("name") or name)
        settings = {k: v for k, v in own.items() if k in OF_ONE_MODEL}
        called = "" if full == name else f" (`{name}`)"
        yield Reached("model", full + called, _place(full, settings))


def _place(full: str, settings: Mapping[str, Any]) -> str:
    try:
        prefix = provider_of(full).prefix
    except LmcError:
        return "which no provider here knows"
    kind = SERVER_KINDS.get(prefix.removesuffix("/"))
    usual = _PLACES.get(prefix, "at the host of its provider, by litellm")
    place = f"at {kind.hosts[0]}" if kind and kind.base_url else usual
    if (address := settings.get("base_url")) and prefix not in _LOCAL:
        place = f"at {address}"
    key, told = settings.get("api_key_env"), " and ".join(passes_on(settings))
    place = f"{place}, with the key in {key}" if key else place
    return f"{place}; passes on {told}" if told else place


def _named(graph: ProgramGraph, parameters: Parameters) -> Iterator[str]:
    """The names of models at all places that can hold one."""
    yield from _in_settings(graph.default)
    usual = graph.default.get("model") or TINY
    for settings in graph.models.values():
        yield from fallbacks(settings.get("fallback"))
    graphs = [*graph.graphs.values(), *(test.graph for test in graph.tests)]
    for one in graphs:
        for node in all_nodes(one):
            if node.op == "model":
                yield from _in_settings({"model": usual, **node.attrs["slots"].settings})
    for module in parameters.modules.values():
        yield from filter(None, (module.model, module.embedder))


def _in_settings(settings: Mapping[str, Any]) -> Iterator[str]:
    for key in ("model", "fallback"):
        value = settings.get(key)
        for option in value.options if isinstance(value, Choice) else (value,):
            yield from fallbacks(option)


def _stores(graph: ProgramGraph, consent: Consent | None) -> Iterator[Reached]:
    stranger = consent is not None and consent.stranger
    flag = "; only where `--stores` says" if stranger else ""
    for name, store in graph.stores.items():
        place = store.place.get("url") or store.place.get("path") or "its usual file"
        yield Reached("store", name, f"remembers up to {store.keep:,} records in {place}{flag}")


def _weights(parameters: Parameters) -> Iterator[Reached]:
    for name, module in parameters.modules.items():
        for adapter in module.adapters:
            yield Reached("weights", adapter, f"for {name}")
