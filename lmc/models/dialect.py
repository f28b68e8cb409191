"""The part of the protocol that an endpoint accepts, learnt from its refusals.

lmc adapts to each refusal once and remembers it for the process, by endpoint and model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.models.base import Message, Request, continued
from lmc.models.http_failures import error_message, refused_parameter, refused_roles
from lmc.models.media_parts import with_parts
from lmc.models.passed_on import merged
from lmc.models.prompt_caches import Beginnings, digest, shared_turns
from lmc.models.server_kinds import OTHER, ServerKind
from lmc.models.strict_schemas import strict_schema
from lmc.models.thinking_budgets import PARAMETERS, thinking
from lmc.models.tool_calls import (
    has_tool_turns,
    refuses_choice,
    refuses_tools,
    wire_message,
    without_tool_turns,
)
from lmc.redaction import logger

_log = logger(__name__)

# Parameters that are left out once the server refuses them. Other refusals are errors.
_OPTIONAL = (
    *("temperature", "top_p", "seed", "random_seed", "stop", "logprobs", "response_format", "n"),
    *("stream", "stream_options", "tool_choice", "prompt_cache_key"),
    *PARAMETERS,
)
_GRAMMAR = re.compile(r"grammar|structured.?output|\blark\b|ebnf", re.IGNORECASE)
_REFUSED_GRAMMARS = 8  # after which none is sent any more
MOST_SAMPLES = 1024  # of one request, where nothing says less
# Newer models of OpenAI need the second name; other servers know only the first.
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_MARKED = re.compile("claude|gemini", re.IGNORECASE)  # models whose caches want a mark

_dialects: dict[tuple[str, str], Dialect] = {}


class Dialect:
    """The parameters and message roles that one model at one endpoint does not accept."""

    def __init__(self, endpoint: str, kind: ServerKind = OTHER) -> None:
        self.endpoint, self.kind, self.limit_name = endpoint, kind, kind.limit
        self.refused: set[str] = set(kind.unsent)
        self.roles: set[str] = set()
        self._refused_grammars: set[str] = set()
        self._beginnings = Beginnings()
        self.most_n = kind.most_n or MOST_SAMPLES  # samples of one request

    @property
    def strict(self) -> bool:
        """Whether a schema can ask to be kept to by the letter."""
        return "strict" not in self.refused

    def payload(self, request: Request) -> dict[str, Any]:
        """The body of a request, without the parts that the endpoint does not accept."""
        sampling, refused = request.sampling, self.refused
        messages = self._messages(request)
        wish: Any = sampling.cache_prompt
        if wish and self.kind.breakpoints and _MARKED.search(request.model):
            messages = self._beginnings.marked(messages, wish)
        payload: dict[str, Any] = {
            "model": self._model(request),
            "messages": messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.limit_name: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            self.kind.seed or "seed": (
                None if sampling.seed is None else sampling.seed + request.index
            ),
            "logprobs": request.logprobs or None,
            "response_format": self._response_format(request),
            self.kind.grammar or "grammar": self._grammar(request),
            "n": request.n if request.n > 1 else None,
            "tools": request.tools or None,
            "tool_choice": "required" if request.tools else None,
        }
        if continued(request.messages):  # as vLLM and SGLang name it
            payload |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.on_text is not None and request.n == 1:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        if wish and self.kind.cache_key:
            shared = messages[: shared_turns(messages, wish)]
            payload["prompt_cache_key"] = digest(shared) if shared else None
        wanted = sampling.reasoning
        if wanted is not None:
            most = sampling.max_tokens
            payload |= thinking(self.kind.thinking, wanted, request.model, most)
        sent = {k: v for k, v in payload.items() if v is not None and k not in refused}
        return merged(sent, sampling.extra, refused) if sampling.extra else sent

    def _model(self, request: Request) -> str:
        """The name of the model or adapter, as the server knows it."""
        if request.adapter is None:
            return request.model
        if self.kind.adapters == "suffix":
            return f"{request.model}:{request.adapter}"
        return request.adapter

    def _response_format(self, request: Request) -> dict[str, Any] | None:
        """The bound on answers, as strong as the server has one."""
        schema = request.schema
        if schema is None or self.kind.schema == "none":
            return None
        if self.kind.schema == "json_object":
            return {"type": "json_object"} if _says_json(request.messages) else None
        asked = request.sampling.strict
        wants = self.kind.strict if asked is None else asked
        strict = strict_schema(schema) if wants and self.strict else None
        return response_format(schema if strict is None else strict, strict=strict is not None)

    def _grammar(self, request: Request) -> dict[str, Any] | None:
        """The grammar of answers, where no schema binds them: a server takes one of the two."""
        grammar = request.grammar
        if grammar is None or not self.kind.grammar or grammar in self._refused_grammars:
            return None
        if request.tools or continued(request.messages):
            return None  # the grammar is of a whole answer
        schema = self._response_format(request)
        return {"grammar": grammar} if schema is None or "response_format" in self.refused else None

    def gives_at_most(self, samples: int) -> None:
        """Learn that one request gives no more samples."""
        self.most_n = max(1, min(self.most_n, samples))

    def adapt(self, payload: Mapping[str, Any], error_text: str) -> bool:
        """Learn from a refusal. False if the next request would be the same."""
        refused = refused_parameter(error_text, payload)
        grammar = payload.get(self.kind.grammar) if self.kind.grammar else None
        if grammar is not None and _GRAMMAR.search(error_message(error_text)):
            return self._refuse_grammar(grammar["grammar"])
        if "tool_choice" in payload and refuses_choice(400, error_message(error_text)):
            refused = "tool_choice"
        if refused in _OTHER_LIMIT:
            return self._rename_limit(refused, error_text)
        if refused == "n":
            self.gives_at_most(_told_most(error_text, payload["n"]))
            _log.warning("%s takes `n` up to %d", self.endpoint, self.most_n)
            return True
        if refused == "response_format" and _is_strict(payload[refused]) and self.strict:
            self.refused.add("strict")  # the schema may do without the promise
            return True
        if refused is None or refused not in _OPTIONAL:
            return self._adapt_roles(payload, error_text)
        if refused not in self.refused:
            _log.warning("%s refuses `%s`; it is no longer sent", self.endpoint, refused)
        self.refused |= {refused, "stream_options"} if refused == "stream" else {refused}
        return True

    def _refuse_grammar(self, grammar: str) -> bool:
        """Learn that a grammar is not taken; after a few, none is sent."""
        if not self._refused_grammars:
            _log.warning("%s refuses a grammar; such answers are validated only", self.endpoint)
        self._refused_grammars.add(grammar)
        if len(self._refused_grammars) >= _REFUSED_GRAMMARS:
            self.refused.add(self.kind.grammar)
        return True

    def may_offer(self, payload: Mapping[str, Any], status: int, error_text: str) -> bool:
        """Whether the endpoint may still take tools after an error, as far as its text tells."""
        text = error_message(error_text)
        if "tool_choice" in payload and refuses_choice(status, text):
            return True  # tried again without the demand
        if "tools" not in payload or not refuses_tools(status, text):
            return True
        _log.warning("%s takes no `tools`; they are described in the prompt", self.endpoint)
        self.refused.add("tools")
        return False

    def _rename_limit(self, refused: str, error_text: str) -> bool:
        if refused != self.limit_name:  # another request learnt it in the meantime
            return True
        if refused in self.refused:
            return False
        self.refused.add(refused)
        self.limit_name = _OTHER_LIMIT[refused]
        return self.limit_name not in self.refused

    def _adapt_roles(self, payload: Mapping[str, Any], error_text: str) -> bool:
        messages = payload["messages"]
        found = refused_roles(error_text, tools=has_tool_turns(messages))
        if found == "tool":
            _log.warning("%s takes no calls of tools in a conversation", self.endpoint)
            self.roles.add(found)
            return True
        if found is None or self._folded(messages, found) == list(messages):
            return False
        if found not in self.roles:
            _log.warning("%s accepts no %s messages; they are joined", self.endpoint, found)
        self.roles.add(found)
        return True

    def _messages(self, request: Request) -> Sequence[Mapping[str, Any]]:
        folded: Sequence[Message] = request.messages
        if "tool" in self.roles or "tools" in self.refused:
            folded = without_tool_turns(folded)
        for kind in sorted(self.roles - {"tool"}, reverse=True):  # "system" first
            folded = self._folded(folded, kind)
        messages = with_parts(folded, request.media)
        return [wire_message(m) for m in messages] if has_tool_turns(messages) else messages

    @staticmethod
    def _folded(messages: Sequence[Message], kind: str) -> list[Message]:
        """The messages with system turns as user turns, and neighbours of one role joined."""
        folded: list[Message] = []
        for message in messages:
            role = message["role"]
            if kind == "system" and role == "system":
                role = "user"
            if len(message) > 2 or (folded and len(folded[-1]) > 2):  # calls of tools
                folded.append({**message, "role": role})
            elif folded and folded[-1]["role"] == role:
                text = f"{folded[-1]['content']}\n\n{message['content']}"
                folded[-1] = {"role": role, "content": text}
            else:
                folded.append({"role": role, "content": message["content"]})
        return folded


def dialect_of(endpoint: str, model: str, kind: ServerKind) -> Dialect:
    """The dialect of a model at an endpoint, as learnt so far."""
    dialect = _dialects.get((endpoint, model))
    if dialect is None or dialect.kind is not kind:
        dialect = _dialects[endpoint, model] = Dialect(endpoint, kind)
    return dialect


def forget_dialects() -> None:
    """Forget all dialects, for example after a server was replaced."""
    _dialects.clear()


def response_format(
    schema: Mapping[str, Any] | None, *, strict: bool = False
) -> dict[str, Any] | None:
    """The `response_format` that asks a server to enforce a JSON Schema."""
    if schema is None:
        return None
    told: dict[str, Any] = {"name": "result", "schema": schema}
    return {"type": "json_schema", "json_schema": told | ({"strict": True} if strict else {})}


def _is_strict(given: Any) -> bool:
    return bool(given.get("json_schema", {}).get("strict"))


def _says_json(messages: Sequence[Message]) -> bool:
    """Whether a prompt speaks of JSON, without which servers refuse to bind an answer to it."""
    return any("json" in message["content"].lower() for message in messages)


def _told_most(error_text: str, asked: int) -> int:
    """The most samples of one request that a refusal names, else 1."""
    found = re.search(
        r"(?:<=|at most|less than or equal to|up to|maximum(?: of| is)?|must be between \d+ and)"
        r" *(\d{1,3})\b",
        error_message(error_text),
        re.IGNORECASE,
    )
    most = int(found[1]) if found else 1
    return most if 0 < most < asked else 1
