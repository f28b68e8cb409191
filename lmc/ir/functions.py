"""The pure operations of a graph, on plain JSON values.

Each takes the attributes of its node, with the node's type as `type`, and the values of its inputs.
An operation that fails raises ArithmeticError, LookupError, TypeError or ValueError with a message
for the user.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lmc.canonical import canonical, same
from lmc.check.builtins import DEFAULT_FOUND, MOST_RANGE, TURNS, turn
from lmc.check.constants import written
from lmc.check.width import project
from lmc.ir.fences import code_of
from lmc.ir.graph import Node
from lmc.ir.refinements import meet, to_meet
from lmc.ir.size import MOST_SIZE, bounded, joined
from lmc.ir.words import index_of, text_of
from lmc.ir.written_functions import WRITTEN, part, read
from lmc.patterns import whole_pattern
from lmc.types import MOST_BITS
from lmc.unions import belongs
from lmc.written import KINDS

Attrs = Mapping[str, Any]
Function = Callable[..., Any]

# What one operation may give, so that no program fills the memory by a loop that doubles a value;
# `MOST_SIZE` bounds texts, lists and objects.
MOST_DIGITS = 400


def _numeral(value: Any) -> float | int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    found = re.fullmatch(r"\s*([+-]?\d[\d_,]*(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*", str(value)[:400])
    if not found:
        raise ValueError(f"`{str(value)[:60]}` is not a number")
    digits = found[1].replace(",", "").replace("_", "")
    return float(digits) if re.search(r"[.eE]", digits) else int(digits)


def _int(attrs: Attrs, value: Any) -> int:
    number = _numeral(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"`{value}` has no whole part")
    return int(number)


def _divide(attrs: Attrs, left: float, right: float) -> float:
    if right == 0:
        raise ZeroDivisionError("division by zero")
    return left / right


def _modulo(attrs: Attrs, left: float, right: float) -> float:
    if right == 0:
        raise ZeroDivisionError("division by zero")
    return left % right


def _attr(attrs: Attrs, value: Any) -> Any:
    return value[attrs["name"]] if attrs["name"] in value else attrs.get("default")


def _present(attrs: Attrs, value: Any) -> Any:
    if value is None:
        raise ValueError("there is no value")
    return value


def _index(attrs: Attrs, value: Any, key: Any) -> Any:
    if isinstance(value, dict):
        if key not in value:
            raise LookupError(f"there is no key `{key}`")
        return value[key]
    if not -len(value) <= key < len(value):
        raise LookupError(f"index {key} is outside of {len(value)} items")
    return value[key]


def _slice(attrs: Attrs, value: Any, start: int | None, stop: int | None) -> Any:
    if not isinstance(value, list | str):
        raise TypeError("only lists and texts are sliced")
    return value[start:stop]


def _range(attrs: Attrs, start: int, stop: int | None = None, step: int = 1) -> list[int]:
    if not step:
        raise ValueError("the step of a range must not be 0")
    ints = range(start) if stop is None else range(start, stop, step)
    if ints and len(ints[: MOST_RANGE + 1]) > MOST_RANGE:
        raise ValueError(f"the range is too large: at most {MOST_RANGE:,} ints")
    return list(ints)


def _flatten(attrs: Attrs, lists: list[list[Any]]) -> list[Any]:
    return [item for items in lists for item in items]  # together they are no larger than `lists`


def _group_by(attrs: Attrs, items: list[Any]) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for item in items:
        key = _key(attrs, item)
        groups.setdefault(canonical(key), {"key": key, "items": []})["items"].append(item)
    made: list[dict[str, Any]] = bounded(list(groups.values()))
    return made


def _replace(attrs: Attrs, value: str, old: str, new: str) -> str:
    if not old:
        return value
    _require_small(len(value) + value.count(old) * (len(new) - len(old)))
    return value.replace(old, new)


def _upper(attrs: Attrs, value: str) -> str:
    _require_small(len(value))
    return value.upper()  # three times as long at most


def _matches(attrs: Attrs, value: str, pattern: str) -> bool:
    return whole_pattern(pattern).matches(value)


def _contains(attrs: Attrs, item: Any, container: Any) -> bool:
    if isinstance(container, list):
        return any(same(item, other) for other in container)
    return item in container


def _split(attrs: Attrs, value: str, separator: str | None = None) -> list[str]:
    return value.split(separator) if separator else value.split()


def _extreme(choose: Callable[..., Any]) -> Function:
    def extreme(attrs: Attrs, *values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], list) else values
        return choose(items, default=None)

    return extreme


def _add(attrs: Attrs, left: Any, right: Any) -> Any:
    if isinstance(left, list) and isinstance(right, list):
        return joined(left, right)
    if isinstance(left, str) and isinstance(right, str):
        _require_small(len(left) + len(right))
        return left + right
    return _small_number(left + right)


def _multiply(attrs: Attrs, left: Any, right: Any) -> Any:
    if not (isinstance(left, int | float) and isinstance(right, int | float)):
        raise TypeError("only numbers are multiplied")
    return _small_number(left * right)


def _join(attrs: Attrs, items: list[str], separator: str = "") -> str:
    _require_small(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


def _require_small(size: int) -> None:
    if size > MOST_SIZE:
        raise ValueError(f"the value is too large: at most {MOST_SIZE:,} characters or items")


def _small_number(number: Any) -> Any:
    if isinstance(number, int) and number.bit_length() > MOST_BITS:
        raise OverflowError(f"the number is too large: at most {MOST_BITS:,} bits")
    return number


def _round(attrs: Attrs, value: float, digits: int | None = None) -> float:
    if digits is not None and abs(digits) > MOST_DIGITS:
        raise ValueError(f"numbers are rounded to at most {MOST_DIGITS} digits")
    return round(value) if digits is None else round(value, digits)


def _key(attrs: Attrs, item: Any) -> Any:
    name = attrs.get("by")
    return item if name is None else item[name]


def _unique(attrs: Attrs, items: list[Any]) -> list[Any]:
    first: dict[str, Any] = {}
    for item in items:
        first.setdefault(canonical(_key(attrs, item)), item)
    return list(first.values())


def _sort_by(attrs: Attrs, items: list[Any], descending: bool = False) -> list[Any]:
    return sorted(items, key=lambda item: _key(attrs, item), reverse=descending)


def _filter(attrs: Attrs, items: list[Any]) -> list[Any]:
    if attrs.get("by") is None:
        return [item for item in items if item is not None]
    return [item for item in items if _key(attrs, item)]


def _count(attrs: Attrs, items: list[Any], *wanted: Any) -> int:
    return sum(same(i, wanted[0]) for i in items) if wanted else sum(bool(i) for i in items)


def _turn(role: str) -> Function:
    return lambda attrs, text, files=(): bounded(turn(role, text, files))


def _find(attrs: Attrs, items: list[Any], query: str, count: int = DEFAULT_FOUND) -> list[Any]:
    found = index_of(tuple(map(text_of, items))).nearest(query, count) if items else []
    return [items[i] for i in found]


def _by_key(attrs: Attrs, items: list[Any], key: Any) -> Any:
    return next((item for item in reversed(items) if same(item[attrs["name"]], key)), None)


def _record(attrs: Attrs, *values: Any) -> dict[str, Any]:
    made: dict[str, Any] = bounded(dict(zip(attrs["names"], values)))
    return made


def _binary(function: Callable[[Any, Any], Any]) -> Function:
    return lambda attrs, left, right: function(left, right)


def function_of(node: Node) -> Callable[..., Any]:
    """The operation of an `op` node, ready to be given the values of its inputs."""
    type = to_meet(node.type) if node.attrs["fn"] == "within" else node.type
    attrs = {**node.attrs, "type": type}
    if kind := attrs.get("of"):
        return partial(WRITTEN[attrs["fn"]], attrs, kind)
    return partial(FUNCTIONS[attrs["fn"]], attrs)


# `within` gives a value that meets the refinements of the node's type: that of the field `name`.
# `present` narrows a `T?` that is known not to be none. `narrow` gives a value if it is of a member
# in the node's type `T?`, else none. `project` drops the fields that the node's type does not have.
# `by_key` gives the item whose field `name` is the key. `attr` takes the field `name`. `record` and
# `object` build from `names`. `unique`, `sort_by`, `filter` go by the field `by`, or by the items.
FUNCTIONS: Mapping[str, Function] = {
    "add": _add,
    "sub": _binary(operator.sub),
    "mul": _multiply,
    "div": _divide,
    "mod": _modulo,
    "neg": lambda attrs, value: -value,
    "not": lambda attrs, value: not value,
    "eq": _binary(same),
    "ne": lambda attrs, left, right: not same(left, right),
    "lt": _binary(operator.lt),
    "le": _binary(operator.le),
    "gt": _binary(operator.gt),
    "ge": _binary(operator.ge),
    "in": _contains,
    "present": _present,
    "narrow": lambda attrs, value: value if belongs(attrs["type"].item, value) else None,
    "within": lambda attrs, value: meet(attrs["type"], attrs["name"], value),
    "project": lambda attrs, value: project(attrs["type"], value),
    "attr": _attr,
    "index": _index,
    "slice": _slice,
    "range": _range,
    "flatten": _flatten,
    "group_by": _group_by,
    "enumerate": lambda attrs, items: list(range(len(items))),  # the numbers of the items
    "upper": _upper,
    "replace": _replace,
    "matches": _matches,
    "code": lambda attrs, value, language="": code_of(value, language),
    "list": lambda attrs, *values: bounded(list(values)),
    "record": _record,
    "object": _record,
    "len": lambda attrs, value: len(value),
    "str": lambda attrs, value: written(value),
    "int": _int,
    "float": lambda attrs, value: float(_numeral(value)),
    "join": _join,
    "split": _split,
    "lower": lambda attrs, value: value.lower(),
    "strip": lambda attrs, value, characters=None: value.strip(characters),
    "first": lambda attrs, items: items[0] if items else None,
    "any": lambda attrs, items: any(items),
    "all": lambda attrs, items: all(items),
    "sum": lambda attrs, items: sum(items),
    "min": _extreme(min),
    "max": _extreme(max),
    "abs": lambda attrs, value: abs(value),
    "round": _round,
    "keys": lambda attrs, value: list(value),
    "values": lambda attrs, value: list(value.values()),
    "unique": _unique,
    "sort_by": _sort_by,
    "filter": _filter,
    "count": _count,
    **{role: _turn(role) for role in TURNS},
    "part": lambda attrs, value: part(attrs, attrs["of"], value),
    **{kind: partial(read, kind) for kind in KINDS},
    "find": _find,
    "by_key": _by_key,
}
