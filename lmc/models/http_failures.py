"""Error responses of model servers, sorted into the few kinds that callers decide by."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from lmc.models.base import ModelFailure

CONTEXT_EXCEEDED = re.compile(
    r"context[_ ](length|window|size)|maximum (context|prompt|input)|too (long|many tokens)"
    r"|max_model_len|exceed\w* the (available )?context|prompt is too",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"unsupported|not support|unrecognized|unknown (parameter|argument|field)|not permitted"
    r"|extra (inputs|fields)|extra_forbidden|not allowed|unexpected|deprecated|does not accept"
    r"|only .*default",
    re.IGNORECASE,
)
_NO_KEY = "no key was sent: a program that names an address names the key, `api_key_env`, too"
_QUOTA = re.compile(r"insufficient_quota|billing|credit balance", re.IGNORECASE)


def failure_from_response(
    endpoint: str, status: int, headers: Mapping[str, str], body: str, key_env: str | None
) -> ModelFailure:
    """Say what failure a response with an error status means."""
    kind, retryable, hint = _sort(status, body, key_env)
    message = f"{endpoint} answered {status}: {error_message(body)}"
    wait_s = retry_after_s(headers) if retryable else None
    return ModelFailure(kind, message, retryable=retryable, hint=hint, retry_after_s=wait_s)


def _sort(status: int, body: str, key_env: str | None) -> tuple[str, bool, str]:
    """Kind, whether to try again, and what the user can do."""
    match status:
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
        case 413:
            return "context_length", False, "shorten the prompt or use fewer demonstrations"
        case 400 | 422 if CONTEXT_EXCEEDED.search(body):
            return "context_length", False, "shorten the prompt or use fewer demonstrations"
        case _ if status >= 500 and status != 501:
            return "server", True, ""
    return "bad_request", False, ""


def error_message(body: str) -> str:
    """Find the message inside an error body; at most 400 characters of it."""
    try:
        data: Any = json.loads(body)
    except ValueError:
        data = body
    for key in ("error", "message", "detail"):
        if isinstance(data, dict) and data.get(key):
            data = data[key]
    text = data if isinstance(data, str) else json.dumps(data)
    return text.strip()[:400] or "no message"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms` or `Retry-After` (may be a date)."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("Retry-After")
        if value is None:
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def refused_parameter(body: str, sent: Iterable[str]) -> str | None:
    """Name the parameter that the server says it does not take, if that is the error."""
    try:
        named = json.loads(body)["error"].get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        named = None
    if not _REFUSAL.search(body):
        return None
    if named in sent:
        return str(named)
    quoted = [name for name in sent if name and re.search(rf"['\"`]{name}['\"`]", body)]
    return quoted[0] if quoted else None
