"""The forms of OpenAI's API: what requests hold, and how answers are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.requests.usage import Usage
from lmc.serve.problems import json_bytes, wrong_values

F = TypeVar("F", bound=BaseModel)
MOST_CHOICES = 64
MOST_SCHEMA = 100_000  # characters of a schema that a client sends
_SHOWN = 5  # problems
# What would change the answer of a model, and does not that of a program.
_NOT_OF_PROGRAMS = ("tools", "functions", "logprobs", "top_logprobs", "logit_bias", "audio")


class ChatRequest(BaseModel):
    """A request for a chat completion. Fields that are not here have no effect."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None


class EmbeddingRequest(BaseModel):
    """A request for vectors."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    input: str | list[str]
    encoding_format: str | None = "float"


@frozen
class Completion:
    """How one completion, or its chunks, are written."""

    id: str
    model: str
    created: int

    def whole(
        self, choices: Sequence[tuple[str, str, dict[str, Any] | None]], usage: Usage
    ) -> dict[str, Any]:
        """The completion. Each choice has a text, a finish reason, and log-probabilities."""
        made = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "finish_reason": finish,
                "logprobs": logprobs,
            }
            for index, (text, finish, logprobs) in enumerate(choices)
        ]
        return {**self._head("chat.completion"), "choices": made, "usage": _usage(usage)}

    def chunk(
        self, index: int, delta: dict[str, Any], finish: str | None = None, **more: Any
    ) -> bytes:
        """An event with a piece of a choice."""
        choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
        return _data({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event with the usage, at the end."""
        head = self._head("chat.completion.chunk")
        return _data({**head, "choices": [], "usage": _usage(usage)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def read_form(form: type[F], body: dict[str, Any]) -> F:
    """A request by its form. Raises: LmcError[bad-request]."""
    try:
        return form.model_validate(body)
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_input=False, include_context=False)
        told = (f"`{'.'.join(map(str, e['loc']))[:80]}`: {e['msg']}" for e in found[:_SHOWN])
        raise wrong_values(told) from None


def require_known_settings(asked: ChatRequest, model: str) -> None:
    """Refuse what a program cannot do, rather than to leave it out. Raises: LmcError."""
    given = {**asked.model_dump(exclude_none=True)}
    wrong = [name for name in _NOT_OF_PROGRAMS if given.get(name)]
    if wrong:
        message = f"`{model}` is a program, which has no `{wrong[0]}`"
        raise LmcError.of("not-supported", message, help=f"leave `{wrong[0]}` out")


def schema_asked(asked: ChatRequest) -> dict[str, Any] | None:
    """The JSON Schema that the answer should have. Raises: LmcError[bad-request]."""
    given = asked.response_format or {"type": "text"}
    match given:
        case {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return {"type": "object"}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            if len(json_bytes(schema)) > MOST_SCHEMA:
                message = f"a schema has at most {MOST_SCHEMA:,} characters"
                raise LmcError.of("bad-request", message)
            return schema
    message = "`response_format` must be of the type text, json_object, or json_schema"
    raise LmcError.of("bad-request", message)


def message_text(message: dict[str, Any]) -> str:
    """The text of a message, which may be in parts. Raises: LmcError[bad-request]."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise LmcError.of("bad-request", "the content of a message must be text, or parts of text")
    return "\n".join(map(str, texts))


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.tokens,
    }


def _data(value: Any) -> bytes:
    return b"data: %s\n\n" % json_bytes(value)
