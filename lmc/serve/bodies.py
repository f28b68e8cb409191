"""Bodies of requests: as JSON, and as nothing but what the standard calls JSON."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from lmc.diagnostics import LmcError
from lmc.written import exact_float

if TYPE_CHECKING:
    from starlette.requests import Request

_LONG = 1 << 20  # bytes; what is longer is read beside the event loop
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\Z", re.IGNORECASE)


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body of a request.

    Raises: LmcError[not-json, bad-json], and what the gate raises for a body.
    """
    require_json(request)
    body = await request.body()
    value = parsed(body) if len(body) < _LONG else await asyncio.to_thread(parsed, body)
    if not isinstance(value, dict):
        raise LmcError.of("bad-json", "the body must be a JSON object")
    return value


def require_json(request: Request) -> None:
    """Refuse what a page of another site can send without asking first (no CORS preflight).

    Raises: LmcError[not-json].
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if _JSON.match(kind) is None:
        help = "send the header `Content-Type: application/json`"
        raise LmcError.of("not-json", "the body must be JSON, and say so", help=help)
    packed = request.headers.get("content-encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        help = "send it as it is, without `Content-Encoding`"
        raise LmcError.of("not-json", "this server reads no compressed bodies", help=help)


def parsed(body: bytes) -> Any:
    """The value of a JSON text. Raises: LmcError[bad-json]."""
    try:
        return json.loads(
            body.decode(), parse_float=_finite, parse_int=_whole, parse_constant=_refuse
        )
    except UnicodeDecodeError:
        raise LmcError.of("bad-json", "the body is not UTF-8") from None
    except RecursionError:
        raise LmcError.of("bad-json", "the body is nested too deeply") from None
    except ValueError as problem:
        raise LmcError.of("bad-json", f"the body is not JSON: {problem}") from None


def _finite(text: str) -> float:
    value = exact_float(text)
    if value - value != 0:
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads no more than some thousand digits
        raise ValueError(f"a number has {len(text):,} digits, which is too many") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
