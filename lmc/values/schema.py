"""Convert types to JSON Schema, one to one, with the notes for the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    NeverType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    expanded_size,
)
from lmc.unions import needed_fields

Schema = dict[str, Any]
Part = tuple[Type, str]  # a type and its note


def json_schema(type: Type) -> Schema:
    """The JSON Schema (2020-12) of a type's values. Records do not allow other fields.

    The schema of a large type has each record once, in `$defs`, and that of a recursive record each
    of its levels.
    """
    return _with_definitions([type], lambda schemas: schemas.of(type))


def fields_schema(fields: Mapping[str, Part], required: list[str]) -> Schema:
    """The schema of an object with these fields and no others."""
    types = [type for type, _ in fields.values()]
    return _with_definitions(
        types,
        lambda schemas: object_schema(
            {name: described(schemas.of(type), note) for name, (type, note) in fields.items()},
            required,
        ),
    )


def _with_definitions(types: Sequence[Type], write: Callable[[_Schemas], Schema]) -> Schema:
    schemas = _Schemas(sum(map(expanded_size, types)) > MOST_PARTS)
    whole = write(schemas)
    return {**whole, "$defs": schemas.named} if schemas.named else whole


class _Schemas:
    """Schemas of types. Some records are written once, under a name: all, or those that recur."""

    def __init__(self, name_all: bool) -> None:
        self.name_all = name_all
        self.named: dict[str, Schema] = {}
        self._names: dict[tuple[str, frozenset[str]], str] = {}  # by digest and needed fields

    def of(self, type: Type) -> Schema:
        """The schema of a type's values."""
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
            case NeverType():
                return {"not": {}}
            case MediaType(kind):
                about = f"{ARTICLES[kind]}: a file, or a `data:` URL"
                return {"type": "string", "description": about}
            case OptionalType(UnionType(options) as union):
                return {"anyOf": [*self.of(union)["anyOf"], {"type": "null"}]}
            case OptionalType(item):
                return {"anyOf": [self.of(item), {"type": "null"}]}
            case ListType():
                return self._list(type)
            case DictType(NeverType()):
                return {"type": "object", "additionalProperties": False}
            case DictType(item):
                return {"type": "object", "additionalProperties": self.of(item)}
            case EnumType():
                notes = _enum_notes(type)
                return _some(type="string", enum=list(type.variants), description=notes)
            case LiteralType(values):
                return {"type": "string", "enum": list(values)}
            case RecordType():
                return self._record(type, _needed(type))
            case UnionType(options):
                needed = needed_fields(type)
                return {"anyOf": [self._member(o, names) for o, names in zip(options, needed)]}
            case _:
                return {}

    def _list(self, type: ListType) -> Schema:
        items = None if isinstance(type.item, NeverType) else self.of(type.item)
        return _some(
            type="array",
            items=items,
            minItems=type.min_len,
            maxItems=type.max_len,
            uniqueItems=type.unique or None,
        )

    def _member(self, option: Type, needed: frozenset[str]) -> Schema:
        """The schema of a member of a union, which needs its tags even if they have a default."""
        return self._record(option, needed) if isinstance(option, RecordType) else self.of(option)

    def _record(self, type: RecordType, needed: frozenset[str]) -> Schema:
        if not (self.name_all or type.family):
            return self._written(type, needed)
        key = type.digest, needed
        if key not in self._names:
            name = self._names[key] = self._name(type)
            self.named[name] = {}
            self.named[name] = self._written(type, needed)
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _name(self, type: RecordType) -> str:
        name = type.name if type.height == type.bound else f"{type.name}-{type.height}"
        return name if name not in self.named else f"{name}-{len(self.named)}"

    def _written(self, type: RecordType, needed: frozenset[str]) -> Schema:
        properties = {f.name: self._field(f) for f in type.fields}
        schema = object_schema(properties, [f.name for f in type.fields if f.name in needed])
        return {"description": type.doc, **schema} if type.doc else schema

    def _field(self, field: Field) -> Schema:
        schema = described(self.of(field.type), field.note)
        return _beside(schema) | {"default": field.default} if field.has_default else schema


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
    schema = _beside(schema) if note else schema
    return schema | {"description": f"{note} ({own})" if own else note} if note else schema


def _beside(schema: Schema) -> Schema:
    """A schema that other keywords may stand beside: some servers refuse them beside `$ref`."""
    return {"anyOf": [schema]} if "$ref" in schema else schema


def _needed(type: RecordType) -> frozenset[str]:
    return frozenset(f.name for f in type.fields if not f.has_default)


def _enum_notes(type: EnumType) -> str | None:
    notes = "; ".join(f"{v}: {n}" for v, n in zip(type.variants, type.notes) if n)
    return ". ".join(filter(None, (type.doc, notes))) or None


def _some(**keywords: Any) -> Schema:
    return {k: v for k, v in keywords.items() if v is not None}
