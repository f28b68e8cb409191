"""The types of a program as Python types: frozen pydantic models and string enums."""

from __future__ import annotations

import warnings
from enum import StrEnum
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, JsonValue, StrictBool, TypeAdapter, create_model
from pydantic import Field as ModelField

from lmc.media.content import Media
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    MediaType,
    NoneType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
)
from lmc.values.by_type import once_by_type
from lmc.values.names import field_names, variant_names


class Record(BaseModel):
    """The base class of a program's records: frozen, equal by content.

    Dumps have the names of the program, and not those of the attributes.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        validate_by_name=True,
        serialize_by_alias=True,
    )


@once_by_type
def python_type(type: Type) -> Any:
    """The Python type of a type: a class for records and enums, else an annotation."""
    match type:
        case RecordType():
            return _model(type)
        case EnumType():
            return _enum(type)
        case StrType(low, high, None):
            return Annotated[str, ModelField(min_length=low, max_length=high)]
        case StrType():  # `validate` has checked the pattern
            return str
        case IntType(low, high):
            return Annotated[int, ModelField(ge=low, le=high)]
        case FloatType(low, high):
            return Annotated[float, ModelField(ge=low, le=high)]
        case BoolType():
            return StrictBool
        case JsonType():
            return JsonValue
        case NoneType():
            return None
        case MediaType():
            return Media
        case OptionalType(item):
            return python_type(item) | None
        case ListType(item, low, high):
            bounds = ModelField(min_length=low, max_length=high)
            return Annotated[list[python_type(item)], bounds]  # type: ignore[misc]
        case DictType(item):
            return dict[str, python_type(item)]  # type: ignore[misc]
        case LiteralType(values):
            return Literal[values]
        case UnionType(options):
            return Union[tuple(python_type(o) for o in options)]  # noqa: UP007
        case _:
            return Any


@once_by_type
def adapter(type: Type) -> TypeAdapter[Any]:
    """The adapter that converts JSON values of a type to Python objects."""
    return TypeAdapter(python_type(type))


def _model(type: RecordType) -> Any:
    names = field_names(type)
    fields: dict[str, Any] = {names[f.name]: _member(f, names[f.name]) for f in type.fields}
    made = record_class(class_name(type), Record, fields, type.doc)

    def reduced(record: Record) -> tuple[Any, ...]:
        values = record.__dict__
        return _again, (type, {f.name: values[names[f.name]] for f in type.fields})

    made.__reduce__ = reduced
    return made


def record_class(name: str, base: type[BaseModel], fields: dict[str, Any], doc: str = "") -> Any:
    """A class with these fields: types and defaults by attribute."""
    with warnings.catch_warnings():  # a field may be called `json` or `copy`
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        return create_model(name, __base__=base, __doc__=doc or None, **fields)


def _enum(type: EnumType) -> Any:
    name, members = class_name(type), {m: v for v, m in variant_names(type).items()}
    build: Any = StrEnum
    made = build(name, members)
    # An enum has its own `__reduce_ex__`, which looks for the class in its module.
    made.__reduce_ex__ = lambda variant, _: (_again, (type, variant.value))
    return made


def _again(type: Type, value: Any) -> Any:
    """A pickled record or variant. Its class is in no module, so that the type makes it again."""
    return adapter(type).validate_python(value)


def _member(field: Field, name: str) -> tuple[Any, Any]:
    options: dict[str, Any] = {"description": field.note or None}
    if name != field.name:
        options["alias"] = field.name
    if field.has_default:
        default = field.default
        options["default_factory"] = lambda: adapter(field.type).validate_python(default)
    return python_type(field.type), ModelField(**options)


def class_name(type: RecordType | EnumType) -> str:
    """The name of a record's or enum's class. One of another file lacks the name of the file."""
    return type.name.rpartition(".")[2]
