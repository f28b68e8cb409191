"""Width: a record has the fields of its own type and no others, wherever it goes.

A record may stand where one with fewer fields is asked for. On the way it loses those that are not
asked for, at any depth of the type, so that no value is ever outside of its static type.
"""

from __future__ import annotations

from typing import Any

from lmc.check.subtyping import narrows, optional, required
from lmc.types import DictType, ListType, OptionalType, RecordType, Type, UnionType
from lmc.unions import belongs, choices, kind_of, kind_of_value


def narrowed(actual: Type, wanted: Type) -> Type:
    """The type of what is left of a subtype: the fields that are wanted, and its own bounds."""
    match actual, wanted:
        case OptionalType(item), _:
            return optional(narrowed(item, required(wanted)))
        case _, OptionalType(item):
            return narrowed(actual, item)
        case ListType(item, low, high, unique), ListType(other):
            return ListType(narrowed(item, other), low, high, unique and not narrows(item, other))
        case DictType(item), DictType(other):
            return DictType(narrowed(item, other))
        case (UnionType(), _) | (_, UnionType()):
            return wanted
        case RecordType(), RecordType():
            return wanted if narrows(actual, wanted) else actual
    return actual


def project(type: Type, value: Any) -> Any:
    """A JSON value with the fields that its type declares, at any depth.

    What does not have the type at all stays as it is: to find that is the validator's part.
    """
    match type:
        case OptionalType(item):
            return None if value is None else project(item, value)
        case ListType(item) if isinstance(value, list):
            return [project(item, part) for part in value]
        case DictType(item) if isinstance(value, dict):
            return {key: project(item, part) for key, part in value.items()}
        case RecordType(fields=fields) if isinstance(value, dict):
            return {f.name: project(f.type, value[f.name]) for f in fields if f.name in value}
        case UnionType(options):
            return _project_to_option(options, value)
    return value


def _project_to_option(options: tuple[Type, ...], value: Any) -> Any:
    """What is left of a value in a union: of the option that it is of, else of the first wider."""
    fitting = next((o for o in options if belongs(o, value)), None)
    wider = fitting or next((o for o in options if _has_all(o, value)), None)
    return value if wider is None else project(wider, value)


def _has_all(option: Type, value: Any) -> bool:
    """Whether a value has the fields of an option, and perhaps others."""
    if kind_of(option) != kind_of_value(value):
        return False
    fields = option.fields if isinstance(option, RecordType) else ()
    texts = ((field.name, choices(field.type)) for field in fields)
    return all(n in value and (some is None or value[n] in some) for n, some in texts)
