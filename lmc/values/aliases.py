"""The names that a model sees and writes, where they are not those of the program.

`type: str as "@type"` is `type` in programs and Python, and `@type` in prompts, answers and
schemas. A variant `cpp as "C++"` is a string, so that its value changes too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lmc.check.constants import misfit
from lmc.types import (
    DictType,
    EnumType,
    Field,
    ListType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
    has_aliases,
    rebuilt,
)
from lmc.values.by_type import once_by_type


def seen_type(type: Type) -> Type:
    """A type as a model sees it."""
    return _seen_type(type) if has_aliases(type) else type


@once_by_type
def _seen_type(type: Type) -> Type:
    return rebuilt(rebuilt(type, _with_seen_defaults), _with_seen_names)


def _with_seen_defaults(type: Type) -> Type:
    """A record whose defaults are those that a model sees, while its types have aliases still."""
    if not isinstance(type, RecordType):
        return type
    fields = (
        replace(f, default=to_seen(f.type, f.default)) if f.has_default else f for f in type.fields
    )
    return replace(type, fields=tuple(fields))


def _with_seen_names(type: Type) -> Type:
    match type:
        case EnumType(aliases=aliases) if aliases:
            return replace(type, variants=aliases, aliases=())
        case RecordType(fields=fields):
            named = (replace(f, name=f.alias or f.name, alias="") for f in fields)
            return replace(type, fields=tuple(named))
    return type


def to_seen(type: Type, value: Any) -> Any:
    """A value as a model sees it."""
    return _renamed(type, value, seeing=True) if has_aliases(type) else value


def from_seen(type: Type, value: Any) -> Any:
    """A value as programs have it, of one that may have aliases or names. It need not be valid.

    What has both an alias and its name stays as it is, so that it is refused as an unknown field.
    """
    return _renamed(type, value, seeing=False) if has_aliases(type) else value


def _renamed(type: Type, value: Any, *, seeing: bool) -> Any:
    match type, value:
        case OptionalType(item), _ if value is not None:
            return _renamed(item, value, seeing=seeing)
        case ListType(item), list():
            return [_renamed(item, part, seeing=seeing) for part in value]
        case DictType(item), dict():
            return {key: _renamed(item, part, seeing=seeing) for key, part in value.items()}
        case EnumType(variants=names, aliases=aliases), str() if aliases:
            one, other = (names, aliases) if seeing else (aliases, names)
            return other[one.index(value)] if value in one else value
        case RecordType(), dict():
            return _renamed_fields(type, value, seeing=seeing)
        case UnionType(options), _:
            return _renamed_option(options, value, seeing=seeing)
    return value


def _renamed_fields(type: RecordType, value: dict[Any, Any], *, seeing: bool) -> dict[Any, Any]:
    fields: dict[Any, Field] = {field.name: field for field in type.fields}
    if not seeing:
        fields |= {f.alias: f for f in type.fields if f.alias and f.name not in value}
    found = {}
    for key, part in value.items():
        field = fields.get(key)
        if field is not None:
            key = (field.alias or field.name) if seeing else field.name
            part = _renamed(field.type, part, seeing=seeing)
        found[key] = part
    return found


def _renamed_option(options: tuple[Type, ...], value: Any, *, seeing: bool) -> Any:
    """A value of a union, by the first option that has it."""
    for option in options:
        renamed = _renamed(option, value, seeing=seeing)
        if misfit(value if seeing else renamed, option) is None:
            return renamed
    return value
