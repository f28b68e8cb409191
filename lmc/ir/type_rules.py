"""Rules for the types and values of an unchecked graph: their form, size and compatibility.

Comparing types, or values with types, can cost the product of their sizes, and more if a pattern is
matched. So sizes are bounded, patterns are never matched, and all comparisons share one budget.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from lmc import types
from lmc.check.constants import misfit
from lmc.check.subtyping import Known, forget, is_subtype, narrows, written_fits
from lmc.check.width import project
from lmc.media.content import ARTICLES
from lmc.types import ErrorType, Field, OptionalType, Type
from lmc.unions import MOST_MEMBERS, clash, kind_of
from lmc.written import KINDS

MOST_PARTS = 10_000  # of one type, a part counted once however often it stands there
MOST_TYPES = 200  # of types in types
MOST_LEVELS = 60  # of lists and objects in a value
MOST_STEPS = 20_000_000  # of all comparisons
MOST_PATTERN = 1000  # characters


class TypeRules:
    """The known types of one program. Each type is checked once."""

    def __init__(self) -> None:
        self._sizes: dict[int, tuple[int, int]] = {}  # the parts and levels of a type, by its id
        self._pairs: dict[tuple[int, int], bool] = {}
        self._plain: dict[int, Type] = {}
        self._loose: dict[int, Type] = {}
        self._lower: Known = {}  # whether one level of a recursive record fits where another does
        self._narrower: Known = {}
        self._patterns = False
        self._kept: list[Type] = []  # keeps the types alive, so that Python reuses no id
        self.steps = 0

    def is_type(self, type: Any) -> bool:
        """Whether a value is a well-formed type of bounded size."""
        return id(type) in self._sizes or self._measure(type, MOST_TYPES) is not None

    def fits(self, actual: Type, wanted: Type) -> bool:
        """Whether each value of one type may go where the other type is asked for.

        It has that type, and where it is a record, at any depth, it has the fields of that type
        and no others: a wider one must be projected first. Patterns are ignored.
        """
        if actual is wanted or isinstance(actual, ErrorType) or isinstance(wanted, ErrorType):
            return True
        pair = (id(actual), id(wanted))
        if pair not in self._pairs:
            affordable = self._spend(self._size(actual) * self._size(wanted))
            plain = self._bare(actual), self._bare(wanted)  # known only after `_size`
            self._pairs[pair] = affordable and is_subtype(*plain) and not narrows(*plain)
        return self._pairs[pair]

    def keeps_fields(self, actual: Type, wanted: Type) -> bool:
        """Whether no record of one type has fields that the other one lacks, at any depth."""
        if actual is wanted or not self._spend(self._size(actual) * self._size(wanted)):
            return actual is wanted
        return not narrows(self._bare(actual), self._bare(wanted))

    def holds(self, value: Any, type: Type) -> bool:
        """Whether something is a JSON value of a type. Patterns are ignored.

        Its records have the fields of their types and no others.
        """
        parts = json_parts(value)
        if not parts or not self._spend(parts * self._size(type)):
            return False
        plain = self._bare(type)
        return misfit(value, plain) is None and project(plain, value) == value

    def built(self, value: Any, type: Type) -> bool:
        """Whether a program of format 1 can build such a value of a type.

        There the refinements of a record's fields are for values that come in, and not for records
        that a program builds.
        """
        return self.holds(value, self._unrefined(type))

    def _unrefined(self, type: Type) -> Type:
        """The type without the refinements of its records' fields."""
        if id(type) not in self._loose:
            self._kept.append(type)
            self._loose[id(type)] = self._without_refinements(type)
        return self._loose[id(type)]

    def _without_refinements(self, type: Type) -> Type:
        match type:
            case types.OptionalType() | types.ListType() | types.DictType():
                return replace(type, item=self._unrefined(type.item))
            case types.RecordType():
                fields = (
                    replace(field, type=self._unrefined(forget(field.type)))
                    for field in type.fields
                )
                return replace(type, fields=tuple(fields))
            case types.UnionType():
                return replace(type, options=tuple(map(self._unrefined, type.options)))
        return type

    def _spend(self, steps: int) -> bool:
        self.steps += steps
        return self.steps <= MOST_STEPS

    def _size(self, type: Type) -> int:
        if not self.is_type(type):
            return MOST_STEPS + 1
        return self._sizes[id(type)][0]

    def _measure(self, type: Any, room: int) -> tuple[int, int] | None:
        """The parts and levels of a type; None if it is not a type or is too large."""
        known = self._sizes.get(id(type))
        if known is not None:
            return known if known[1] <= room else None
        well_made = _WELL_MADE.get(type.__class__)
        if not room or well_made is None or not well_made(type):
            return None
        levels = 0
        for inner in _inner(type):
            found = self._measure(inner, room - 1)
            if found is None:
                return None
            levels = max(levels, found[1])
        parts = _parts(type)
        if parts > MOST_PARTS:
            return None
        if isinstance(type, types.RecordType) and not all(map(self._default_holds, type.fields)):
            return None
        if isinstance(type, types.RecordType) and not self._levels_fit(type, parts):
            return None
        if isinstance(type, types.UnionType) and not _is_clear(type):
            return None
        self._patterns |= isinstance(type, types.StrType) and type.pattern is not None
        self._kept.append(type)
        self._sizes[id(type)] = found = (parts, levels + 1)
        return found

    def _levels_fit(self, record: types.RecordType, parts: int) -> bool:
        """Whether the lower levels of a recursive record have its fields and fit where it does."""
        if not record.family:
            return not record.height and not record.bound
        inner = [t for t in types.parts(record) if isinstance(t, types.RecordType)]
        lower = [t for t in inner if t.family == record.family and t is not record]
        return (
            0 < record.height <= record.bound
            and self._spend(len(lower) * parts)
            and all(t.height < record.height and t.bound == record.bound for t in lower)
            and all(is_subtype(t, record, self._lower) for t in lower)
            and not any(narrows(t, record, (self._narrower, self._lower)) for t in lower)
        )

    def _default_holds(self, field: Field) -> bool:
        return not field.has_default or self.holds(field.default, field.type)

    def _bare(self, type: Type) -> Type:
        """The type without its patterns, because matching a pattern can take forever."""
        if not self._patterns:
            return type
        if id(type) not in self._plain:
            self._plain[id(type)] = self._without_patterns(type)
        return self._plain[id(type)]

    def _without_patterns(self, type: Type) -> Type:
        match type:
            case types.StrType():
                return replace(type, pattern=None)
            case types.OptionalType() | types.ListType() | types.DictType():
                return replace(type, item=self._bare(type.item))
            case types.RecordType():
                fields = (replace(field, type=self._bare(field.type)) for field in type.fields)
                return replace(type, fields=tuple(fields))
            case types.UnionType():
                return replace(type, options=tuple(map(self._bare, type.options)))
        return type


def json_parts(value: Any, room: int = MOST_LEVELS) -> int:
    """The number of values in a JSON value; 0 if it is not JSON or nests too deep."""
    kind = value.__class__
    if kind in _SCALARS:
        return 1
    if kind is float:
        return int(math.isfinite(value))
    if not room or kind not in (list, dict):
        return 0
    if kind is dict and not all(key.__class__ is str for key in value):
        return 0
    total = 1
    for item in value.values() if kind is dict else value:
        parts = json_parts(item, room - 1)
        if not parts:
            return 0
        total += parts
    return total


_STRINGS, _class_of = frozenset([str]), attrgetter("__class__")
_SCALARS = (str, int, bool, type(None))


def is_strings(value: Any) -> bool:
    """Whether something is a tuple of strings."""
    return value.__class__ is tuple and _STRINGS.issuperset(map(_class_of, value))


def _parts(type: Type) -> int:
    """How many types, fields and words a type mentions, each type once."""
    seen: dict[int, Type] = {}
    todo, count = [type], 0
    while todo and count <= MOST_PARTS:
        part = todo.pop()
        if id(part) not in seen:
            seen[id(part)] = part
            inner = tuple(_inner(part))
            count += 1 + len(_words(part)) + len(inner)
            todo += inner
    return count


def _words(type: Type) -> tuple[Any, ...]:
    match type:
        case types.LiteralType(values=words) | types.EnumType(variants=words):
            return words
    return ()


def _inner(type: Type) -> Iterator[Any]:
    match type:
        case OptionalType(item) | types.ListType(item) | types.DictType(item):
            yield item
        case types.RecordType(fields=fields):
            yield from (field.type for field in fields)
        case types.UnionType(options):
            yield from options


def _length(value: Any) -> bool:
    return value is None or (value.__class__ is int and value >= 0)


def _whole(value: Any) -> bool:
    return value is None or value.__class__ is int


def _number(value: Any) -> bool:
    return _whole(value) or (value.__class__ is float and math.isfinite(value))


def _is_pattern(value: Any) -> bool:
    if value is None:
        return True
    if value.__class__ is not str or len(value) > MOST_PATTERN:
        return False
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_written(type: types.WrittenType) -> bool:
    """Whether a date and the like is of a known kind, and its bounds are values of it."""
    if type.kind not in KINDS:
        return False
    plain = types.WrittenType(type.kind)
    ends = (end for end in (type.low, type.high) if end is not None)
    return all(end.__class__ is str and written_fits(end, plain) for end in ends)


def _is_enum(type: types.EnumType) -> bool:
    texts = (type.name, type.doc)
    if not (is_strings(texts) and is_strings(type.variants)):
        return False
    lengths = (0, len(type.variants))
    told = is_strings(type.notes) and len(type.notes) in lengths
    return told and _are_aliases(type.aliases, type.variants) and len(type.aliases) in lengths


def _are_aliases(aliases: Any, names: tuple[str, ...]) -> bool:
    """Whether aliases are texts, and none is the name or the alias of another part."""
    if not is_strings(aliases):
        return False
    taken = set(names)
    others = [alias for name, alias in zip(names, aliases) if alias != name]
    return len(set(others)) == len(others) and not taken & set(others)


def _is_record(type: types.RecordType) -> bool:
    if not is_strings((type.name, type.doc, type.family)) or type.fields.__class__ is not tuple:
        return False
    if not all(number.__class__ is int for number in (type.height, type.bound)):
        return False
    if not all(map(_is_field, type.fields)):
        return False
    names = tuple(field.name for field in type.fields)
    aliases = tuple(field.alias or field.name for field in type.fields)
    return len(set(names)) == len(names) and _are_aliases(aliases, names)


def _is_union(type: types.UnionType) -> bool:
    return type.options.__class__ is tuple and 2 <= len(type.options) <= MOST_MEMBERS


def _is_clear(type: types.UnionType) -> bool:
    """Whether the members of a union can be told apart, or are numbers, as in some settings."""
    return clash(type) is None or all(kind_of(option) == "a number" for option in type.options)


def _is_field(field: Any) -> bool:
    if field.__class__ is not Field or not is_strings((field.name, field.note, field.alias)):
        return False
    return field.has_default.__class__ is bool


def _always(type: Type) -> bool:
    return True


_WELL_MADE: Mapping[type, Callable[[Any], bool]] = {
    types.StrType: lambda t: _length(t.min_len) and _length(t.max_len) and _is_pattern(t.pattern),
    types.IntType: lambda t: _whole(t.low) and _whole(t.high),
    types.FloatType: lambda t: _number(t.low) and _number(t.high),
    types.ListType: lambda t: (
        _length(t.min_len) and _length(t.max_len) and t.unique.__class__ is bool
    ),
    types.WrittenType: lambda t: _is_written(t),
    types.OneOfType: lambda t: t.options.__class__ is str,
    types.LiteralType: lambda t: is_strings(t.values),
    types.MediaType: lambda t: t.kind.__class__ is str and t.kind in ARTICLES,
    types.EnumType: _is_enum,
    types.RecordType: _is_record,
    types.UnionType: _is_union,
    types.NeverType: lambda t: is_strings((t.within,)),
    **dict.fromkeys(
        (
            types.BoolType,
            types.JsonType,
            types.NoneType,
            types.ErrorType,
            types.OptionalType,
            types.DictType,
        ),
        _always,
    ),
}
