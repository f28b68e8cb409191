"""Defaults of a JSON Schema as constants of the language."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.literals import MOST_INT
from lmc.written import KINDS, decimal_text, normal

_SPAN = Span(Source("schema", ""), 0, 0)
Decls = Mapping[str, n.Decl]


class Unfit(Exception):
    """A default that its type does not have, or that no constant says."""


def default_expr(type: n.TypeExpr, value: Any, decls: Decls) -> n.Expr:
    """The constant of a JSON value of a type. Raises: Unfit."""
    match type:
        case n.OptionalTypeExpr(item):
            return n.NoneLit(span=_SPAN) if value is None else default_expr(item, value, decls)
        case n.LiteralTypeExpr(text) if value == text:
            return _string(value)
        case n.UnionTypeExpr(options):
            return _of_some(options, value, decls)
        case n.NamedType(name=name, args=args):
            return _named(name.name, args, value, decls)
    raise _unfit(value)


def _of_some(options: tuple[n.TypeExpr, ...], value: Any, decls: Decls) -> n.Expr:
    """The constant of the first member of a union that has it."""
    for option in options:
        try:
            return default_expr(option, value, decls)
        except Unfit:
            continue
    raise _unfit(value)


def _named(name: str, args: tuple[n.TypeExpr, ...], value: Any, decls: Decls) -> n.Expr:
    match decls.get(name), value:
        case n.EnumDecl(variants=variants), str():
            return _variant(name, variants, value)
        case n.RecordDecl(fields=fields), dict():
            return _record(name, fields, value, decls)
        case n.TypeDecl(type=type), _:
            return default_expr(type, value, decls)
    match name, value:
        case "json", _:
            return _json(value)
        case "bool", bool():
            return n.Bool(value, span=_SPAN)
        case "int" | "float", int() | float() if not isinstance(value, bool):
            if name == "float" or isinstance(value, int):
                return _number(value)
        case "str", str():
            return _string(value)
        case "list", list():
            items = tuple(default_expr(args[0], item, decls) for item in value)
            return n.ListLit(items, span=_SPAN)
        case _ if name in KINDS:
            return _written(name, value)
    raise _unfit(value)


def _written(kind: Any, value: Any) -> n.Expr:
    try:
        if kind == "decimal" and isinstance(value, int | float) and value is not True:
            value = decimal_text(value)
        text = normal(kind, value if isinstance(value, str) else "")
    except ValueError as problem:
        raise Unfit(f"the default is left out: {problem}") from None
    target = n.Var(kind, span=_SPAN)
    return n.Call(target, (n.Arg(None, _string(text), span=_SPAN),), span=_SPAN)


def _variant(name: str, variants: tuple[n.VariantDecl, ...], value: str) -> n.Expr:
    for variant in variants:
        if value == (variant.alias.value if variant.alias else variant.name.name):
            return n.Attr(n.Var(name, span=_SPAN), variant.name, span=_SPAN)
    raise _unfit(value)


def _record(
    name: str, fields: tuple[n.FieldDecl, ...], value: Mapping[str, Any], decls: Decls
) -> n.Expr:
    args, left = [], dict(value)
    for field in fields:
        key = field.alias.value if field.alias else field.name.name
        if key in left:
            given = default_expr(field.type, left.pop(key), decls)
            args.append(n.Arg(field.name, given, span=_SPAN))
        elif field.default is None:
            raise _unfit(value)
    if left:
        raise _unfit(value)
    return n.Call(n.Var(name, span=_SPAN), tuple(args), span=_SPAN)


def _json(value: Any) -> n.Expr:
    match value:
        case None:
            return n.NoneLit(span=_SPAN)
        case bool():
            return n.Bool(value, span=_SPAN)
        case int() | float():
            return _number(value)
        case str():
            return _string(value)
        case list():
            return n.ListLit(tuple(map(_json, value)), span=_SPAN)
        case dict() if all(value):
            pairs = (
                n.KeyValue(n.Ident(key, span=_SPAN), _json(part), span=_SPAN)
                for key, part in value.items()
            )
            return n.ObjectLit(tuple(pairs), span=_SPAN)
    raise _unfit(value)


def _number(value: float) -> n.Expr:
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) > MOST_INT):
        raise _unfit(value)
    positive = n.Number(abs(value), span=_SPAN)
    return n.Unary("-", positive, span=_SPAN) if value < 0 else positive


def _string(text: str) -> n.String:
    return n.String(text, span=_SPAN)


def _unfit(value: Any) -> Unfit:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return Unfit(f"the default {shown[:60]} is left out: it is no constant of its type")
