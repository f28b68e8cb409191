"""A cache of what is built once for each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lmc.types import Type

T = TypeVar("T")


def once_by_type(build: Callable[[Type], T]) -> Callable[[Type], T]:
    """Cache a function of a type, also of types that cannot be hashed (a default is a list)."""
    by_identity: dict[int, tuple[Type, T]] = {}
    by_text: dict[str, T] = {}

    def built(type: Type) -> T:
        found = by_identity.get(id(type))
        if found is None:
            key = repr(type)
            if key not in by_text:
                by_text[key] = build(type)
            # The type is kept with its entry, so that its id is not taken by another one.
            found = by_identity[id(type)] = (type, by_text[key])
        return found[1]

    return built
