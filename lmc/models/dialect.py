"""The part of the protocol that an endpoint accepts, learnt from its refusals.

lmc adapts to each refusal once and remembers it for the process, by endpoint and model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.models.base import Message, Request, continued
from lmc.models.http_failures import error_message, refused_parameter, refused_roles
from lmc.models.media_parts import with_parts
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
    *("temperature", "top_p", "seed", "stop", "logprobs", "response_format", "n"),
    *("stream", "stream_options", "tool_choice"),
)
# Newer models of OpenAI need the second name; other servers know only the first.
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_dialects: dict[tuple[str, str], Dialect] = {}


class Dialect:
    """The parameters and message roles that one model at one endpoint does not accept."""

    def __init__(self, endpoint: str, limit_name: str) -> None:
        self.endpoint, self.limit_name = endpoint, limit_name
        self.refused: set[str] = set()
        self.roles: set[str] = set()

    def payload(self, request: Request) -> dict[str, Any]:
        """The body of a request, without the parts that the endpoint does not accept."""
        sampling, refused = request.sampling, self.refused
        payload: dict[str, Any] = {
            "model": request.adapter or request.model,
            "messages": self._messages(request),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.limit_name: sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": None if sampling.seed is None else sampling.seed + request.index,
            "logprobs": request.logprobs or None,
            "response_format": response_format(request.schema),
            "n": request.n if request.n > 1 else None,
            "tools": request.tools or None,
            "tool_choice": "required" if request.tools else None,
        }
        if continued(request.messages):  # as vLLM and SGLang name it
            payload |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.on_text is not None and request.n == 1:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        return {k: v for k, v in payload.items() if v is not None and k not in refused}

    def adapt(self, payload: Mapping[str, Any], error_text: str) -> bool:
        """Learn from a refusal. False if the next request would be the same."""
        refused = refused_parameter(error_text, payload)
        if "tool_choice" in payload and refuses_choice(400, error_message(error_text)):
            refused = "tool_choice"
        if refused in _OTHER_LIMIT:
            return self._rename_limit(refused, error_text)
        if refused is None or refused not in _OPTIONAL:
            return self._adapt_roles(payload, error_text)
        if refused not in self.refused:
            _log.warning("%s refuses `%s`; it is no longer sent", self.endpoint, refused)
        self.refused |= {refused, "stream_options"} if refused == "stream" else {refused}
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


def dialect_of(endpoint: str, model: str, *, official: bool) -> Dialect:
    """The dialect of a model at an endpoint, as learnt so far."""
    dialect = _dialects.get((endpoint, model))
    if dialect is None:
        limit_name = "max_completion_tokens" if official else "max_tokens"
        dialect = _dialects[endpoint, model] = Dialect(endpoint, limit_name)
    return dialect


def forget_dialects() -> None:
    """Forget all dialects, for example after a server was replaced."""
    _dialects.clear()


def response_format(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `response_format` that asks a server to enforce a JSON Schema."""
    if schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "result", "schema": schema}}
