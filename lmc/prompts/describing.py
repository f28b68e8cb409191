"""Describe types for a model: `integer from 0 to 10`, `one of: yes, no`."""

from __future__ import annotations

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
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
)


def describe_type(type: Type) -> str:
    """Describe a type, with the notes of its fields and the docs of its records and enums."""
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
        case EnumType() | LiteralType():
            return "one of: " + ", ".join(_choices(type)) + _doc(type)
        case MediaType(kind):
            return ARTICLES[kind]
        case OptionalType(item):
            return describe_type(item) + ", or null"
        case ListType(item, low, high):
            return f"JSON list{bounds(low, high, 'items')} of {describe_type(item)}"
        case DictType(item):
            return f"JSON object from text to {describe_type(item)}"
        case RecordType():
            return f"JSON object {{{', '.join(map(_member, type.fields))}}}" + _doc(type)
        case UnionType(options) if any(map(_tells, options)):
            return " or ".join(map(describe_type, options))
        case _:
            return "JSON value"


def _member(field: Field) -> str:
    note = f" ({field.note})" if field.note else ""
    return f'"{field.name}": {describe_type(field.type)}{note}'


def _doc(type: Type) -> str:
    doc = " ".join(type.doc.split()) if isinstance(type, EnumType | RecordType) else ""
    return f" ({doc})" if doc else ""


def _choices(type: EnumType | LiteralType) -> list[str]:
    if isinstance(type, LiteralType):
        return list(type.values)
    notes = type.notes or ("",) * len(type.variants)
    return [f"{v} ({n})" if n else v for v, n in zip(type.variants, notes)]


def _tells(type: Type) -> bool:
    """Whether a type has notes or docs, at any depth."""
    match type:
        case EnumType():
            return bool(type.doc) or any(type.notes)
        case RecordType():
            return bool(type.doc) or any(f.note or _tells(f.type) for f in type.fields)
        case OptionalType(item) | ListType(item) | DictType(item):
            return _tells(item)
        case UnionType(options):
            return any(map(_tells, options))
        case _:
            return False


def told_doc(type: Type) -> str:
    """The doc of a record in parentheses, to follow a request for its fields; else empty."""
    return _doc(type) if isinstance(type, RecordType) else ""
