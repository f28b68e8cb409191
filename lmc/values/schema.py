"""Convert types to JSON Schema, one to one, with the notes for the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.media.content import ARTICLES
from lmc.types import (
    MOST_PARTS,
    BoolType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    MediaType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    expanded_size,
)

Schema = dict[str, Any]


Named = dict[str, Schema]  # schemas of records by their names in `$defs`


def json_schema(type: Type) -> Schema:
    """The JSON Schema (2020-12) of a type's values. Records do not allow other fields.

    The schema of a large type has each record once, in `$defs`.
    """
    if expanded_size(type) <= MOST_PARTS:
        return _schema(type, None)
    named: Named = {}
    whole = _schema(type, named)
    return {**whole, "$defs": named}


def _schema(type: Type, named: Named | None) -> Schema:
    match type:
        case StrType(low, high, pattern):
            whole = None if pattern is None else f"^(?:{pattern})$"
            return _some(type="string", minLength=low, maxLength=high, pattern=whole)
        case IntType(low, high):
            return _some(type="integer", minimum=low, maximum=high)
        case FloatType(low, high):
            return _some(type="number", minimum=low, maximum=high)
        case BoolType():
            return {"type": "boolean"}
        case NoneType():
            return {"type": "null"}
        case MediaType(kind):
            about = f"{ARTICLES[kind]}: a file, or a `data:` URL"
            return {"type": "string", "description": about}
        case OptionalType(item):
            return {"anyOf": [_schema(item, named), {"type": "null"}]}
        case ListType(item, low, high):
            return _some(type="array", items=_schema(item, named), minItems=low, maxItems=high)
        case DictType(item):
            return {"type": "object", "additionalProperties": _schema(item, named)}
        case EnumType():
            return _some(type="string", enum=list(type.variants), description=_enum_notes(type))
        case LiteralType(values):
            return {"type": "string", "enum": list(values)}
        case RecordType():
            return _record(type, named) if named is None else _reference(type, named)
        case UnionType(options):
            return {"anyOf": [_schema(o, named) for o in options]}
        case _:
            return {}


def _reference(type: RecordType, named: Named) -> Schema:
    name = f"{type.name}-{type.digest[:8]}"
    if name not in named:
        named[name] = {}
        named[name] = _record(type, named)
    return {"$ref": f"#/$defs/{name}"}


def _record(type: RecordType, named: Named | None) -> Schema:
    schema = object_schema({f.name: _member(f, named) for f in type.fields}, _needed(type))
    return {"description": type.doc, **schema} if type.doc else schema


def object_schema(properties: Mapping[str, Schema], required: list[str]) -> Schema:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": required,
        "additionalProperties": False,
    }


def described(schema: Schema, note: str) -> Schema:
    """A schema with a note for the model, before its own description."""
    own = schema.get("description")
    return schema | {"description": f"{note} ({own})" if own else note} if note else schema


def _needed(type: RecordType) -> list[str]:
    return [f.name for f in type.fields if not f.has_default]


def _member(field: Field, named: Named | None) -> Schema:
    schema = described(_schema(field.type, named), field.note)
    return schema | {"default": field.default} if field.has_default else schema


def _enum_notes(type: EnumType) -> str | None:
    notes = "; ".join(f"{v}: {n}" for v, n in zip(type.variants, type.notes) if n)
    return ". ".join(filter(None, (type.doc, notes))) or None


def _some(**keywords: Any) -> Schema:
    return {k: v for k, v in keywords.items() if v is not None}
