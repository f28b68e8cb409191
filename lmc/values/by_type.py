"""Cache a function of a type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lmc.types import Type

T = TypeVar("T")


def once_by_type(build: Callable[[Type], T]) -> Callable[[Type], T]:
    """Cache a function of a type. Types that cannot be hashed (with a list as default) work too."""
    by_identity: dict[int, tuple[Type, T]] = {}
    by_text: dict[str, T] = {}

    def built(type: Type) -> T:
        found = by_identity.get(id(type))
        if found is None:
            key = repr(type)
            if key not in by_text:
                by_text[key] = build(type)
            # The entry keeps its type alive, so that no other type gets the same id.
            found = by_identity[id(type)] = (type, by_text[key])
        return found[1]

    return built
