"""The types of a program as Python types: frozen pydantic models and string enums."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, ForwardRef, Literal, Union

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    JsonValue,
    StrictBool,
    Tag,
    TypeAdapter,
    create_model,
)
from pydantic import Field as ModelField

from lmc.frozen import frozen_identity
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
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.unions import Members, belongs
from lmc.values.by_type import once_by_type
from lmc.values.names import field_names, variant_names
from lmc.written import CLASSES, Kind, text_of, value_of


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

    def _repr_html_(self) -> str:
        """The fields as a table, for notebooks."""
        from lmc import html

        return html.value(self.model_dump(mode="json", by_alias=True))


@frozen_identity
class Circle:
    """The classes of recursive records that contain one another, while they are made.

    All levels of a record have one class: that of the highest level. A record inside refers to it
    by a name, which `space` resolves.
    """

    whole: RecordType
    space: dict[str, Any]  # classes by the names in annotations
    names: dict[str, str]  # by family


@once_by_type
def python_type(type: Type) -> Any:
    """The Python type of a type: a class for records and enums, else an annotation."""
    if not isinstance(type, RecordType):
        return _enum(type) if isinstance(type, EnumType) else _annotation(type, None)
    return _classes(type)[type.family] if type.family else _model(type, None)


@once_by_type
def _classes(type: Type) -> Mapping[str, Any]:
    """The classes of a recursive record and of the records of its circle, by family."""
    assert isinstance(type, RecordType)
    circle = Circle(type, {}, {})
    _in_circle(type, circle)
    for made in circle.space.values():
        made.model_rebuild(force=True, _types_namespace=circle.space)
    return {family: circle.space[name] for family, name in circle.names.items()}


def _in_circle(type: RecordType, circle: Circle) -> Any:
    if type.family not in circle.names:
        name = circle.names[type.family] = f"_{len(circle.names)}"
        circle.space[name] = _model(type, circle)
    return ForwardRef(circle.names[type.family])


def _annotation(type: Type, circle: Circle | None) -> Any:
    """The annotation of a type, where the classes of a circle may be needed."""
    match type:
        case RecordType(family=family) if family and circle is not None:
            return _in_circle(type, circle)
        case RecordType() | EnumType():
            return python_type(type)
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
        case WrittenType(kind):  # `validate` has checked the bounds
            return Annotated[CLASSES[kind], BeforeValidator(partial(_object, kind))]
        case OneOfType():
            return str
        case JsonType():
            return JsonValue
        case NoneType():
            return None
        case MediaType():
            return Media
        case OptionalType(item):
            return Union[_annotation(item, circle), None]  # noqa: UP007 - it may be a name
        case ListType(item, low, high):
            bounds = ModelField(min_length=low, max_length=high)
            return Annotated[list[_annotation(item, circle)], bounds]  # type: ignore[misc]
        case DictType(item):
            return dict[str, _annotation(item, circle)]  # type: ignore[misc]
        case LiteralType(values):
            return Literal[values]
        case UnionType():
            return _union(type, circle)
        case _:
            return Any


def _union(type: UnionType, circle: Circle | None) -> Any:
    """A union whose member is found as `lmc.unions` finds it, and not by trying."""
    tagged = (
        Annotated[_annotation(option, circle), Tag(str(place))]
        for place, option in enumerate(type.options)
    )
    return Annotated[Union[tuple(tagged)], Discriminator(_tag_of(type))]  # noqa: UP007


def _tag_of(type: UnionType) -> Callable[[Any], str | None]:
    find = Members(type).find

    def tag(value: Any) -> str | None:
        plain = _as_json(value)
        own = (place for place, option in enumerate(type.options) if belongs(option, plain))
        place = next(own, None)
        found = find(plain) if place is None else place
        return None if isinstance(found, str) else str(found)

    return tag


def _as_json(value: Any) -> Any:
    """A value as far as it tells of which member it is."""
    if isinstance(value, Record):
        fields = value.__class__.model_fields
        return {f.alias or name: _as_json(value.__dict__[name]) for name, f in fields.items()}
    if isinstance(value, Media):
        return value.to_json()
    if isinstance(value, dt.date | dt.time | Decimal):
        return text_of(value)
    return str(value) if isinstance(value, str) else value


@once_by_type
def adapter(type: Type) -> TypeAdapter[Any]:
    """The adapter that converts JSON values of a type to Python objects."""
    return TypeAdapter(python_type(type))


def _object(kind: Kind, value: Any) -> Any:
    """The object of a JSON value, which holds a date and the like as a text."""
    return value_of(kind, value) if isinstance(value, str) else value


def _model(type: RecordType, circle: Circle | None) -> Any:
    names = field_names(type)
    fields: dict[str, Any] = {names[f.name]: _member(f, names[f.name], circle) for f in type.fields}
    made = record_class(class_name(type), Record, fields, type.doc)

    def reduced(record: Record) -> tuple[Any, ...]:
        values = {f.name: record.__dict__[names[f.name]] for f in type.fields}
        if circle is None:
            return _again, (type, values)
        return _again_in_circle, (circle.whole, type.family, values)

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


def _again_in_circle(whole: Type, family: str, values: Any) -> Any:
    """A pickled recursive record, whose class was made with those of its circle."""
    return _classes(whole)[family].model_validate(values)


def _member(field: Field, name: str, circle: Circle | None) -> tuple[Any, Any]:
    options: dict[str, Any] = {"description": field.note or None}
    if name != field.name:
        options["alias"] = field.name
    if field.has_default:
        default = field.default
        options["default_factory"] = lambda: adapter(field.type).validate_python(default)
    return _annotation(field.type, circle), ModelField(**options)


def class_name(type: RecordType | EnumType) -> str:
    """The name of a record's or enum's class. One of another file lacks the name of the file."""
    return type.name.rpartition(".")[2]
