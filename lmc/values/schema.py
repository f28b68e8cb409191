"""Convert types to JSON Schema, one to one, with the notes for the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lmc.media.content import ACCEPTED, ARTICLES
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
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    expanded_size,
    told_bounds,
)
from lmc.unions import needed_fields
from lmc.values.aliases import seen_type

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


def exported_schema(types: Mapping[str, Type], root: str | None = None) -> Schema:
    """The schema of declared types as a document of its own, with the names that models see.

    Each record and enum is in `$defs` under its name. `root` is the type of the whole, if any.
    """
    schemas = _Schemas(name_all=True, exported=True)
    found = {name: schemas.of(seen_type(type)) for name, type in types.items()}
    whole: Schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    defs = schemas.named
    if root is not None:
        own = found[root]
        name = str(own.get("$ref", "")).removeprefix(_REF)
        if own == {"$ref": f"{_REF}{name}"} and own not in _refs(list(defs.values())):
            own = defs.pop(name)
        whole |= {"title": root, **own}
    else:
        defs |= {name: schema for name, schema in found.items() if name not in defs}
    return {**whole, "$defs": defs} if defs else whole


def _refs(schema: Any) -> Iterator[Schema]:
    """The references of a schema, alone as they are."""
    if isinstance(schema, list):
        for part in schema:
            yield from _refs(part)
    elif isinstance(schema, dict):
        if "$ref" in schema:
            yield {"$ref": schema["$ref"]}
        yield from _refs([v for k, v in schema.items() if k not in ("default", "enum", "const")])


def _with_definitions(types: Sequence[Type], write: Callable[[_Schemas], Schema]) -> Schema:
    schemas = _Schemas(sum(map(expanded_size, types)) > MOST_PARTS)
    whole = write(schemas)
    return {**whole, "$defs": schemas.named} if schemas.named else whole


_REF = "#/$defs/"
_FORMATS = {"date": "date", "time": "time", "datetime": "date-time"}
_DECIMAL = r"^-?\d+(?:\.\d+)?$"


class _Schemas:
    """Schemas of types. Some records are written once, under a name: all, or those that recur.

    An `exported` schema is for other tools: enums have names too, and bounds of dates are keywords
    in place of words.
    """

    def __init__(self, name_all: bool, *, exported: bool = False) -> None:
        self.name_all, self.exported = name_all, exported
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
            case WrittenType("decimal"):
                return _decimal(type)
            case WrittenType(kind):
                return _some(type="string", format=_FORMATS[kind], **self._ends(type))
            case OneOfType(options):
                return {"type": "string", "description": f"one of the texts in `{options}`"}
            case NoneType():
                return {"type": "null"}
            case NeverType():
                return {"not": {}}
            case MediaType(kind):
                about = f"{ARTICLES[kind]}: a file, or a `data:` URL"
                accepted = ACCEPTED[kind]
                return {"type": "string", "contentMediaType": accepted, "description": about}
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
            case EnumType() if self.exported:
                return self._reference(type, frozenset(), lambda: _labels(type))
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
        return self._reference(type, needed, lambda: self._written(type, needed))

    def _reference(
        self, type: RecordType | EnumType, needed: frozenset[str], write: Callable[[], Schema]
    ) -> Schema:
        key = type.digest, needed
        if key not in self._names:
            name = self._names[key] = self._name(type)
            self.named[name] = {}
            self.named[name] = write()
        return {"$ref": f"{_REF}{self._names[key]}"}

    def _name(self, type: RecordType | EnumType) -> str:
        levels = isinstance(type, RecordType) and type.height != type.bound
        name = f"{type.name}-{type.height}" if levels else type.name  # type: ignore[union-attr]
        return name if name not in self.named else f"{name}-{len(self.named)}"

    def _ends(self, type: WrittenType) -> Schema:
        """The bounds of a date and the like."""
        if self.exported:
            return {"formatMinimum": type.low, "formatMaximum": type.high}
        return {} if (type.low, type.high) == (None, None) else {"description": told_bounds(type)}

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


def _decimal(type: WrittenType) -> Schema:
    """A decimal: a number, or its digits as a text, which every reader of JSON keeps."""
    low, high = (None if end is None else json_number(end) for end in (type.low, type.high))
    number = _some(type="number", minimum=low, maximum=high)
    return {"anyOf": [number, {"type": "string", "pattern": _DECIMAL}]}


def json_number(text: str) -> int | float:
    """The JSON number of a decimal, as near as a float can be."""
    return float(text) if "." in text else int(text)


def _labels(type: EnumType) -> Schema:
    """An enum; with notes, each variant has its own."""
    doc = type.doc or None
    if not any(type.notes):
        return _some(type="string", enum=list(type.variants), description=doc)
    options = [
        _some(const=variant, description=note or None)
        for variant, note in zip(type.variants, type.notes)
    ]
    return _some(description=doc, oneOf=options)


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
