"""Chat completions of models that are served by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.media.content import Media, MediaProblem, mark_pattern
from lmc.media.given import Access, taken
from lmc.models.base import Answer, Request, Sampling
from lmc.requests.usage import Usage
from lmc.serve.engines import EngineModel, generate
from lmc.serve.openai_forms import ChatRequest, Completion, schema_asked
from lmc.tasks.loop import run_async

if TYPE_CHECKING:
    from lmc.serve.events import Say
    from lmc.serve.state import ServerState

_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}
_FINISH = {"length": "length", "content_filter": "content_filter"}
_ACCESS = Access(kept=False)


async def engine_completion(
    serving: ServerState, engine: EngineModel, asked: ChatRequest, completion: Completion
) -> dict[str, Any]:
    """A whole completion. Raises: LmcError."""
    request = await asyncio.to_thread(engine_request, engine, asked)
    answers = await serving.runner.ask(engine.name, partial(generate, engine, request))
    choices = [
        (answer.text, _FINISH.get(answer.finish_reason, "stop"), await _logprobs(engine, answer))
        for answer in answers
    ]
    return completion.whole(choices, Usage.of(answers))


def engine_chunks(
    serving: ServerState, engine: EngineModel, asked: ChatRequest, completion: Completion
) -> Callable[[Say], Awaitable[Usage]]:
    """What writes the chunks of a completion. Several choices come whole, at the end."""

    async def write(say: Say) -> Usage:
        request = await asyncio.to_thread(engine_request, engine, asked)
        loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | None]()

        def hear(text: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        ask = partial(generate, engine, request, hear if request.n == 1 else None)
        asking = asyncio.ensure_future(serving.runner.ask(engine.name, ask))
        asking.add_done_callback(lambda _: loop.call_soon(pieces.put_nowait, None))
        said = ""
        try:
            while (piece := await pieces.get()) is not None:
                said += piece
                await say(completion.chunk(0, {"content": piece}))
            answers = await asking
        finally:
            asking.cancel()
        for index, answer in enumerate(answers):
            if rest := answer.text.removeprefix(said):
                await say(completion.chunk(index, {"content": rest}))
            finish = _FINISH.get(answer.finish_reason, "stop")
            more = {"logprobs": found} if (found := await _logprobs(engine, answer)) else {}
            await say(completion.chunk(index, {}, finish, **more))
        return Usage.of(answers)

    return write


def engine_request(engine: EngineModel, asked: ChatRequest) -> Request:
    """The request to the backend. Raises: LmcError[bad-request, not-supported]."""
    can = engine.bound.backend.capabilities
    schema = schema_asked(asked)
    given = {**(asked.model_extra or {}), "top_logprobs": asked.top_logprobs}
    for name in ("tools", "functions", "top_logprobs", "logit_bias"):
        if given.get(name):
            raise _not_supported(engine, name)
    if can.embeds or (schema is not None and not can.json_schema):
        raise _not_supported(engine, "response_format" if schema else "messages")
    if asked.logprobs and not can.logprobs:
        raise _not_supported(engine, "logprobs")
    media: list[Media] = []
    messages = tuple(_message(message, media) for message in asked.messages)
    if any(one.kind not in can.media for one in media):
        raise _not_supported(engine, "files")
    stop = asked.stop or ()
    sampling = Sampling(
        asked.temperature, asked.top_p, asked.max_completion_tokens or asked.max_tokens,
        (stop,) if isinstance(stop, str) else tuple(stop), asked.seed,
    )  # fmt: skip
    return Request(
        "", messages, sampling, schema, n=asked.n or 1, logprobs=bool(asked.logprobs),
        media=tuple(media),
    )  # fmt: skip


def _message(message: dict[str, Any], media: list[Media]) -> dict[str, Any]:
    role = _ROLES.get(str(message.get("role")))
    if role is None:
        known = ", ".join(_ROLES)
        raise LmcError.of("bad-request", f"the `role` of a message must be one of {known}")
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise LmcError.of("bad-request", "the `content` of a message must be text or parts")
    return {"role": role, "content": "\n".join(_part(part, media) for part in parts)}


def _part(part: Any, media: list[Media]) -> str:
    """The text of a part, or the mark of its media."""
    match part:
        case {"type": "text", "text": str(text)}:
            return _disarmed(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            pass
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            url = f"data:;base64,{data}"
        case {"type": "file", "file": {"file_data": str(url)}}:
            pass
        case _:
            raise LmcError.of("bad-request", "a part of a message is of an unknown type")
    try:
        media.append(taken(url, "media", _ACCESS))
    except MediaProblem as problem:
        raise LmcError.of("bad-request", f"a part of a message {problem}") from None
    return media[-1].mark


def _disarmed(text: str) -> str:
    return mark_pattern().sub(lambda found: found.group().replace("<|", "< |"), text)


async def _logprobs(engine: EngineModel, answer: Answer) -> dict[str, Any] | None:
    """Log-probabilities in the form of the API, with the texts of tokens if they are known."""
    if answer.logprobs is None:
        return None
    texts = await _token_texts(engine, answer)
    return {"content": [_token(text, value) for text, value in zip(texts, answer.logprobs)]}


async def _token_texts(engine: EngineModel, answer: Answer) -> Sequence[str]:
    """The text of each token. If splitting the text gives another number, none is known."""
    assert answer.logprobs is not None
    count, split = len(answer.logprobs), getattr(engine.bound.backend, "token_texts", None)
    found: list[str] = await run_async(split(answer.text)) if split else []
    known = found if len(found) in (count, count - 1) else []  # the last one ends the answer
    return [*known, *[""] * (count - len(known))]


def _token(text: str, logprob: float) -> dict[str, Any]:
    shown = max(logprob, -1e9)  # minus infinity is no number of JSON
    return {"token": text, "logprob": shown, "bytes": list(text.encode()), "top_logprobs": []}


def _not_supported(engine: EngineModel, what: str) -> LmcError:
    message = f"`{engine.name}` has no `{what}`"
    return LmcError.of("not-supported", message, help=f"leave `{what}` out")
