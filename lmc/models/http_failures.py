"""Classify error responses of model servers into the kinds that callers act on."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from lmc.models.base import ModelFailure
from lmc.models.border import unlisted
from lmc.redaction import redact

CONTEXT_EXCEEDED = re.compile(
    r"context[_ ](length|window|size)|maximum (context|prompt|input)|too (long|many tokens)"
    r"|max_model_len|maximum number of tokens|exceed\w* the (available )?context|prompt is too",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"unsupported|not (\w+ )?support|n't support|not available|unavailable|not enabled|disabled"
    r"|not implemented|unrecognized|not permitted|extra (inputs|fields)|extra_forbidden"
    r"|not allowed|unexpected|deprecated|does not accept|not compatible|incompatible|cannot be used"
    r"|only .*default|only \S+ (is|are) (allowed|supported|accepted)"
    r"|cannot both be|unknown (parameter|argument|field|name|keyword)|no longer",
    re.IGNORECASE,
)
# Where the message of an error is, from the outside in.
_MESSAGES = (
    *("error", "errors", "base_resp", "choices", "error"),
    *("message", "detail", "error_msg", "status_msg"),
)
_NO_KEY = "no key was sent: a program that names an address must also name the key, `api_key_env`"
# Parameters that lmc adds itself. It drops one after any complaint of the server about it.
_OWN = ("response_format", "stream_options", "logprobs", "n")
# Other names that servers use for a parameter.
_WORDS = {
    "response_format": r"response[_ ]?format|json[_ ]schema|structured[_ ]outputs?|guided[_ ]\w+",
    "stream_options": r"stream_options|include_usage",
    "max_tokens": r"max_tokens(?!\w)",
    "stop": r"stop([_ ]sequences?)?",
    "logprobs": r"log[_ ]?prob(abilitie)?s",
    "n": r"['\"`]n['\"`]|\bn ?[>=!]|\bn (must|should|does|is|can)|multiple (choices|completions)"
    r"|multiple candidates|number of (choices|completions|candidates)"
    r"|only one (completion|choice|candidate)|best_of|supplied: n\b",
}
_SYSTEM = re.compile(
    r"\b(system|developer)\b['\"`]? ?(role|message|prompt|instruction)|\brole\b.{0,80}\bsystem\b"
    r"|\bonly user and assistant\b|\bvalid role: user\b",
    re.IGNORECASE | re.DOTALL,
)
_NOT_TAKEN = re.compile(
    _REFUSAL.pattern + r"|invalid|not valid|valid role|\bonly\b|must be", re.IGNORECASE
)
_TOOL_TURN = re.compile(
    r"\brole\b.{0,80}\btool\b|\btool\b['\"`]? ?(role|message|result)|\btool_call(s|_id)?\b"
    r"|alternat\w+ (between )?user|roles? must alternate|only user and assistant",
    re.IGNORECASE | re.DOTALL,
)
_ALTERNATE = re.compile(r"roles? must alternate|alternat\w+ (between )?user|consecutive", re.I)
_FILTER = re.compile(
    r"content[_ ](filter|management policy)|ResponsibleAIPolicy|safety system|moderation",
    re.IGNORECASE,
)
_OTHER_PROMPT = "change the prompt, or name another model in `fallback:`"
_QUOTA = re.compile(r"insufficient_quota|billing|credit balance", re.IGNORECASE)


def failure_from_response(
    endpoint: str, status: int, headers: Mapping[str, str], body: str, key_env: str | None
) -> ModelFailure:
    """The failure that a response with an error status means."""
    kind, retryable, hint = _sort(status, body, key_env)
    message = f"{endpoint} answered {status}: {error_message(body)}"
    if 300 <= status < 400:
        message = f"{endpoint} answered {status}: a redirect, which lmc does not follow"
    wait_s = retry_after_s(headers) if retryable else None
    if wait_s is None and kind == "rate_limit" and retryable:
        wait_s = limit_wait_s(headers) or _asked_in_words(body)
    return ModelFailure(kind, message, retryable=retryable, hint=hint, retry_after_s=wait_s)


def failure_in_answer(endpoint: str, found: Any, key_env: str | None) -> ModelFailure:
    """The failure that an error with a success status means."""
    body = json.dumps({"error": found}, default=str)
    code = found.get("code", found.get("status")) if isinstance(found, dict) else None
    status = int(str(code)) if re.fullmatch(r"\d{3}", str(code)) else 0
    if not 400 <= status < 600:
        busy = re.search("rate.?limit", body, re.IGNORECASE) or _QUOTA.search(body)
        status = 429 if busy else 500
    kind, retryable, hint = _sort(status, body, key_env)
    message = f"{endpoint} sent an error: {error_message(body)}"
    wait_s = _asked_in_words(body) if kind == "rate_limit" else None
    return ModelFailure(kind, message, retryable=retryable, hint=hint, retry_after_s=wait_s)


def _asked_in_words(body: str) -> float | None:
    """Seconds in `Please try again in 1.2s`."""
    found = re.search(r"(?:try again|retry) (?:in|after) (\d[\dhms.]*[hms])", body)
    return duration_s(found[1]) or None if found else None


def _sort(status: int, body: str, key_env: str | None) -> tuple[str, bool, str]:
    """The kind, whether to retry, and the hint for the user."""
    match status:
        case 400 | 403 | 422 if _FILTER.search(body):
            return "content_filter", False, _OTHER_PROMPT
        case 401 | 403:
            return "auth", False, f"check the key in {key_env}" if key_env else _NO_KEY
        case 404:
            return "not_found", False, "check the model's name and the base URL"
        case 429 if _QUOTA.search(body):
            return "rate_limit", False, "the account has no credit left"
        case 429:
            return "rate_limit", True, "lower `concurrency`"
        case 408 | 504:
            return "timeout", True, ""
        case 409 | 425:
            return "server", True, ""
        case _ if 300 <= status < 400:
            return "bad_request", False, "set `base_url` to the address that it redirects to"
        case 413:
            return "context_length", False, "shorten the prompt or use fewer demonstrations"
        case 400 | 422 if CONTEXT_EXCEEDED.search(body):
            return "context_length", False, "shorten the prompt or use fewer demonstrations"
        case _ if status >= 500 and status != 501:
            return "server", True, ""
    return "bad_request", False, ""


def error_message(body: str) -> str:
    """The message inside an error body, at most 400 characters."""
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        data = body
    for key in _MESSAGES:
        data = unlisted(data)
        if isinstance(data, dict) and data.get(key):
            data = data[key]
    text = data if isinstance(data, str) else json.dumps(data)
    return redact(text.strip())[:400] or "no message"  # first: a cut could leave half a key


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, by `retry-after-ms` or `Retry-After` (or its date)."""
    try:
        asked_ms = headers.get("retry-after-ms")
        if asked_ms and re.fullmatch(r"\d{1,12}(\.\d{1,9})?", asked_ms):
            return float(asked_ms) / 1000
        value = headers.get("Retry-After")
        if value is None or len(value) > 40:
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def limit_wait_s(headers: Mapping[str, str]) -> float:
    """Seconds to pause by a server's rate limits; 0 if there is room.

    `x-ratelimit-remaining-requests` (or -tokens) is the rest until the time in
    `x-ratelimit-reset-…`, which is a number of seconds or a duration such as `1m30.5s`.
    """
    wait_s = 0.0
    for left, reset in _LIMITS:
        if headers.get(left) == "0":
            wait_s = max(wait_s, duration_s(headers.get(reset) or ""))
    return wait_s


_LIMITS = [
    (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}")
    for what in ("requests", "tokens")
]


def duration_s(text: str) -> float:
    """Seconds in `2`, `1.5s`, `6m0s`, `1h2m` or `20ms`; 0 for anything else."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", text)
    if "".join(number + unit for number, unit in parts) != text:
        return 0.0
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def may_refuse(status: int, body: str) -> bool:
    """Whether an error can mean that a server does not accept a part of the request.

    llama.cpp and others answer 500 or 501, so there the words must say it.
    """
    return status in (400, 422) or (
        status in (500, 501) and _REFUSAL.search(error_message(body)) is not None
    )


def refused_parameter(body: str, sent: Iterable[str]) -> str | None:
    """The parameter that the server does not accept, if the error is about one."""
    try:
        named = unlisted(json.loads(body))["error"].get("param")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        named = None
    sent = [name for name in sent if name not in ("model", "messages")]
    text = error_message(body)
    if named in _OWN and named in sent:
        return str(named)
    for name in _OWN:
        words = _WORDS.get(name, rf"\b{name}\b")
        if name in sent and re.search(words, text, re.IGNORECASE):
            return name
    if not _REFUSAL.search(body):
        return None
    if named in sent:
        return str(named)
    quoted = [name for name in sent if re.search(rf"['\"`]{name}['\"`]", text)]
    said = [n for n in sent if len(n) > 1 and re.search(_WORDS.get(n, rf"\b{n}\b"), text)]
    return next(iter([*quoted, *said]), None)


def refused_roles(body: str, *, tools: bool = False) -> str | None:
    """The messages that the server does not accept: "system", or "consecutive" ones of a role.

    "tool" are calls of tools and their results, if there are `tools` among the messages.
    """
    text = error_message(body)
    if tools and _TOOL_TURN.search(text):
        return "tool"
    if _ALTERNATE.search(text):
        return "consecutive"
    return "system" if _SYSTEM.search(text) and _NOT_TAKEN.search(text) else None
