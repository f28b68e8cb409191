"""Strings and numbers of a JSON Schema as types of the language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.check.annotations import MOST
from lmc.patterns import whole_pattern
from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.literals import MOST_INT
from lmc.written import Kind, normal, order

Schema = Mapping[str, Any]
Notes = list[tuple[str, str]]
_SPAN = Span(Source("schema", ""), 0, 0)
_FORMATS: Mapping[str, Kind] = {"date": "date", "time": "time", "date-time": "datetime"}
_ANNOTATIONS = ("float", "double", "int32", "int64", "decimal", "password", "byte", "binary")


def named(name: str, *refinements: Any) -> n.TypeExpr:
    """A type by its name."""
    return n.NamedType(n.Ident(name, span=_SPAN), (), refinements, span=_SPAN)


def optional(type: n.TypeExpr) -> n.TypeExpr:
    """`T?`. `json` holds null already."""
    plain = isinstance(type, n.NamedType) and type.name.name == "json"
    already = plain or isinstance(type, n.OptionalTypeExpr)
    return type if already else n.OptionalTypeExpr(type, span=_SPAN)


def at(pointer: str, key: str) -> str:
    """The JSON pointer of a part."""
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def string(schema: Schema, pointer: str, notes: Notes) -> n.TypeExpr:
    """A string with its bounds and its pattern, or a date, time or datetime."""
    form = schema.get("format")
    if isinstance(form, str) and form in _FORMATS:
        return _moment(_FORMATS[form], schema, pointer, notes)
    if form and form not in _ANNOTATIONS:
        notes.append((at(pointer, "format"), f"the format `{form}` is not checked"))
    refinements = [*lengths(schema, "Length", pointer, notes)]
    if isinstance(text := schema.get("pattern"), str):
        pattern = _whole(text)
        try:
            whole_pattern(pattern)
            refinements.append(n.PatternRefinement(pattern, span=_SPAN))
        except ValueError as problem:
            notes.append((at(pointer, "pattern"), f"the pattern cannot be used: {problem}"))
    return named("str", *refinements)


def _moment(kind: Kind, schema: Schema, pointer: str, notes: Notes) -> n.TypeExpr:
    ends: list[str | None] = []
    for key in ("formatMinimum", "formatMaximum"):
        try:
            ends.append(normal(kind, schema[key]) if isinstance(schema.get(key), str) else None)
        except ValueError as problem:
            notes.append((at(pointer, key), str(problem)))
            ends.append(None)
    low, high = ends
    if low is not None and high is not None and order(kind, low) > order(kind, high):
        notes.append((pointer, "its bounds leave no value"))
        return named(kind)
    return named(kind) if ends == [None, None] else named(kind, _range(low, high))


def lengths(schema: Schema, of: str, pointer: str, notes: Notes) -> list[n.SyntaxNode]:
    """The bounds `minLength` and `maxLength`, or `minItems` and `maxItems`, if there are any."""
    low, high = (_length(schema.get(key)) for key in (f"min{of}", f"max{of}"))
    if low is not None and high is not None and low > high:
        notes.append((pointer, "its bounds leave no value"))
        return []
    return [_range(low or None, high)] if low or high is not None else []


def _length(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    return value if whole else None


def _whole(pattern: str) -> str:
    """A pattern for the whole text, from one that may match anywhere in it."""
    if pattern.startswith("^(?:") and pattern.endswith(")$") and _is_one_group(pattern[1:-1]):
        return pattern[4:-2]
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith(r"\$")
    if begins and ends and "|" not in pattern:
        return pattern[1:-1]
    if begins and ends:
        return pattern  # the anchors hold within the whole text too
    before, after = "" if begins else r"[\s\S]*", "" if ends else r"[\s\S]*"
    return f"{before}(?:{pattern}){after}"


def _is_one_group(text: str) -> bool:
    """Whether a text in brackets has its first bracket closed only at its end."""
    depth, escaped, in_class = 0, False, False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        else:
            depth += (char == "(") - (char == ")")
            if not depth:
                return place == len(text) - 1
    return False


def integer(schema: Schema, pointer: str, notes: Notes) -> n.TypeExpr:
    """An int with its bounds."""
    low, high = _bound(schema, "minimum", 1), _bound(schema, "maximum", -1)
    ends = [_whole_bound(low, up=True), _whole_bound(high, up=False)]
    return _numbers("int", ends, schema, pointer, notes)


def number(schema: Schema, pointer: str, notes: Notes, kind: str = "float") -> n.TypeExpr:
    """A float or a decimal with its bounds."""
    for key in ("exclusiveMinimum", "exclusiveMaximum"):
        if schema.get(key) is True or _is_number(schema.get(key)):
            notes.append((at(pointer, key), "a bound that is not included cannot be said"))
    ends = [_bound(schema, "minimum", 0), _bound(schema, "maximum", 0)]
    return _numbers(kind, ends, schema, pointer, notes)


def _numbers(kind: str, ends: list[Any], schema: Schema, pointer: str, notes: Notes) -> n.TypeExpr:
    if "multipleOf" in schema:
        notes.append((at(pointer, "multipleOf"), "`multipleOf` cannot be said"))
    low, high = (e if e is None or abs(e) <= MOST_INT else None for e in ends)
    if low is not None and high is not None and low > high:
        notes.append((pointer, "its bounds leave no value"))
        return named(kind)
    return named(kind) if low is None and high is None else named(kind, _range(low, high))


def _range(low: Any, high: Any) -> n.RangeRefinement:
    return n.RangeRefinement(low, high, span=_SPAN)


def _bound(schema: Schema, key: str, step: int) -> Any:
    """A bound; one that is not included becomes the next whole number by `step`."""
    found: list[Any] = [schema[key]] if _is_number(schema.get(key)) else []
    other: Any = schema.get(f"exclusive{key[0].upper()}{key[1:]}")
    if _is_number(other):
        beyond = step and (other + step if other == int(other) else other)
        found.append(beyond if step else other)
    elif other is True and found and step:  # draft 4
        found = [found[0] + step]
    if not found:
        return None
    return max(found) if key == "minimum" else min(found)


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and value - value == 0


def _whole_bound(value: Any, *, up: bool) -> int | None:
    if value is None:
        return None
    floor = int(value // 1)
    return floor + (up and floor != value)
