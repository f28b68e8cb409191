"""Describe types for a model: `integer from 0 to 10`, `one of: yes, no`."""

from __future__ import annotations

import json
from functools import partial

from lmc.media.content import ARTICLES
from lmc.prompts.words import bounds
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
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
    told_bounds,
)
from lmc.unions import kind_of

Families = frozenset[str]  # of the recursive records that a type stands in


def describe_type(type: Type, inside: Families = frozenset()) -> str:
    """Describe a type, with the notes of its fields and the docs of its records and enums.

    A recursive record is named, and inside of itself its name stands for it.
    """
    inner = partial(describe_type, inside=inside)
    match type:
        case StrType(min_len, max_len, pattern):
            words = "text" + bounds(min_len, max_len, "characters")
            return words + (f" matching {pattern}" if pattern else "")
        case IntType(low, high):
            return "integer" + bounds(low, high)
        case FloatType(low, high):
            return "number" + bounds(low, high)
        case BoolType():
            return "true or false"
        case LiteralType((only,)):
            return json.dumps(only, ensure_ascii=False)
        case WrittenType(kind):
            return f"{told_bounds(type)} ({_FORMS[kind]})"
        case OneOfType(options):
            return f"one of the texts in {options}"
        case EnumType() | LiteralType():
            return "one of: " + ", ".join(_choices(type)) + _doc(type)
        case MediaType(kind):
            return ARTICLES[kind]
        case OptionalType(item):
            return inner(item) + ", or null"
        case ListType(NeverType()):
            return "empty JSON list"
        case ListType(item, low, high, unique):
            repeats = " without repetitions" if unique else ""
            return f"JSON list{repeats}{bounds(low, high, 'items')} of {inner(item)}"
        case DictType(NeverType()):
            return "empty JSON object"
        case DictType(item):
            return f"JSON object from text to {inner(item)}"
        case RecordType(family=family) if family and family in inside:
            return type.name
        case RecordType():
            return _record(type, inside)
        case UnionType(options):
            return "either " + ", or ".join(_option(option, inside) for option in options)
        case NoneType():
            return "null"
        case _:
            return "JSON value"


_FORMS = {
    "date": "as YYYY-MM-DD",
    "time": "as HH:MM:SS, in 24 hours",
    "datetime": "as YYYY-MM-DDTHH:MM:SS",
    "decimal": "digits and a point, without a currency",
}


def _record(type: RecordType, inside: Families) -> str:
    inside = inside | {type.family} if type.family else inside
    members = ", ".join(_member(field, inside) for field in type.fields)
    if not type.family:
        return f"JSON object {{{members}}}" + _doc(type)
    return f"JSON object {type.name} {{{members}}}{_doc(type)} nested at most {type.height} deep"


def _option(type: Type, inside: Families) -> str:
    """A member of a union. Text has quotes there, to be told from what else it may be."""
    words = describe_type(type, inside)
    quoted = kind_of(type) == "text" or isinstance(type, WrittenType)
    if not quoted or words.startswith('"'):
        return words
    return f"{words} (in quotes)"


def _member(field: Field, inside: Families) -> str:
    note = f" ({field.note})" if field.note else ""
    return f'"{field.name}": {describe_type(field.type, inside)}{note}'


def _doc(type: Type) -> str:
    doc = " ".join(type.doc.split()) if isinstance(type, EnumType | RecordType) else ""
    return f" ({doc})" if doc else ""


def _choices(type: EnumType | LiteralType) -> list[str]:
    if isinstance(type, LiteralType):
        return list(type.values)
    notes = type.notes or ("",) * len(type.variants)
    return [f"{v} ({n})" if n else v for v, n in zip(type.variants, notes)]


def told_doc(type: Type) -> str:
    """The doc of a record in parentheses, to follow a request for its fields; else empty."""
    return _doc(type) if isinstance(type, RecordType) else ""
