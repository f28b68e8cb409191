"""Convert types to JSON Schema, one to one, with the notes for the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    expanded_size,
    parts,
    told_bounds,
)
from lmc.values.aliases import seen_type

Schema = dict[str, Any]


@dataclass(slots=True)
class Named:
    """The schemas in `$defs` by name: of records, and with `enums` of those too."""

    schemas: dict[str, Schema] = field(default_factory=dict)
    enums: bool = False


def json_schema(type: Type) -> Schema:
    """The JSON Schema (2020-12) of a type's values. Records do not allow other fields.

    The schema of a large type has each record once, in `$defs`.
    """
    if expanded_size(type) <= MOST_PARTS:
        return _schema(type, None)
    named = Named()
    whole = _schema(type, named)
    return {**whole, "$defs": named.schemas}


def exported_schema(types: Mapping[str, Type], root: str | None = None) -> Schema:
    """The schema of declared types as a document of its own, with the names that models see.

    Each record and enum is in `$defs` under its name. `root` is the type of the whole, if any.
    """
    named = Named(enums=True)
    found = {name: _schema(seen_type(type), named) for name, type in types.items()}
    renamed = _short_names({name: type.name for name, type in _declared(types)})
    defs = {renamed[name]: _with_refs(schema, renamed) for name, schema in named.schemas.items()}
    whole: Schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    if root is not None:
        own = _with_refs(found[root], renamed)
        name = str(own.get("$ref", "")).removeprefix(_REF)
        if own == {"$ref": f"{_REF}{name}"} and own not in _refs(list(defs.values())):
            own = defs.pop(name)
        whole |= {"title": root, **own}
    else:
        others = {n: _with_refs(s, renamed) for n, s in found.items() if n not in defs}
        defs |= others
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


def _declared(types: Mapping[str, Type]) -> Iterator[tuple[str, RecordType | EnumType]]:
    for type in types.values():
        for part in parts(seen_type(type)):
            if isinstance(part, RecordType | EnumType):
                yield _name_of(part), part


def _short_names(names: Mapping[str, str]) -> dict[str, str]:
    """Names without their digests, where that is the name of only one."""
    counted = Counter(names.values())
    return {long: short if counted[short] == 1 else long for long, short in names.items()}


def _with_refs(schema: Any, names: Mapping[str, str]) -> Any:
    """A schema whose references have other names."""
    if isinstance(schema, list):
        return [_with_refs(part, names) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _REF + names[part.removeprefix(_REF)]
        if key == "$ref" and isinstance(part, str)
        else part
        if key in ("default", "enum", "const")
        else _with_refs(part, names)
        for key, part in schema.items()
    }


_REF = "#/$defs/"


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
        case WrittenType("decimal"):
            return _decimal(type)
        case WrittenType(kind):
            return _some(type="string", format=_FORMATS[kind], **_ends(type, named))
        case OneOfType(options):
            return {"type": "string", "description": f"one of the texts in `{options}`"}
        case NoneType():
            return {"type": "null"}
        case OptionalType(item):
            return {"anyOf": [_schema(item, named), {"type": "null"}]}
        case ListType(item, low, high):
            return _some(type="array", items=_schema(item, named), minItems=low, maxItems=high)
        case DictType(item):
            return {"type": "object", "additionalProperties": _schema(item, named)}
        case EnumType() if named is not None and named.enums:
            return _reference(type, named)
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


_FORMATS = {"date": "date", "time": "time", "datetime": "date-time"}
_DECIMAL = r"^-?\d+(?:\.\d+)?$"


def _ends(type: WrittenType, named: Named | None) -> Schema:
    """The bounds of a date and the like, in words for a model, else as keywords of JSON Schema."""
    if named is not None and named.enums:
        return {"formatMinimum": type.low, "formatMaximum": type.high}
    return {} if (type.low, type.high) == (None, None) else {"description": told_bounds(type)}


def _decimal(type: WrittenType) -> Schema:
    """A decimal: a number, or its digits as a text, which every reader of JSON keeps."""
    low, high = (None if end is None else json_number(end) for end in (type.low, type.high))
    number = _some(type="number", minimum=low, maximum=high)
    return {"anyOf": [number, {"type": "string", "pattern": _DECIMAL}]}


def json_number(text: str) -> int | float:
    """The JSON number of a decimal, as near as a float can be."""
    return float(text) if "." in text else int(text)


def _reference(type: RecordType | EnumType, named: Named) -> Schema:
    name = _name_of(type)
    if name not in named.schemas:
        named.schemas[name] = {}
        made = _record(type, named) if isinstance(type, RecordType) else _labels(type)
        named.schemas[name] = made
    return {"$ref": f"{_REF}{name}"}


def _name_of(type: RecordType | EnumType) -> str:
    return f"{type.name}-{type.digest[:8]}"


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
