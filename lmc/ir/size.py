"""How large a value is when it is written out.

Parts of values are shared: `[x, x]` needs no more memory than `x`. But it is twice as long in a
prompt, a trace or a file, so 30 such steps would fill the memory of any machine there. Hence what
makes a list or an object measures it first.
"""

from __future__ import annotations

from typing import Any

MOST_SIZE = 10_000_000  # characters, items and fields of a value, of all that is in it too
MOST_DEPTH = 100  # lists and objects in each other, as at the borders of a program
_WORTH = 100  # a size from which on it costs less to remember it than to count again
_WIDE = 1 << 64  # a longer whole number counts by its length
_MOST_REMEMBERED = 256

# Sizes and depths of large values by id. The values are kept too, so that no other takes their id.
_remembered: dict[int, tuple[Any, int, int]] = {}


def bounded(value: Any) -> Any:
    """A list or object itself, if it is small enough. Raises: ValueError."""
    measure(value, MOST_DEPTH)
    return value


def joined(left: list[Any], right: list[Any]) -> list[Any]:
    """One list after another, if they are small enough together. Raises: ValueError."""
    (size, depth), (more, other) = measure(left, MOST_DEPTH), measure(right, MOST_DEPTH)
    if size + more < _WORTH:
        return left + right
    both = left + right  # each is bounded, so both are not large yet
    _remember(both, size + more, max(depth, other))
    return both


def measure(value: list[Any] | dict[str, Any], room: int) -> tuple[int, int]:
    """The size and the depth of a list or object, which may be `room` deep. Raises: ValueError."""
    if (known := _remembered.get(id(value))) is not None and known[0] is value:
        size, depth = known[1:]
    else:  # one function, since it runs for every value that a program makes
        size, depth = len(value), 0
        parts: Any = value
        if isinstance(value, dict):
            size += sum(map(len, value))
            parts = value.values()
        for part in parts:
            kind = type(part)
            if kind is str:
                size += len(part)
            elif kind is list or kind is dict:
                if not room:
                    break
                inner, below = measure(part, room - 1)
                size += inner
                if below > depth:
                    depth = below
            elif kind is int and not -_WIDE < part < _WIDE:
                size += part.bit_length() >> 2
        depth += 1
        if size >= _WORTH:
            _remember(value, size, depth)
    if depth > room:
        raise ValueError(f"the value is nested too deeply: at most {MOST_DEPTH} levels")
    return size, depth


def _remember(value: Any, size: int, depth: int) -> None:
    """Keep a size, if it is allowed. Raises: ValueError."""
    if size > MOST_SIZE:
        message = f"the value is too large: at most {MOST_SIZE:,} characters and items in all"
        raise ValueError(message)
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[id(value)] = value, size, depth


def forget_sizes() -> None:
    """Let go of the values whose sizes are remembered."""
    _remembered.clear()
