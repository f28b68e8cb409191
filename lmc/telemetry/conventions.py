"""How lmc says things in the words of OpenTelemetry's conventions for generative AI.

Source: https://github.com/open-telemetry/semantic-conventions-genai, the names that were released
in opentelemetry-semantic-conventions 0.66. What has no name there begins with `lmc.`. The cost is
in `gen_ai.usage.cost`, which tools read although it is not in the conventions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lmc.models.base import EMBEDDED
from lmc.models.tool_calls import calls_text
from lmc.redaction import redact
from lmc.requests.usage import Usage

if TYPE_CHECKING:
    from lmc.models.base import Answer, Request
    from lmc.requests.bound import BoundModel
    from lmc.requests.spans import SpannedRegion

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]

OPERATION, PROVIDER, MODEL = "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"
ERROR, TOKEN_TYPE = "error.type", "gen_ai.token.type"
ADDRESS, PORT = "server.address", "server.port"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CACHED, COST = "lmc.cached", "gen_ai.usage.cost"
# Of OpenInference; most tools show them.
IN, OUT, KIND = "input.value", "output.value", "openinference.span.kind"
# The providers whose name in the conventions is not the beginning of lmc's names of models.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
_PORTS = {"http": 80, "https": 443}
# By the kind of a region: the operation, and the attribute that has its name.
_OPERATIONS = {
    "pipeline": ("invoke_workflow", "gen_ai.workflow.name"),
    "agent": ("invoke_agent", "gen_ai.agent.name"),
    "tool": ("execute_tool", "gen_ai.tool.name"),
    "find": ("retrieval", "gen_ai.data_source.id"),
}
_KNOWN_KINDS = ("agent", "tool", "find")  # that tools know by their operation
_SHOWN_DETAILS = ("winner", "chosen", "taken")  # numbers, which tell nothing of the contents


def provider_of(full_name: str) -> str:
    """The provider of a model, such as `mistral_ai` for `mistral/…`."""
    prefix = full_name.partition("/")[0]
    return _PROVIDERS.get(prefix, prefix)


def region_start(region: SpannedRegion) -> tuple[str, Attributes]:
    """The name of a region's span, and what is known when it begins."""
    attributes: Attributes = {"lmc.kind": region.kind, "lmc.name": region.name}
    attributes["lmc.place"] = region.id
    if region.kind not in _KNOWN_KINDS:
        attributes[KIND] = "EVALUATOR" if region.kind == "critique" else "CHAIN"
    if region.kind not in _OPERATIONS:
        return f"{region.kind} {region.name}", attributes
    operation, attribute = _OPERATIONS[region.kind]
    attributes |= {OPERATION: operation, attribute: region.name}
    if region.kind == "tool":
        attributes["gen_ai.tool.type"] = "function"
    return f"{operation} {region.name}", attributes


def region_end(region: SpannedRegion) -> Attributes:
    """What is known of a region when it has ended: numbers only."""
    found: Attributes = {}
    for name in _SHOWN_DETAILS:
        if isinstance(value := region.detail.get(name), int):
            found[f"lmc.{name}"] = value
    for name in ("keys", "drafts"):
        if isinstance(value := region.detail.get(name), list | tuple):
            found[f"lmc.{'samples' if name == 'keys' else name}"] = len(value)
    return found


def region_contents(region: SpannedRegion, *, ended: bool) -> Attributes:
    """The inputs and the result of a region."""
    found: Attributes = {IN: _json(region.inputs), "input.mime_type": "application/json"}
    if region.kind == "tool":
        found["gen_ai.tool.call.arguments"] = found[IN]
    if not ended:
        return found
    text = isinstance(region.result, str)
    found[OUT] = redact(region.result) if text else _json(region.result)
    found["output.mime_type"] = "text/plain" if text else "application/json"
    if region.kind == "tool":
        found["gen_ai.tool.call.result"] = found[OUT]
    return found


def request_start(bound: BoundModel, full_name: str, request: Request) -> tuple[str, Attributes]:
    """The name of a request's span, and what is known when it begins."""
    embeds = bool(request.messages) and request.messages[0]["role"] == EMBEDDED
    operation, sampling = "embeddings" if embeds else "chat", request.sampling
    told: dict[str, Any] = {
        OPERATION: operation,
        PROVIDER: provider_of(full_name),
        MODEL: request.model,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.request.stop_sequences": sampling.stop or None,
        "gen_ai.request.choice.count": request.n if request.n != 1 else None,
        "gen_ai.request.stream": True if request.on_text is not None else None,
        "lmc.adapter": request.adapter,
    }
    if not embeds:
        told["gen_ai.output.type"] = "text" if request.schema is None else "json"
    told |= _server(bound.backend.endpoint)
    return f"{operation} {request.model}", {k: v for k, v in told.items() if v is not None}


def _server(endpoint: str) -> dict[str, Any]:
    """Host and port of a backend that is asked over HTTP."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _PORTS or not parts.hostname:
        return {}
    return {ADDRESS: parts.hostname, PORT: parts.port or _PORTS[parts.scheme]}


def request_end(answers: Sequence[Answer]) -> tuple[Attributes, Usage]:
    """What is known of a request that has its answers, and what they cost now.

    An answer of the cache costs nothing, so its tokens do not count.
    """
    paid = Usage.of(answer for answer in answers if not answer.cached)
    told: Attributes = {"gen_ai.response.finish_reasons": [a.finish_reason for a in answers]}
    told |= {INPUT_TOKENS: paid.prompt_tokens, OUTPUT_TOKENS: paid.completion_tokens}
    details = {
        "gen_ai.usage.cache_read.input_tokens": paid.details.cached,
        "gen_ai.usage.cache_creation.input_tokens": paid.details.written,
        "gen_ai.usage.reasoning.output_tokens": paid.details.reasoning,
        COST: paid.cost_usd,
        "lmc.retries": paid.retries,
        CACHED: sum(answer.cached for answer in answers),
    }
    return told | {name: value for name, value in details.items() if value}, paid


def run_end(used: Usage) -> Attributes:
    """What a whole run used."""
    told: Attributes = {
        "lmc.run.requests": used.calls,
        "lmc.run.input_tokens": used.prompt_tokens,
        "lmc.run.output_tokens": used.completion_tokens,
    }
    more = {
        "lmc.run.cost_usd": used.cost_usd,
        "lmc.run.retries": used.retries,
        "lmc.run.cached": used.cached_calls,
    }
    return told | {name: value for name, value in more.items() if value}


def messages_sent(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages of a request, in the JSON of `gen_ai.input.messages`."""
    return _json([{"role": m["role"], "parts": list(_parts(m))} for m in messages])


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content") or ""
    if message["role"] == "tool":
        yield {
            "type": "tool_call_response",
            "id": message.get("tool_call_id"),
            "response": content,
        }
        return
    if content:
        yield {"type": "text", "content": content}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield _tool_call(call.get("id"), function.get("name", ""), function.get("arguments"))


def request_contents(request: Request) -> Attributes:
    """The messages of a request; of these the last text, for lists of spans."""
    last = redact(str(request.messages[-1].get("content") or "")) if request.messages else ""
    return {"gen_ai.input.messages": messages_sent(request.messages), IN: last}


def answer_contents(answers: Sequence[Answer]) -> Attributes:
    """The answers of a request; of these the first text, or the calls in its place."""
    first = answers[0]
    text = first.text or calls_text(first.tool_calls)
    return {"gen_ai.output.messages": messages_received(answers), OUT: redact(text)}


def messages_received(answers: Sequence[Answer]) -> str:
    """The answers, in the JSON of `gen_ai.output.messages`."""
    return _json([_received(answer) for answer in answers])


def _received(answer: Answer) -> dict[str, Any]:
    parts = [{"type": "reasoning", "content": answer.reasoning}] if answer.reasoning else []
    if answer.text or not answer.tool_calls:
        parts.append({"type": "text", "content": answer.text})
    parts += [_tool_call(call.id, call.name, call.arguments) for call in answer.tool_calls]
    return {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason}


def _tool_call(id: str | None, name: str, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": id, "name": name, "arguments": arguments}


def _json(value: Any) -> str:
    return redact(json.dumps(value, ensure_ascii=False, default=str))
