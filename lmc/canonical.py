"""The equality of JSON values in the language: by content, whatever the order of keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def canonical(value: Any) -> str:
    """A text that is equal for equal JSON values. 1 and 1.0 are equal; true and 1 are not."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False)


def same(left: Any, right: Any) -> bool:
    """The equality of the language: by content. A bool never equals a number."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, dict | list) and isinstance(right, dict | list):
        return canonical(left) == canonical(right)
    return bool(left == right)


def first_repeated(items: Iterable[Any]) -> int | None:
    """The place of the first item that equals an earlier one; None if all differ."""
    seen: set[str] = set()
    for place, item in enumerate(items):
        text = canonical(item)
        if text in seen:
            return place
        seen.add(text)
    return None


def distinct(items: Iterable[Any]) -> list[Any]:
    """The items without those that equal an earlier one."""
    first: dict[str, Any] = {}
    for item in items:
        first.setdefault(canonical(item), item)
    return list(first.values())


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
