"""Unions: how their members are told apart, and which member a JSON value is of.

Members differ in their kind of JSON value: text, a number, true or false, a list, an object, a file
(`lmc.media`). A date, a time, a datetime and a decimal are texts of different forms, so each may
stand beside the others and beside literals that have another form, but not beside `str`. A decimal
may be written as a number, so it does not stand beside one.
Several records are told apart by a field of literals (a tag), or by a field that one needs and the
other one does not have. A tag is needed, even if it has a default.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from lmc.media.content import is_media_json
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    MediaType,
    NeverType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.written import normal

Kind = Literal[
    "text", "a number", "true or false", "a list", "an object", "a file",
    "a date", "a time", "a datetime", "a decimal",
]  # fmt: skip
MOST_MEMBERS = 64
_KINDS: Mapping[type, Kind] = {
    StrType: "text",
    LiteralType: "text",
    EnumType: "text",
    IntType: "a number",
    FloatType: "a number",
    BoolType: "true or false",
    ListType: "a list",
    RecordType: "an object",
    DictType: "an object",
    MediaType: "a file",
}
_FORMS: Mapping[str, Kind] = {
    "date": "a date",
    "time": "a time",
    "datetime": "a datetime",
    "decimal": "a decimal",
}


def kind_of(type: Type) -> Kind | None:
    """The kind of JSON value that a type has; None if it has several, or none."""
    return _FORMS[type.kind] if isinstance(type, WrittenType) else _KINDS.get(type.__class__)


def is_written(type: WrittenType, value: Any) -> bool:
    """Whether a JSON value is a text of the form of a date and the like."""
    if not isinstance(value, str):
        return False
    try:
        normal(type.kind, value)
    except ValueError:
        return False
    return True


def written_alike(a: Type, b: Type) -> bool:
    """Whether a date and the like may be written as the other type is."""
    if not isinstance(a, WrittenType):
        return isinstance(b, WrittenType) and written_alike(b, a)
    if a.kind == "decimal" and isinstance(b, IntType | FloatType):
        return True
    return isinstance(b, StrType) or any(is_written(a, text) for text in choices(b) or ())


def kind_of_value(value: Any) -> Kind | None:
    """The kind of a JSON value; None for null. That of a date and the like is text."""
    match value:
        case str():
            return "text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a file" if is_media_json(value) else "an object"
    return None


def choices(type: Type) -> tuple[str, ...] | None:
    """The texts that a type allows, if it allows only certain texts."""
    match type:
        case LiteralType(values=texts) | EnumType(variants=texts):
            return texts
    return None


def united(options: Iterable[Type]) -> Type:
    """The type of `A | B | …`: flat, each member once, literals in one, `none` outermost.

    A type without values is left out.
    """
    flat = list(_flat(options))
    failed = next((option for option in flat if isinstance(option, ErrorType)), None)
    if failed is not None:
        return failed
    literals = [o for o in flat if isinstance(o, LiteralType)]
    merged = LiteralType(tuple(dict.fromkeys(v for o in literals for v in o.values)))
    members: dict[Type, None] = {}
    for option in flat:
        if not isinstance(option, NeverType | NoneType):
            members[merged if isinstance(option, LiteralType) else option] = None
    if not members:
        nothing = (o for o in flat if isinstance(o, NeverType))
        return NoneType() if any(isinstance(o, NoneType) for o in flat) else next(nothing)
    item = next(iter(members)) if len(members) == 1 else UnionType(tuple(members))
    return OptionalType(item) if any(isinstance(o, NoneType) for o in flat) else item


def _flat(options: Iterable[Type]) -> Iterable[Type]:
    for option in options:
        match option:
            case UnionType(inner):
                yield from _flat(inner)
            case OptionalType(item):
                yield from _flat((item,))
                yield NoneType()
            case _:
                yield option


def members(type: Type) -> tuple[Type, ...]:
    """The members of a union; a type that is no union is its only one."""
    return type.options if isinstance(type, UnionType) else (type,)


def clash(union: UnionType) -> tuple[Type, Type] | None:
    """The first two members that cannot be told apart; None if all can be."""
    needed = needed_fields(union)
    for (a, a_needs), (b, b_needs) in combinations(zip(union.options, needed), 2):
        kinds = kind_of(a), kind_of(b)
        if None not in kinds and kinds[0] != kinds[1] and not written_alike(a, b):
            continue
        if not (isinstance(a, RecordType) and isinstance(b, RecordType)):
            return a, b
        if _tag(a, b) is None and a_needs <= _names(b) and b_needs <= _names(a):
            return a, b
    return None


def needed_fields(union: UnionType) -> list[frozenset[str]]:
    """For each member the fields that its values must give: those without default, and its tags."""
    return [_required(option) | tags for option, tags in zip(union.options, _tags(union))]


def _required(member: Type) -> frozenset[str]:
    fields = member.fields if isinstance(member, RecordType) else ()
    return frozenset(field.name for field in fields if not field.has_default)


def _tags(union: UnionType) -> list[frozenset[str]]:
    """For each member the fields whose texts tell it from another member."""
    found = [set[str]() for _ in union.options]
    for (a, of_a), (b, of_b) in combinations(zip(union.options, found), 2):
        if isinstance(a, RecordType) and isinstance(b, RecordType):
            tag = _tag(a, b)
            if tag is not None:
                of_a.add(tag)
                of_b.add(tag)
    return [frozenset(names) for names in found]


def _tag(a: RecordType, b: RecordType) -> str | None:
    """The first field of both records whose texts are all different."""
    for field in a.fields:
        other = b.get(field.name)
        mine, others = choices(field.type), choices(other.type) if other else None
        if mine is not None and others is not None and not set(mine) & set(others):
            return field.name
    return None


def _names(record: RecordType) -> set[str]:
    return {field.name for field in record.fields}


def apart(a: Type, b: Type) -> bool:
    """Whether no value with all its fields is of both types, as `belongs` sees it."""
    if isinstance(a, UnionType | OptionalType) or isinstance(b, UnionType | OptionalType):
        return all(apart(one, other) for one in _flat((a,)) for other in _flat((b,)))
    kinds = kind_of(a), kind_of(b)
    if isinstance(a, NoneType) or isinstance(b, NoneType):
        return kinds != (None, None)
    if None in kinds or kinds[0] != kinds[1]:
        return None not in kinds and not written_alike(a, b)
    if isinstance(a, RecordType) and isinstance(b, RecordType):
        return _names(a) != _names(b) or _tag(a, b) is not None
    mine, others = choices(a), choices(b)
    return mine is not None and others is not None and not set(mine) & set(others)


# --- values that are valid ---


def belongs(member: Type, value: Any) -> bool:
    """Whether a value of a union, with all its fields, is of this member or of one of these."""
    match member:
        case UnionType(options):
            return any(belongs(option, value) for option in options)
        case OptionalType(item):
            return value is None or belongs(item, value)
        case RecordType(fields=fields):
            return (
                isinstance(value, dict)
                and len(value) == len(fields)
                and all(field.name in value for field in fields)
                and all(_may_be(field.type, value[field.name]) for field in fields)
            )
        case NoneType():
            return value is None
        case WrittenType():
            return is_written(member, value)
    return kind_of(member) == kind_of_value(value) and _may_be(member, value)


def may_begin(member: Type, value: Any) -> bool:
    """Whether a value of a union that is still written may become one of this member."""
    if isinstance(member, RecordType):
        fields = {field.name: field.type for field in member.fields}
        return isinstance(value, dict) and all(
            name in fields and _may_be(fields[name], part) for name, part in value.items()
        )
    if isinstance(member, WrittenType):
        return is_written(member, value)
    return kind_of(member) == kind_of_value(value)


def _may_be(type: Type, value: Any) -> bool:
    texts = choices(type)
    return texts is None or value in texts


# --- values that may be anything ---


class Members:
    """Finds the member that an unchecked JSON value is meant as."""

    def __init__(self, union: UnionType) -> None:
        self.options = union.options
        self._needed = needed_fields(union)
        self._forms = [i for i, o in enumerate(union.options) if isinstance(o, WrittenType)]
        self._tags = list(map(_texts_of, self.options, _tags(union)))

    def find(self, value: Any) -> int | str:
        """The number of the member, or why there is none, in words that follow its place."""
        kind = kind_of_value(value)
        fitting = [i for i, option in enumerate(self.options) if kind_of(option) == kind]
        if self._forms and kind in ("text", "a number"):
            fitting = self._written(value, fitting)
        if not fitting:
            kinds = dict.fromkeys(str(kind_of(option)) for option in self.options)
            return f"must be {' or '.join(kinds)}"
        several = len(fitting) > 1 and kind == "an object"
        return self._record(value, fitting) if several else fitting[0]

    def _written(self, value: Any, others: list[int]) -> list[int]:
        """The date and the like that a value is, else what else it may be."""
        if not isinstance(value, str):
            return others or [i for i in self._forms if self._form(i).kind == "decimal"]
        found = [i for i in self._forms if is_written(self._form(i), value)]
        only = self._forms if len(self._forms) == 1 else []
        return found or others or only

    def _form(self, place: int) -> WrittenType:
        form = self.options[place]
        assert isinstance(form, WrittenType)
        return form

    def _record(self, value: Mapping[str, Any], records: Sequence[int]) -> int | str:
        left = [i for i in records if self._tags_allow(i, value)]
        if len(left) == 1:
            return left[0]
        known = {name for i in records for name in _names(self._at(i))} & value.keys()
        full = [i for i in left if self._needed[i] <= value.keys()]
        exact = [i for i in full if known <= _names(self._at(i))]
        if len(exact) == 1:
            return exact[0]
        if len(full) > 1:
            names = " and ".join(f"`{self._at(i)}`" for i in full)
            return f"has the fields of {names}; give those of one only"
        return self._undecided(value, left or records, known)

    def _at(self, place: int) -> RecordType:
        record = self.options[place]
        assert isinstance(record, RecordType)
        return record

    def _tags_allow(self, place: int, value: Mapping[str, Any]) -> bool:
        tags = self._tags[place].items()
        return all(value[name] in texts for name, texts in tags if name in value)

    def _undecided(self, value: Mapping[str, Any], left: Sequence[int], known: set[str]) -> str:
        first, *others = (self._tags[i] for i in left)
        shared = [name for name in first if all(name in tags for tags in others)]
        if shared:
            texts = dict.fromkeys(t for i in left for t in self._tags[i][shared[0]])
            return f"must have a `{shared[0]}` that is one of: {', '.join(texts)}"
        return f"is none of its types: {'; '.join(self._why_not(i, value, known) for i in left)}"

    def _why_not(self, place: int, value: Mapping[str, Any], known: set[str]) -> str:
        """What speaks against a record: fields that it needs, or some that it does not have."""
        record = self._at(place)
        lacking = [f.name for f in record.fields if f.name in self._needed[place] - value.keys()]
        if lacking:
            return f"`{record}` needs {', '.join(f'`{name}`' for name in lacking)}"
        return f"`{record}` has no {', '.join(f'`{n}`' for n in sorted(known - _names(record)))}"


def _texts_of(member: Type, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The texts of some fields of a record."""
    fields = member.fields if isinstance(member, RecordType) else ()
    return {f.name: choices(f.type) or () for f in fields if f.name in names}
