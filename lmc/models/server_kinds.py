"""The dialects of chat completions: what each provider and server takes, as one table.

The rows follow the public documentation at `source`. A test plays an exchange of every row, and the
table in the docs is made of them. What a server refuses beyond its row is learnt from its words
(`lmc.models.dialect`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from lmc.frozen import frozen
from lmc.media.content import KINDS as KINDS_OF_MEDIA
from lmc.models.base import Capabilities

SchemaForm = Literal["json_schema", "json_object", "none"]
ThinkingForm = Literal[
    "effort", "switch", "anthropic", "google", "deepseek", "groq", "mistral", "template",
    "openrouter", "vllm", "llama.cpp", "none",
]  # fmt: skip


@frozen
class ServerKind:
    """How the servers of one kind speak the protocol.

    `base_url` is the usual address of a provider, whose models are named `name/…`. `media` are the
    kinds that the protocol has parts for there. It is known by `hosts`, a usual port of this
    machine, the header `Server`, or who owns the models that it lists.

    `most_n` is the most samples of one request, None if there is no limit.
    `grammar` is the parameter that takes a grammar in Lark form, empty if there is none.
    `schema` is the strongest bound on answers, `strict` whether a schema must say so. `limit` is
    the parameter of the most tokens. `thoughts` is where an answer has its thoughts. `cached` is
    where the usage tells tokens that were read from a cache of prompts, empty if nowhere.
    `breakpoints`: the end of a prefix to cache is marked in the messages; else a cache is automatic
    or absent. `cache_key`: prompts that share a beginning are sent with its name. `adapters` says
    how weights of LoRA are named: in the place of the model, behind it (`model:adapter`), or in its
    place after lmc has loaded them; empty if they cannot be. `batch_price` is the share of the
    usual price that a batch API of OpenAI's form, or Mistral's, takes; None if there is none.
    """

    name: str
    title: str
    source: str
    base_url: str = ""
    media: tuple[str, ...] = KINDS_OF_MEDIA
    hosts: tuple[str, ...] = ()
    port: int | None = None
    server: str = ""
    owner: str = ""
    most_n: int | None = None
    schema: SchemaForm = "json_schema"
    grammar: Literal["", "structured_outputs"] = ""
    strict: bool = False
    logprobs: bool = True
    seed: str | None = "seed"
    limit: str = "max_tokens"
    stream_usage: bool = True
    tool_choice: bool = True
    thinking: ThinkingForm = "effort"
    thoughts: str = ""
    cached: str = "prompt_tokens_details.cached_tokens"
    breakpoints: bool = False
    cache_key: bool = False
    adapters: Literal["", "name", "suffix", "loaded"] = ""
    batch_price: float | None = None

    @property
    def unsent(self) -> frozenset[str]:
        """The parameters that are never sent to such a server."""
        left_out = {
            "response_format": self.schema == "none",
            "logprobs": not self.logprobs,
            "seed": self.seed is None,
            "stream_options": not self.stream_usage,
            "tool_choice": not self.tool_choice,
        }
        return frozenset(name for name, is_left in left_out.items() if is_left)

    @property
    def capabilities(self) -> Capabilities:
        """What a backend of this kind can do."""
        return Capabilities(
            json_schema=self.schema != "none", logprobs=self.logprobs,
            multiple_samples=self.most_n != 1, adapters=bool(self.adapters),
            seed=self.seed is not None, tools=True, media=self.media, grammar=bool(self.grammar),
        )  # fmt: skip


# Any other server of the protocol. Everything is tried, and refusals are learnt.
OTHER = ServerKind("other", "any other server", "", thoughts="`reasoning_content` or `reasoning`",
                   adapters="name", batch_price=1.0)  # fmt: skip

_TABLE = (
    ServerKind(
        "openai", "OpenAI", "https://platform.openai.com/docs/api-reference/chat/create",
        hosts=("api.openai.com", "eu.api.openai.com", "us.api.openai.com"), most_n=128,
        strict=True, limit="max_completion_tokens", adapters="name", cache_key=True,
        batch_price=0.5,
    ),
    ServerKind(
        "anthropic", "Anthropic, compatible endpoint",
        "https://docs.anthropic.com/en/api/openai-sdk", hosts=("api.anthropic.com",),
        most_n=1, schema="none", logprobs=False, seed=None, thinking="anthropic", cached="",
    ),
    ServerKind(
        "gemini", "Gemini, compatible endpoint", "https://ai.google.dev/gemini-api/docs/openai",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        hosts=("generativelanguage.googleapis.com",), media=("image", "audio"),
        most_n=8, logprobs=False, thinking="google",
    ),
    ServerKind(
        "deepseek", "DeepSeek", "https://api-docs.deepseek.com/api/create-chat-completion",
        base_url="https://api.deepseek.com/v1", hosts=("api.deepseek.com",), media=(),
        most_n=1, schema="json_object", seed=None, thinking="deepseek",
        thoughts="`reasoning_content`", cached="prompt_cache_hit_tokens",
    ),
    ServerKind(
        "groq", "Groq", "https://console.groq.com/docs/api-reference",
        base_url="https://api.groq.com/openai/v1", hosts=("api.groq.com",), media=("image",),
        most_n=1, strict=True, logprobs=False, limit="max_completion_tokens", thinking="groq",
        thoughts="`reasoning`", batch_price=0.5,
    ),
    ServerKind(
        "mistral", "Mistral", "https://docs.mistral.ai/api/",
        base_url="https://api.mistral.ai/v1", hosts=("api.mistral.ai",), media=("image", "audio"),
        strict=True, logprobs=False, seed="random_seed", stream_usage=False, thinking="mistral",
        thoughts="parts of `content`", cached="", batch_price=0.5,
    ),
    ServerKind(
        "openrouter", "OpenRouter", "https://openrouter.ai/docs/api-reference/overview",
        base_url="https://openrouter.ai/api/v1", hosts=("openrouter.ai",),
        most_n=1, strict=True, thinking="openrouter", thoughts="`reasoning`", breakpoints=True,
    ),
    ServerKind(
        "vllm", "vLLM", "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        owner="vllm", media=("image", "audio"), thinking="vllm", grammar="structured_outputs",
        thoughts="`reasoning` or `reasoning_content`", adapters="loaded",
    ),
    ServerKind(
        "sglang", "SGLang", "https://docs.sglang.io/docs/advanced_features/lora",
        port=30000, owner="sglang", thinking="template", thoughts="`reasoning_content`",
        adapters="suffix",
    ),
    ServerKind(
        "llama.cpp", "llama.cpp",
        "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        server="llama.cpp", owner="llamacpp", media=("image", "audio"), most_n=1,
        thinking="llama.cpp", thoughts="`reasoning_content`",
    ),
    ServerKind(
        "ollama", "Ollama", "https://docs.ollama.com/api/openai-compatibility",
        hosts=("ollama.com",), port=11434, owner="library", media=("image",),
        most_n=1, thoughts="`reasoning`", cached="",
    ),
    ServerKind(
        "lmstudio", "LM Studio", "https://lmstudio.ai/docs/developer/openai-compat",
        port=1234, owner="organization_owner",
        most_n=1, logprobs=False, thoughts="`reasoning_content` or `reasoning`", cached="",
    ),
    ServerKind(
        "transformers", "`transformers serve`",
        "https://huggingface.co/docs/transformers/main/en/serve-cli/serving", media=("image",),
        most_n=1, schema="none", logprobs=False, stream_usage=False, tool_choice=False,
        thinking="switch", thoughts="`reasoning_content`", cached="",
    ),
)  # fmt: skip
KINDS: Mapping[str, ServerKind] = {kind.name: kind for kind in (*_TABLE, OTHER)}


def kind_at(url: str) -> ServerKind:
    """The kind of the server at a URL, by its host, or by the port on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        port = None
    for kind in _TABLE:
        if host in kind.hosts:
            return kind
        if port is not None and port == kind.port and host in _HERE:
            return kind
    return OTHER


_HERE = ("localhost", "127.0.0.1", "::1")


def recognised(headers: Mapping[str, str], models: Any) -> ServerKind | None:
    """The kind of a server by its headers and its list of models; None if neither tells."""
    server = str(headers.get("Server", "")).lower()
    for kind in _TABLE:
        if kind.server and re.match(re.escape(kind.server), server):
            return kind
    listed = models.get("data") if isinstance(models, Mapping) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    owner = first.get("owned_by") if isinstance(first, Mapping) else None
    return next((kind for kind in _TABLE if kind.owner and kind.owner == owner), None)
