"""The border: everything that a server or an engine sends is checked here first.

`read_completion` reads a reply whose JSON has the types of the protocol. `judge` decides whether an
answer is complete, valid text with plausible figures. The answers of every backend pass `judge`
before a cache, a journal or a program sees them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lmc.models.base import (
    EMBEDDED,
    NO_DETAILS,
    Answer,
    ModelFailure,
    Request,
    TokenDetails,
    cut_at_stop,
)
from lmc.models.media_parts import media_tokens
from lmc.models.tool_calls import calls_text, message_data, read_calls, sound_calls

MOST_TOKENS = 10_000_000  # per request; a larger count is a mistake of the server
_MOST_DOLLARS = 10_000.0
_BYTES_PER_TOKEN = 3  # a low value, so that estimates are rather too high
_MESSAGE_TOKENS = 8  # tokens that a chat template adds around a message
_UNSOUND = re.compile("[\x00\ud800-\udfff]")
_HALF_PAIR = re.compile("[\ud800-\udbff]\\Z")

_TEXT_PARTS = ("text", "output_text")

Outcome = Answer | ModelFailure  # of one sample

# Finish reasons, in the words of the providers.
_CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "max_length", "token_limit")
_FILTERED = (
    *("content_filter", "content_filtered", "safety", "recitation", "blocklist", "spii"),
    *("prohibited_content", "sensitive", "guardrail_intervened", "image_safety"),
)
_TOOLS = ("tool_calls", "tool_call", "tool_use", "function_call", "malformed_function_call")
_BROKEN = (
    *("error", "abort", "aborted", "cancelled", "canceled", "network_error", "timeout"),
    "insufficient_system_resource",
)
_KIND = {
    **dict.fromkeys(_CUT, "length"),
    **dict.fromkeys(_FILTERED, "content_filter"),
    **dict.fromkeys(_TOOLS, "tool_calls"),
    **dict.fromkeys(_BROKEN, "server"),
    "refusal": "refusal",
}
_WORDS = {
    "length": "the answer was cut after {tokens} tokens",
    "content_filter": "a filter of the provider held the answer back",
    "tool_calls": "it calls a tool instead of answering, but no tool was offered",
    "refusal": "it refuses to answer",
    "server": "it broke off in the middle of its answer",
    "empty": "the answer is empty",
}
_HINTS = {
    "length": "raise `max_tokens`, or ask for less",
    "content_filter": "change the prompt, or name another model in `fallback:`",
    "refusal": "change the prompt, or name another model in `fallback:`",
}


_LOOP_HINT = "bound its texts, as in `str(..80)`, or raise the `temperature`"
_LEAST_LOOP, _LEAST_TURNS, _LONGEST_TURN = 160, 4, 400  # characters, times, characters


class WrongReply(ValueError):
    """A reply that does not have the types of the protocol. The message says what is wrong."""


# --- reading a reply ---


def read_completion(body: Any, request: Request, latency_ms: float = 0.0) -> list[Answer]:
    """The answers in the body of a chat completion, before `judge`. Raises: WrongReply.

    Missing or implausible token counts become 0. The caller replaces them by estimates.
    """
    choices = _typed(_typed(body, dict, "the reply").get("choices"), list, "`choices`")
    if not choices:
        raise WrongReply("`choices` is empty")
    kept = sorted((_typed(c, dict, "a choice") for c in choices), key=_index)[: request.n]
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt_tokens, completion, details = read_usage(usage)
    share, rest = divmod(completion, len(kept))
    answers = [
        _answer(choice, request, prompt_tokens if i == 0 else 0, share + (i < rest), latency_ms)
        for i, choice in enumerate(kept)
    ]
    if details is not NO_DETAILS:
        answers[0] = replace(answers[0], details=details)
    return answers


def read_usage(usage: Mapping[str, Any]) -> tuple[int, int, TokenDetails]:
    """Prompt tokens, completion tokens and their details, in the words of several servers.

    Gemini counts thoughts in the total only. They are billed as output, so they count there.
    """
    prompt, completion = (token_count(usage.get(f"{n}_tokens")) for n in ("prompt", "completion"))
    inputs, outputs = (
        found if isinstance(found := usage.get(f"{name}_tokens_details"), dict) else {}
        for name in ("prompt", "completion")
    )
    hidden = token_count(usage.get("total_tokens")) - prompt - completion
    reasoning = _first_count(outputs.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    if hidden > 0 and prompt and completion:
        completion, reasoning = completion + hidden, max(reasoning, hidden)
    details = TokenDetails(
        cached=_first_count(
            inputs.get("cached_tokens"),
            usage.get("cache_read_input_tokens"),  # Anthropic
            usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        ),
        written=_first_count(
            inputs.get("cache_creation_tokens"),
            inputs.get("cache_write_tokens"),
            usage.get("cache_creation_input_tokens"),
        ),
        audio=token_count(inputs.get("audio_tokens")),
        reasoning=reasoning,
        spoken=token_count(outputs.get("audio_tokens")),
    )
    return prompt, completion, bounded_details(details, prompt, completion)


def _first_count(*found: Any) -> int:
    return next((count for value in found if (count := token_count(value))), 0)


def bounded_details(details: Any, prompt: int, completion: int) -> TokenDetails:
    """Details that are counts, and no more than the tokens that they are part of."""
    if details is NO_DETAILS or not isinstance(details, TokenDetails):
        return NO_DETAILS
    cached = min(token_count(details.cached), prompt)
    written = min(token_count(details.written), prompt - cached)
    audio = min(token_count(details.audio), prompt - cached - written)
    reasoning = min(token_count(details.reasoning), completion)
    spoken = min(token_count(details.spoken), completion)
    found = TokenDetails(cached, written, audio, reasoning, spoken)
    return NO_DETAILS if found == NO_DETAILS else found


def error_in(body: Any) -> Any:
    """The contents of an error that was sent with a success status; None without an error.

    A router may send an error beside the part of an answer that it has, or inside a choice.
    """
    body = unlisted(body)
    if not isinstance(body, dict):
        return None
    if _says_error(body.get("error")):
        return body["error"]
    if "error" in (body.get("object"), body.get("type")):
        return body
    choices = body.get("choices")
    found = (c.get("error") for c in choices if isinstance(c, dict)) if choices else ()
    return next(filter(_says_error, found), None) if isinstance(choices, list) else None


def unlisted(body: Any) -> Any:
    """The only item of a list, else the value itself. Gemini puts an error into a list."""
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def _says_error(found: Any) -> bool:
    """Whether the contents of an `error` say anything; `{"code": 0, "message": ""}` does not."""
    return any(found.values()) if isinstance(found, dict) else bool(found)


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _answer(
    choice: Mapping[str, Any],
    request: Request,
    prompt_tokens: int,
    completion_tokens: int,
    latency_ms: float,
) -> Answer:
    message = _typed(choice.get("message"), dict, "`message`")
    finish = _optional(choice.get("finish_reason"), str, "`finish_reason`") or "stop"
    refusal = _optional(message.get("refusal"), str, "`refusal`")
    text = content_text(message.get("content"))
    calls = read_calls(message) if request.tools and not refusal else ()
    if refusal:
        text, finish = text or refusal, "refusal"
    elif not text and not calls and message.get("tool_calls") and finish not in _CUT:
        finish = "tool_calls"
    logprobs = _logprobs(choice.get("logprobs")) if request.logprobs else None
    text = cut_at_stop(text, request.sampling.stop)
    return Answer(
        text, prompt_tokens, completion_tokens, 0.0, finish, logprobs, latency_ms,
        tool_calls=calls, reasoning=reasoning_in(message),
    )  # fmt: skip


def reasoning_in(message: Mapping[str, Any]) -> str:
    """The thoughts beside the text: `reasoning_content`, `reasoning`, or parts of the content."""
    found = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(found, str):
        return found
    parts = message.get("content")
    return "".join(map(_thought, parts)) if isinstance(parts, list) else ""


def _thought(part: Any) -> str:
    """The thought in a part, which may be a text, or parts of its own."""
    found = part.get("thinking") if isinstance(part, dict) else None
    if isinstance(found, str):
        return found
    inner = found if isinstance(found, list) else ()
    texts = (p.get("text") for p in inner if isinstance(p, dict))
    return "".join(text for text in texts if isinstance(text, str))


def content_text(content: Any) -> str:
    """The text of a message's content: a text, a list of parts, or nothing. Raises: WrongReply."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = [
        _typed(part, dict, "a part of `content`") for part in _typed(content, list, "`content`")
    ]
    texts = (
        part.get("text") for part in parts if part.get("type", "text") in ("text", "output_text")
    )
    return "".join(_typed(text, str, "the text of a part") for text in texts)


def _logprobs(found: Any) -> tuple[float, ...] | None:
    found = _optional(found, dict, "`logprobs`")
    tokens = _optional(found.get("content"), list, "`logprobs.content`") if found else None
    if not tokens:
        return None
    values = [_typed(token, dict, "a token").get("logprob") for token in tokens]
    for value in values:
        if not is_number(value):
            raise WrongReply(f"a log-probability is {_shown(value)}")
    return tuple(map(float, values))


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise WrongReply(f"{name} is {_shown(value)}, not {_NAMES[kind]}")
    return value


def _optional(value: Any, kind: type, name: str) -> Any:
    return None if value is None else _typed(value, kind, name)


_NAMES: dict[Any, str] = {dict: "an object", list: "a list", str: "a text"}


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return _NAMES[type(value)]
    try:
        return json.dumps(value)[:40]
    except (TypeError, ValueError):
        return type(value).__name__


# --- judging an answer ---


def judge(answer: Answer, name: str) -> Outcome:
    """The answer if it is complete, else the failure. `name` is the model's name."""
    finish = answer.finish_reason
    if finish == "stop" and answer.text and not answer.text.isspace():
        return answer
    kind = _KIND.get(finish.lower())
    if answer.tool_calls and kind in (None, "tool_calls"):
        return answer
    if kind is None and answer.text.strip():
        return answer
    kind = kind or "empty"
    words = _WORDS[kind].format(tokens=f"{answer.completion_tokens:,}")
    said = f", and says {answer.text[:200]!r}" if kind == "refusal" and answer.text else ""
    looped = kind == "length" and loops(answer.text)
    if looped:
        words = f"it repeats itself, and {words}"
    message = f"`{name}` gave no complete answer: {words}{said}"
    hint = _LOOP_HINT if looped else _HINTS.get(kind, "")
    failure = ModelFailure(kind, message, retryable=True, hint=hint, paid=(answer,))
    failure.looped = looped
    return failure


def loops(text: str) -> bool:
    """Whether a text ends with the same words over and over, as small models write them."""
    for period in range(1, len(text) // _LEAST_TURNS + 1):
        tail = text[-max(_LEAST_TURNS * period, _LEAST_LOOP) :]
        if len(tail) >= _LEAST_LOOP and tail[period:] == tail[:-period]:
            return True
        if period >= _LONGEST_TURN:
            break
    return False


def kept(answer: Answer) -> Answer | None:
    """A stored answer, if it is complete. Earlier versions stored all answers."""
    answer = sound(answer)
    return answer if isinstance(judge(answer, ""), Answer) else None


def sound(answer: Answer) -> Answer:
    """The answer with valid text and figures. A valid answer is returned as it is."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    if type(answer.text) is not str or type(answer.finish_reason) is not str:
        answer = replace(answer, text="", finish_reason="error")
    if answer.tool_calls:
        answer = replace(answer, tool_calls=sound_calls(answer.tool_calls, sound_text))
    if (
        answer.text.isascii()
        and "\0" not in answer.text
        and type(prompt) is type(completion) is int
        and 0 <= prompt <= MOST_TOKENS
        and 0 <= completion <= MOST_TOKENS
        and answer.cost_usd == 0.0
        and answer.details is NO_DETAILS
        and not answer.reasoning
    ):
        return answer
    prompt, completion = token_count(prompt), token_count(completion)
    return replace(
        answer,
        text=sound_text(answer.text),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=dollars(answer.cost_usd),
        reasoning=sound_text(answer.reasoning) if type(answer.reasoning) is str else "",
        details=bounded_details(answer.details, MOST_TOKENS, MOST_TOKENS),
    )


def sound_text(text: str) -> str:
    """The text with surrogate pairs joined. NUL and what cannot be encoded become U+FFFD."""
    if not _UNSOUND.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\0", "\ufffd")


def split_pair(text: str) -> tuple[str, str]:
    """Split off the first half of a surrogate pair at the end of a text."""
    half = _HALF_PAIR.search(text)
    return (text[:-1], text[-1:]) if half else (text, "")


# --- figures ---


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return type(value) in (int, float) and math.isfinite(value)


def token_count(value: Any) -> int:
    """A count of tokens; 0 if the value cannot be one."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else 0


def dollars(value: Any) -> float:
    """A cost in US dollars; 0 if the value cannot be one."""
    return float(value) if is_number(value) and 0 <= value <= _MOST_DOLLARS else 0.0


def estimated_tokens(text: str) -> int:
    """A high estimate of a text's tokens: a third of its bytes, or the number of its words."""
    return max(len(text.split()), -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN))


def prompt_estimate(request: Request) -> int:
    """An estimate of the tokens in the prompt of a request."""
    texts = (m["content"] + message_data(m) for m in request.messages)
    told = sum(estimated_tokens(text) + _MESSAGE_TOKENS for text in texts)
    offered = estimated_tokens(json.dumps(request.tools)) if request.tools else 0
    return told + offered + media_tokens(request.media)


def with_estimates(answers: Sequence[Answer], request: Request) -> tuple[list[Answer], bool]:
    """The answers with missing token counts estimated, and whether any were missing."""
    told = [*answers]
    if request.messages and request.messages[0]["role"] == EMBEDDED:
        return told, False
    if told and not any(answer.prompt_tokens for answer in told):
        told[0] = replace(told[0], prompt_tokens=prompt_estimate(request))
    for place, answer in enumerate(told):
        said = answer.text + calls_text(answer.tool_calls)
        if not answer.completion_tokens and said:
            told[place] = replace(answer, completion_tokens=estimated_tokens(said))
    return told, any(new is not old for new, old in zip(told, answers))
