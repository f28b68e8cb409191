"""Fields of requests, checked: the page is ours, but who asks need not be the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.diagnostics import LmcError
from lmc.studio.workplace import MOST_TEXT


def text_of(body: Mapping[str, Any], name: str, most: int = MOST_TEXT) -> str:
    """A text. Raises: LmcError[bad-request]."""
    value = body.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise LmcError.of("bad-request", f"`{name}` must be a text, of at most {most:,} characters")
    return value


def maybe_text(body: Mapping[str, Any], name: str, most: int = 2000) -> str | None:
    """A text, or None where there is none. Raises: LmcError[bad-request]."""
    return text_of(body, name, most) if body.get(name) not in (None, "") else None


def place_of(body: Mapping[str, Any]) -> tuple[int, int]:
    """A line and a character in it, from 0. Raises: LmcError[bad-request]."""
    most = (1 << 31) - 1
    return count_of(body, "line", 0, most), count_of(body, "character", 0, most)


def object_of(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object. Raises: LmcError[bad-request]."""
    value = body.get(name)
    if not isinstance(value, dict):
        raise LmcError.of("bad-request", f"`{name}` must be an object")
    return value


def count_of(body: Mapping[str, Any], name: str, otherwise: int, most: int) -> int:
    """A whole number from 0 to a greatest one. Raises: LmcError[bad-request]."""
    value = body.get(name, otherwise)
    if not _is_count(value) or value > most:
        raise LmcError.of("bad-request", f"`{name}` must be a whole number from 0 to {most:,}")
    return int(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
