"""Which constraints a target model enforces while it decodes, and which are validated later."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from lmc import types
from lmc.check.program import CheckedProgram, Choice, ModuleDef
from lmc.frozen import frozen
from lmc.patterns import decodable
from lmc.types import Type


@frozen
class ResultConstraint:
    """A constraint on the result of a module. `path` is empty for the result as a whole."""

    module: str
    path: str
    what: str
    decoded: bool  # by constrained decoding; else validated, then repaired or retried


def constraints(
    program: CheckedProgram,
    *,
    json_schema: bool,
    grammar: bool = False,
    default_layout: str = "chat",
) -> Iterator[ResultConstraint]:
    """All constraints on the results of a program's modules.

    `json_schema` says whether the target can constrain decoding by a JSON schema. It gets a schema
    only for modules with the layout `json`; `default_layout` is that of modules that name none.
    With `grammar`, it enforces types in every layout. A pattern that looks around and a `require:`
    are always checked afterwards.
    """
    for module in program.modules.values():
        votes = module.kind == "vote" and module.by != "model"
        if module.kind in ("search", "route") or votes:
            continue  # makes no model call itself
        schema = json_schema and _layout(program, module, default_layout) == "json"
        for path, type in _parts(module.signature.asked, ""):
            decoded = (grammar or schema) and _decodable(type)
            yield ResultConstraint(module.name, path, str(type), decoded)
        if "require" in module.exprs:
            yield ResultConstraint(module.name, "", module.exprs["require"].span.text, False)


def _layout(program: CheckedProgram, module: ModuleDef, default: str) -> str:
    layout = module.settings.get("layout", program.default.get("layout", default))
    named = str(layout.baseline if isinstance(layout, Choice) else layout)
    return default if named == "auto" else named


def _decodable(type: Type) -> bool:
    if isinstance(type, types.ListType) and type.unique:
        return False
    if isinstance(type, types.WrittenType):  # its form is forced, its bounds are validated
        return type.low is None and type.high is None
    pattern = type.pattern if isinstance(type, types.StrType) else None
    return pattern is None or decodable(pattern)


def _parts(
    type: Type, path: str, inside: frozenset[str] = frozenset()
) -> Iterator[tuple[str, Type]]:
    """The parts of a type that not every text fits; of a recursive record those of one level."""
    inner = partial(_parts, inside=inside)
    match type:
        case types.OptionalType(item):
            yield from inner(item, path)
        case types.ListType(item, low, high, unique):
            if (low, high, unique) != (None, None, False):
                yield path, type
            yield from inner(item, f"{path}[]")
        case types.DictType(item):
            yield from inner(item, f"{path}[]")
        case types.UnionType(options):
            yield path, type
            for option in options:
                yield from inner(option, path)
        case types.RecordType(family=family) if family and family in inside:
            return
        case types.RecordType(fields=fields):
            if type.family:
                yield path, type
                inside = inside | {type.family}
            for field in fields:
                place = f"{path}.{field.name}" if path else field.name
                yield from _parts(field.type, place, inside)
        case (
            types.EnumType()
            | types.LiteralType()
            | types.BoolType()
            | types.IntType()
            | types.FloatType()
            | types.WrittenType()
            | types.OneOfType()
        ):
            yield path, type
        case types.StrType() if type != types.StrType():
            yield path, type
