"""Types as other languages write them, and how they are written here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from lmc.syntax import nodes

NO_VALUE = ("None", "NoneType", "null", "nil", "none", "undefined", "Null")
_PLAIN: Mapping[str, str] = {
    **dict.fromkeys(("string", "String", "text", "Text", "Str"), "str"),
    **dict.fromkeys(("integer", "Integer", "Int", "long"), "int"),
    **dict.fromkeys(("number", "Number", "double", "Double", "Float"), "float"),
    **dict.fromkeys(("boolean", "Boolean", "Bool"), "bool"),
    **dict.fromkeys(("any", "Any", "object", "Object", "JSON", "Json"), "json"),
}
_LISTS = ("List", "Array", "array", "Sequence", "Iterable", "vector", "Vec")
_SETS = ("Set", "set", "frozenset", "FrozenSet", "HashSet")
_DICTS = ("Dict", "Map", "map", "Mapping")


def written_here(expr: nodes.TypeExpr, own: Collection[str]) -> str:
    """How a type is written here, at any depth. `own` are the names that the file declares."""
    match expr:
        case nodes.OptionalTypeExpr(item=item):
            return _optional(written_here(item, own))
        case nodes.UnionTypeExpr(options=options):
            return _union(options, own)
        case nodes.NamedType(name=name) if name.name not in own:
            return _named(expr, own) or expr.span.text
    return expr.span.text


def is_no_value(expr: nodes.TypeExpr, own: Collection[str]) -> bool:
    """Whether a type is that of no value, as in `str | None`."""
    named = isinstance(expr, nodes.NamedType) and expr.name.name in NO_VALUE
    return named and expr.span.text not in own


def _optional(item: str) -> str:
    """`T?` for a `T`."""
    return item if item.endswith("?") else f"({item})?" if " | " in item else f"{item}?"


def _union(options: Collection[nodes.TypeExpr], own: Collection[str]) -> str:
    left = [option for option in options if not is_no_value(option, own)]
    text = " | ".join(written_here(option, own) for option in left)
    return text if len(left) == len(options) else _optional(text or "T")


def _named(expr: nodes.NamedType, own: Collection[str]) -> str | None:
    name, args = expr.name.name, expr.args
    inner = partial(written_here, own=own)
    if name in _LISTS or (name == "list" and args):
        return f"list[{inner(args[0]) if args else 'T'}]"
    if name in _SETS:
        return f"list[{inner(args[0]) if args else 'T'}](unique)"
    if name in _DICTS or (name == "dict" and len(args) > 1):
        return f"dict[str, {inner(args[-1]) if args else 'T'}]"
    if name in ("Tuple", "tuple"):
        return "list[json]" if len(args) > 1 else f"list[{inner(args[0]) if args else 'T'}]"
    if name == "Optional":
        return _optional(inner(args[0]) if args else "T")
    if name == "Union":
        return _union(args, own) if args else "A | B"
    if name == "Literal":
        return " | ".join(arg.span.text for arg in args) or '"a" | "b"'
    return "T?" if name in NO_VALUE else _PLAIN.get(name)
