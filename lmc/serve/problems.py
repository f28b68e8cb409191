"""Errors as clients see them: problem details (RFC 9457) with slug, place and help.

A client is a stranger: it gets neither a traceback nor where files lie on this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lmc.diagnostics import Diagnostic, LmcError, error
from lmc.redaction import logger, redact

_log = logger(__name__)
MEDIA_TYPE = "application/problem+json"
_STATUS = {
    **dict.fromkeys(("bad-json", "bad-request", "bad-header"), 400),
    "no-key": 401,
    "budget-exceeded": 402,
    **dict.fromkeys(("wrong-host", "wrong-origin"), 403),
    **dict.fromkeys(("unknown-target", "unknown-program", "unknown-job", "unknown-path"), 404),
    **dict.fromkeys(("unknown-model", "unknown-file", "unknown-run", "no-run"), 404),
    "outside-studio": 403,
    **dict.fromkeys(("changed-file", "file-there"), 409),
    **dict.fromkeys(("has-mistakes", "cannot-read", "bad-row"), 422),
    "wrong-method": 405,
    "body-too-slow": 408,
    **dict.fromkeys(("key-in-use", "job-not-finished"), 409),
    "body-too-large": 413,
    "not-json": 415,
    **dict.fromkeys(("missing-input", "unknown-input", "duplicate-input", "invalid-input"), 422),
    **dict.fromkeys(("too-many-rows", "key-reused", "unsupported-format", "not-supported"), 422),
    **dict.fromkeys(("infrastructure-failure", "call-failed"), 502),
    **dict.fromkeys(("too-busy", "stopping"), 503),
    "too-slow": 504,
}
_TITLES = {
    400: "The request cannot be read",
    401: "An API key is needed",
    402: "The budget is spent",
    403: "The request is not allowed",
    404: "There is no such thing here",
    405: "The method is not supported here",
    408: "The request took too long to arrive",
    409: "The request is in conflict with another one",
    413: "The request is too large",
    415: "The request is not JSON",
    422: "The inputs do not fit",
    500: "The run failed",
    502: "A model gave no usable answer",
    503: "The server is busy",
    504: "The run took too long",
}
_RETRY_S = {"too-busy": 1, "stopping": 5}
_PATH = re.compile(r"(?:(?<=[\s`'\"(:=])|^)(?:~|/[\w.@+-]+)(?:/[\w.@+-]+)+")
MOST_SHOWN = 20  # errors of one problem


class ClientLeft(Exception):
    """The client closed its connection, so that nobody wants the answer."""


def internal(problem: BaseException, request_id: str) -> LmcError:
    """What a client hears of a bug. The log has the rest, under the id of the request."""
    _log.error("request %s failed: %r", request_id, problem, exc_info=problem)
    message = "the server failed in a way that it should not"
    return LmcError.of("internal-error", message, help=f"the log has more on {request_id}")


def status_of(failure: LmcError) -> int:
    """The HTTP status of a failure."""
    return _STATUS.get(failure.code, 500)


def retry_after_s(failure: LmcError) -> int | None:
    """After how many seconds the same request may work."""
    return _RETRY_S.get(failure.code)


def problem_json(failure: LmcError, request_id: str, root: str = "") -> dict[str, Any]:
    """The problem document of a failure. `root` is the path under which the application is."""
    first, status = failure.diagnostics[0], status_of(failure)
    more = [_told(found) for found in failure.diagnostics[:MOST_SHOWN]]
    return {
        "type": f"{root}/problems/{first.code}",
        "title": _TITLES[status],
        "status": status,
        "detail": _plain(first.message),
        "instance": f"urn:lmc:request:{request_id}",
        "slug": first.code,
        **({"help": _plain(first.help)} if first.help else {}),
        **({"place": place} if (place := _place(first)) else {}),
        **({"errors": more} if len(more) > 1 else {}),
    }


def openai_error(failure: LmcError) -> dict[str, Any]:
    """A failure in the form of OpenAI's API."""
    first, status = failure.diagnostics[0], status_of(failure)
    kind = "invalid_request_error" if status < 500 else "server_error"
    message = _plain(first.message) + (f" ({_plain(first.help)})" if first.help else "")
    return {"error": {"message": message, "type": kind, "param": None, "code": first.code}}


def json_bytes(value: Any) -> bytes:
    """JSON in UTF-8. Halves of characters, which UTF-8 does not have, stay escapes."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False).encode()


def of_row(failure: LmcError, number: int) -> LmcError:
    """The failure of one of several rows, which says which."""
    found = (
        error(d.code, f"row {number}: {d.message}", *d.labels, help=d.help)
        for d in failure.diagnostics
    )
    return LmcError(*found)


def wrong_values(problems: Iterable[str]) -> LmcError:
    """A request whose fields do not fit, with a sentence for each."""
    return LmcError(*(error("bad-request", problem) for problem in problems))


def _told(found: Diagnostic) -> dict[str, Any]:
    place = _place(found)
    return {
        "slug": found.code,
        "message": _plain(found.message),
        **({"help": _plain(found.help)} if found.help else {}),
        **({"place": place} if place else {}),
    }


def _place(found: Diagnostic) -> dict[str, Any] | None:
    if found.span is None:
        return None
    line, column = found.span.source.position(found.span.start)
    return {"file": Path(found.span.source.name).name, "line": line, "column": column}


def _plain(text: str) -> str:
    """A text without secrets and without the folders of this machine."""
    return _PATH.sub(lambda found: found.group().rpartition("/")[2], redact(text))
