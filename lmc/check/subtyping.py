"""Relations between types: subtype, width, join, and types without their refinements."""

from __future__ import annotations

from functools import partial
from typing import Any

from lmc.patterns import whole_pattern
from lmc.types import (
    FLOAT,
    INT,
    MEDIA,
    NONE,
    STR,
    DictType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    MediaType,
    NeverType,
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    parts,
)
from lmc.written import KINDS, Kind, normal, order

Bound = float | None
MOST_COUNT = 2**31 - 1  # of items that a type names
Known = dict[tuple[str, str], bool]  # by the keys of two records: a type may mention one often


def is_subtype(a: Type, b: Type, known: Known | None = None) -> bool:
    """Whether each value of `a` is a value of `b`. The one conversion is `int <: float`.

    `known` keeps what was found of pairs of records, for many questions about the same ones.
    """
    return _is_subtype(a, b, {} if known is None else known)


def _is_subtype(a: Type, b: Type, known: Known) -> bool:
    if a is b or isinstance(a, ErrorType | NeverType) or isinstance(b, ErrorType | JsonType):
        return True
    if isinstance(a, UnionType):
        return all(_is_subtype(option, b, known) for option in a.options)
    if isinstance(b, OptionalType):
        return isinstance(a, NoneType) or _is_subtype(required(a), b.item, known)
    if isinstance(b, UnionType):
        return any(_is_subtype(a, option, known) for option in b.options)
    return _is_plain_subtype(a, b, known)


def _is_plain_subtype(a: Type, b: Type, known: Known) -> bool:
    match a, b:
        case LiteralType(), LiteralType():
            return set(a.values) <= set(b.values)
        case LiteralType(), StrType():
            return all(text_fits(value, b) for value in a.values)
        case StrType(), StrType():
            inside = _within(a.min_len, a.max_len, b.min_len, b.max_len, 0)
            return inside and b.pattern in (None, a.pattern)
        case IntType(), IntType() | FloatType():
            return _within(a.low, a.high, b.low, b.high)
        case FloatType(), FloatType():
            return _within(a.low, a.high, b.low, b.high)
        case MediaType(), MediaType():
            return b.kind in (a.kind, "media")
        case WrittenType(), WrittenType():
            return a.kind == b.kind and _within(*_ends(a), *_ends(b))
        case OneOfType(), StrType():
            return b == STR
        case ListType(), ListType():
            return _is_sublist(a, b, known)
        case DictType(), DictType():
            return _is_subtype(a.item, b.item, known)
        case RecordType(), RecordType():
            pair = a.key, b.key
            if pair not in known:
                known[pair] = a == b or _has_fields(a, b, known)
            return known[pair]
    return a == b


def _has_fields(record: RecordType, wanted: RecordType, known: Known) -> bool:
    own = {field.name: field.type for field in record.fields}
    return all(
        field.name in own and _is_subtype(own[field.name], field.type, known)
        for field in wanted.fields
    )


def _is_sublist(a: ListType, b: ListType, known: Known) -> bool:
    if not _within(a.min_len, a.max_len, b.min_len, b.max_len, 0):
        return False
    if a.max_len == 0:
        return True
    if not _is_subtype(a.item, b.item, known):
        return False
    # Items that lose fields may become equal.
    return not b.unique or a.max_len == 1 or (a.unique and not narrows(a.item, b.item))


def narrows(actual: Type, wanted: Type, known: tuple[Known, Known] | None = None) -> bool:
    """Whether values of a subtype lose fields where the wanted type is asked for.

    `known` keeps what was found of pairs of records: whether they narrow, and whether they fit.
    """
    return actual is not wanted and _narrows(actual, wanted, known or ({}, {}))


def _narrows(actual: Type, wanted: Type, known: tuple[Known, Known]) -> bool:
    if actual is wanted or isinstance(wanted, JsonType) or isinstance(actual, NoneType):
        return False
    if isinstance(actual, OptionalType) or isinstance(wanted, OptionalType):
        return _narrows(required(actual), required(wanted), known)
    match actual, wanted:
        case UnionType(options), _:
            return any(_narrows(option, wanted, known) for option in options)
        case _, UnionType(options):
            fitting = (option for option in options if is_subtype(actual, option, known[1]))
            return all(_narrows(actual, option, known) for option in fitting)
        case (ListType(item), ListType(other)) | (DictType(item), DictType(other)):
            return _narrows(item, other, known)
        case RecordType(), RecordType():
            key = actual.key, wanted.key
            if key not in known[0]:
                known[0][key] = _narrows_record(actual, wanted, known)
            return known[0][key]
    return False


def _narrows_record(actual: RecordType, wanted: RecordType, known: tuple[Known, Known]) -> bool:
    if [f.name for f in actual.fields] != [f.name for f in wanted.fields]:
        return True
    pairs = zip(actual.fields, wanted.fields)
    return any(_narrows(own.type, other.type, known) for own, other in pairs)


def text_fits(value: str, type: StrType) -> bool:
    """Whether a string meets the length and pattern of a `str(…)`."""
    if not _within(len(value), len(value), type.min_len, type.max_len):
        return False
    return type.pattern is None or whole_pattern(type.pattern).matches(value)


def written_fits(value: str, type: WrittenType) -> bool:
    """Whether a text is the one of a date and the like, within the bounds of its type."""
    try:
        if normal(type.kind, value) != value:
            return False
    except ValueError:
        return False
    low, high = _ends(type)
    place = order(type.kind, value)
    return (low is None or low <= place) and (high is None or place <= high)


def required(type: Type) -> Type:
    """`T` of `T?`, else the type itself."""
    return type.item if isinstance(type, OptionalType) else type


def optional(type: Type) -> Type:
    """`T?`, which never nests."""
    if isinstance(type, OptionalType | NoneType | ErrorType | JsonType):
        return type
    return NONE if isinstance(type, NeverType) else OptionalType(type)


def join(a: Type, b: Type) -> Type | None:
    """The least common supertype of both, or None if there is no useful one."""
    if isinstance(a, ErrorType) or isinstance(b, ErrorType):
        return a if isinstance(a, ErrorType) else b
    if is_subtype(a, b):
        return b
    if is_subtype(b, a):
        return a
    if isinstance(a, NoneType | OptionalType) or isinstance(b, NoneType | OptionalType):
        item = _join_items(a, b)
        return None if item is None else optional(item)
    return _join_plain(a, b)


def _join_items(a: Type, b: Type) -> Type | None:
    if isinstance(a, NoneType):
        return required(b)
    return required(a) if isinstance(b, NoneType) else join(required(a), required(b))


def _join_plain(a: Type, b: Type) -> Type | None:
    match a, b:
        case LiteralType(), LiteralType():
            return LiteralType(tuple(dict.fromkeys(a.values + b.values)))
        case LiteralType() | StrType(), LiteralType() | StrType():
            return STR
        case IntType(), IntType():
            return IntType(*_hull(a.low, a.high, b.low, b.high))  # type: ignore[arg-type]
        case IntType() | FloatType(), IntType() | FloatType():
            return FloatType(*_hull(a.low, a.high, b.low, b.high))
        case MediaType(), MediaType():
            return MEDIA
        case WrittenType(), WrittenType() if a.kind == b.kind:
            return _written_hull(a, b)
        case ListType(), ListType():
            item = join(a.item, b.item)
            lengths = _hull(a.min_len, a.max_len, b.min_len, b.max_len)
            unique = a.unique and b.unique and not narrows(a.item, item or a.item)
            unique = unique and not narrows(b.item, item or b.item)
            return None if item is None else ListType(item, *lengths, unique)  # type: ignore[arg-type]
        case DictType(), DictType():
            item = join(a.item, b.item)
            return None if item is None else DictType(item)
    return None


def forget(type: Type) -> Type:
    """The type without refinements, also in its items."""
    match type:
        case StrType():
            return STR
        case IntType():
            return INT
        case FloatType():
            return FLOAT
        case WrittenType():
            return WrittenType(type.kind)
        case ListType():
            return ListType(forget(type.item))
        case DictType():
            return DictType(forget(type.item))
        case OptionalType():
            return OptionalType(forget(type.item))
        case UnionType():
            return UnionType(tuple(forget(option) for option in type.options))
    return type


def widen(type: Type) -> Type:
    """The type of a variable that starts with such a value: no refinements, no literals."""
    match type:
        case LiteralType():
            return STR
        case ListType():
            return ListType(widen(type.item))
        case OptionalType():
            return OptionalType(widen(type.item))
    return forget(type)


def added_lengths(a: ListType, b: ListType) -> tuple[int | None, int | None]:
    """How many items one list after another has at least and at most."""
    least = (a.min_len or 0) + (b.min_len or 0)
    most = None if a.max_len is None or b.max_len is None else a.max_len + b.max_len
    return _countable(least) or None, _countable(most)


def _countable(length: int | None) -> int | None:
    return None if length is None or length > MOST_COUNT else length


def disjoint(a: Type, b: Type) -> bool:
    """Whether no number, string or list has both types. Always False for other types."""
    match a, b:
        case IntType() | FloatType(), IntType() | FloatType():
            return _apart(a.high, b.low) or _apart(b.high, a.low)
        case WrittenType(), WrittenType() if a.kind == b.kind:
            (low, high), (other_low, other_high) = _ends(a), _ends(b)
            return _apart(high, other_low) or _apart(other_high, low)
        case ListType(), ListType():
            return _apart(a.max_len, b.min_len) or _apart(b.max_len, a.min_len)
        case LiteralType(), StrType():
            return not any(text_fits(value, b) for value in a.values)
        case LiteralType(), LiteralType():
            return not set(a.values) & set(b.values)
        case OptionalType(), _:
            return disjoint(a.item, b)
        case _, OptionalType():
            return disjoint(a, b.item)
    return False


def comparable(a: Type, b: Type) -> bool:
    """Whether `a == b` can be true: without refinements, the types have values in common."""
    if isinstance(a, NoneType) or isinstance(b, NoneType):
        return all(isinstance(t, NoneType | OptionalType | JsonType | ErrorType) for t in (a, b))
    a, b = required(a), required(b)
    if isinstance(a, LiteralType) and isinstance(b, LiteralType):
        return not disjoint(a, b)
    if isinstance(a, ListType) and isinstance(b, ListType):
        return (
            isinstance(a.item, NeverType)
            or isinstance(b.item, NeverType)
            or comparable(a.item, b.item)
        )
    return isinstance(a, JsonType) or join(forget(a), forget(b)) is not None


def has_equality(type: Type) -> bool:
    """Whether equal values of the type can occur again, so that a vote can count them."""
    return not any(isinstance(part, JsonType) for part in parts(type))


def is_number(type: Type) -> bool:
    """Whether the type is an int or a float."""
    return isinstance(type, IntType | FloatType | ErrorType)


def is_written(type: Type, *kinds: Kind) -> bool:
    """Whether the type is a date, time, datetime or decimal, or of one of these kinds only."""
    return isinstance(type, WrittenType) and type.kind in (kinds or KINDS)


def is_text(type: Type) -> bool:
    """Whether the type is a string."""
    return isinstance(type, StrType | LiteralType | ErrorType)


def is_key(type: Type) -> bool:
    """Whether values of the type can name the records of a store."""
    return is_text(type) or isinstance(type, IntType | EnumType)


def show(type: Type) -> str:
    """The type as shown in messages: a constant as its value, a list literal with its length."""
    match type:
        case IntType(low, high) | FloatType(low, high) if low is not None and low == high:
            return str(low)
        case WrittenType(kind, low, high) if low is not None and low == high:
            return f'{kind}("{low}")'
        case ListType(NeverType()):
            return "[]"
        case ListType(item, low, high) if low is not None and low == high:
            return f"list[{show(widen(item))}] of {low} item{'s' if low != 1 else ''}"
    return str(type)


def _ends(type: WrittenType) -> tuple[Any, Any]:
    """What orders the bounds of a date and the like."""
    low, high = (None if e is None else order(type.kind, e) for e in (type.low, type.high))
    return low, high


def _written_hull(a: WrittenType, b: WrittenType) -> WrittenType:
    lows, highs = (a.low, b.low), (a.high, b.high)
    by = partial(order, a.kind)
    low = None if None in lows else min(lows, key=by)
    high = None if None in highs else max(highs, key=by)
    return WrittenType(a.kind, low, high)


def _within(low: Any, high: Any, outer_low: Any, outer_high: Any, floor: Bound = None) -> bool:
    low = floor if low is None else low
    return (outer_low is None or (low is not None and low >= outer_low)) and (
        outer_high is None or (high is not None and high <= outer_high)
    )


def _hull(low: Bound, high: Bound, other_low: Bound, other_high: Bound) -> tuple[Bound, Bound]:
    return (
        None if low is None or other_low is None else min(low, other_low),
        None if high is None or other_high is None else max(high, other_high),
    )


def _apart(high: Any, low: Any) -> bool:
    return high is not None and low is not None and high < low
