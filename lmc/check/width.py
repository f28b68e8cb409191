"""Width: a record has the fields of its own type and no others, wherever it goes.

A record may stand where one with fewer fields is asked for. On the way it loses those that are not
asked for, at any depth of the type, so that no value is ever outside of its static type.
"""

from __future__ import annotations

from typing import Any

from lmc.check.constants import misfit
from lmc.check.subtyping import Known, is_subtype, optional, required
from lmc.types import (
    DictType,
    JsonType,
    ListType,
    NoneType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
)


def narrows(actual: Type, wanted: Type) -> bool:
    """Whether values of a subtype lose fields where the wanted type is asked for."""
    return actual is not wanted and _narrows(actual, wanted, {})


def _narrows(actual: Type, wanted: Type, known: Known) -> bool:
    if actual is wanted or isinstance(wanted, JsonType) or isinstance(actual, NoneType):
        return False
    if isinstance(actual, OptionalType) or isinstance(wanted, OptionalType):
        return _narrows(required(actual), required(wanted), known)
    match actual, wanted:
        case UnionType(options), _:
            return any(_narrows(option, wanted, known) for option in options)
        case _, UnionType(options):
            fitting = (option for option in options if is_subtype(actual, option))
            return all(_narrows(actual, option, known) for option in fitting)
        case (ListType(item), ListType(other)) | (DictType(item), DictType(other)):
            return _narrows(item, other, known)
        case RecordType(), RecordType():
            key = actual.key, wanted.key
            if key not in known:
                known[key] = _narrows_record(actual, wanted, known)
            return known[key]
    return False


def _narrows_record(actual: RecordType, wanted: RecordType, known: Known) -> bool:
    if [f.name for f in actual.fields] != [f.name for f in wanted.fields]:
        return True
    pairs = zip(actual.fields, wanted.fields)
    return any(_narrows(own.type, other.type, known) for own, other in pairs)


def narrowed(actual: Type, wanted: Type) -> Type:
    """The type of what is left of a subtype: the fields that are wanted, and its own bounds."""
    match actual, wanted:
        case OptionalType(item), _:
            return optional(narrowed(item, required(wanted)))
        case _, OptionalType(item):
            return narrowed(actual, item)
        case ListType(item, low, high), ListType(other):
            return ListType(narrowed(item, other), low, high)
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
    """What is left of a value in a union: all of it where an option has it, else the first's."""
    left = [part for o in options if misfit(part := project(o, value), o) is None]
    return value if not left or value in left else left[0]
