"""Unfinished values as Python objects: what a stream has brought so far."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from lmc.types import DictType, ListType, OptionalType, RecordType, StrType, Type, UnionType
from lmc.unions import may_begin
from lmc.values.by_type import once_by_type
from lmc.values.names import field_names
from lmc.values.python_types import adapter, class_name, record_class


class PartialRecord(BaseModel):
    """The base class of unfinished records. A field that has not come is None.

    `model_fields_set` has the fields that have come.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())


def to_partial(type: Type, value: Any) -> Any:
    """The JSON value of an unfinished result as a Python object.

    A record of a union is of the first member that may begin so, until more has come.
    """
    match type, value:
        case OptionalType(item), _ if value is not None:
            return to_partial(item, value)
        case RecordType(), dict():
            names = field_names(type)
            found = {
                names[f.name]: to_partial(f.type, value[f.name])
                for f in type.fields
                if f.name in value
            }
            return partial_class(type).model_construct(**found)
        case ListType(item), list():
            return [to_partial(item, v) for v in value]
        case DictType(item), dict():
            return {key: to_partial(item, v) for key, v in value.items()}
        case UnionType(options), _:
            begun = next((o for o in options if may_begin(o, value)), None)
            return value if begun is None else to_partial(begun, value)
        case StrType(), _:
            return value
        case _:
            return adapter(type).validate_python(value)


@once_by_type
def partial_class(type: Type) -> Any:
    """The class of a record that is not finished, such as `TicketPartial`."""
    assert isinstance(type, RecordType)
    fields: dict[str, Any] = dict.fromkeys(field_names(type).values(), (Any, None))
    return record_class(f"{class_name(type)}Partial", PartialRecord, fields)
