"""What to tell of two types that do not fit: their names told apart, and where they differ."""

from __future__ import annotations

from lmc import types
from lmc.check.scope import CheckContext
from lmc.check.subtyping import is_subtype, required, show
from lmc.types import Type


def told_apart(ctx: CheckContext, a: Type, b: Type) -> tuple[str, str]:
    """Both types as code. Where they are written alike, with the files of what differs in them."""
    names = show(a), show(b)
    if names[0] != names[1]:
        return f"`{names[0]}`", f"`{names[1]}`"
    homonyms = _homonyms(a, b)
    if homonyms is None:
        return f"`{names[0]}`", f"`{names[1]}`"
    one, other = (_told(ctx, whole, part) for whole, part in zip((a, b), homonyms))
    return one, other


def _told(ctx: CheckContext, whole: Type, part: Type) -> str:
    home = ctx.homes.get(id(part))
    file = f"of {home.file.tree.source.name}" if home else "that is built in"
    shown = show(whole)
    return f"`{shown}` {file}" if shown == str(part) else f"`{shown}` with `{part}` {file}"


def _homonyms(a: Type, b: Type) -> tuple[Type, Type] | None:
    """The first two records or enums in two types that differ, but have one name."""
    named = types.RecordType | types.EnumType
    if isinstance(a, named) and isinstance(b, named):
        return (a, b) if a.name == b.name and a != b else None
    items = types.OptionalType | types.ListType | types.DictType
    if isinstance(a, items) and isinstance(b, items):
        return _homonyms(a.item, b.item)
    return None


def difference(ctx: CheckContext, actual: Type, expected: Type, path: str = "") -> str | None:
    """Which field of a record is not what is asked for. None if the types are no records."""
    own, wanted = required(actual), required(expected)
    match own, wanted:
        case types.ListType(item), types.ListType(other) if not is_subtype(item, other):
            return difference(ctx, item, other, f"{path}[…]")
        case types.RecordType(family=family), types.RecordType() if family == wanted.family != "":
            return f"`{own.name}` nests at most {own.bound} deep, and here {wanted.height}"
        case types.RecordType(), types.RecordType() if field := _first_unfit(own, wanted):
            path = f"{path}.{field.name}"
            given = own.get(field.name)
            if given is None:
                return f"the field `{path.removeprefix('.')}` is missing"
            return difference(ctx, given.type, field.type, path)
    if "." not in path:
        return None
    must, is_now = told_apart(ctx, expected, actual)
    return f"`{path.removeprefix('.')}` must be {must}, but is {is_now}"


def _first_unfit(actual: types.RecordType, expected: types.RecordType) -> types.Field | None:
    for field in expected.fields:
        own = actual.get(field.name)
        if own is None or not is_subtype(own.type, field.type):
            return field
    return None
