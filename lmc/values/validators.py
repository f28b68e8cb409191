"""Validators of types, built with pydantic-core, whose import takes longer than the checker."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic_core import (
    CoreSchema,
    PydanticCustomError,
    SchemaValidator,
    ValidationError,
    core_schema,
)

from lmc.canonical import first_repeated
from lmc.check.subtyping import written_fits
from lmc.diagnostics import LmcError, did_you_mean
from lmc.media.content import ARTICLES, is_media_json
from lmc.patterns import whole_pattern
from lmc.types import (
    MOST_PARTS,
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
    NeverType,
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    expanded_size,
    told_bounds,
)
from lmc.unions import Members, needed_fields
from lmc.values.problems import InvalidValue, Problem
from lmc.written import EXAMPLES, decimal_text, normal

MAX_JSON_DEPTH = 100
MOST_TOLD = 100  # choices that a message lists

Named = dict[str, CoreSchema | None]  # schemas of records by digest


def validator(type: Type, *, strict: bool) -> Callable[[Any], Any]:
    """A function that returns the valid JSON value of a type or raises InvalidValue."""
    validate = SchemaValidator(_schema(type, strict)).validate_python

    def checked(raw: Any) -> Any:
        try:
            return validate(raw)
        except ValidationError as failure:
            raise InvalidValue(*_problems(type, failure)) from None

    return checked


def _schema(type: Type, strict: bool) -> CoreSchema:
    """The schema of a type: of a large one with each record once, under a name."""
    if expanded_size(type) <= MOST_PARTS:
        return _core(type, strict=strict)
    named: Named = {}
    whole = _core(type, strict=strict, named=named)
    return core_schema.definitions_schema(whole, [schema for schema in named.values() if schema])


def _core(type: Type, *, strict: bool, named: Named | None = None) -> CoreSchema:
    """The pydantic-core schema of a type's JSON values; `named` takes its records."""
    inner = partial(_core, strict=strict, named=named)
    match type:
        case StrType():
            return _str(type, strict)
        case IntType(low, high):
            return _number(core_schema.int_schema(ge=low, le=high, strict=strict), strict)
        case FloatType(low, high):
            schema = core_schema.float_schema(ge=low, le=high, allow_inf_nan=False, strict=strict)
            return _number(schema, strict)
        case BoolType():
            return core_schema.bool_schema(strict=strict)
        case WrittenType():
            return core_schema.no_info_plain_validator_function(partial(_written, type))
        case OneOfType():
            return core_schema.str_schema(strict=True)
        case JsonType():
            return core_schema.no_info_plain_validator_function(_check_json)
        case NoneType():
            return core_schema.none_schema()
        case NeverType():
            return core_schema.no_info_plain_validator_function(_refuse)
        case MediaType(kind):
            return core_schema.no_info_plain_validator_function(partial(_check_media, kind))
        case OptionalType(item):
            return core_schema.nullable_schema(inner(item))
        case ListType(item, low, high, unique):
            items = core_schema.list_schema(
                inner(item), min_length=low, max_length=high, strict=True
            )
            check = core_schema.no_info_after_validator_function
            return check(_check_unique, items) if unique else items
        case DictType(item):
            keys = core_schema.str_schema(strict=True)
            return core_schema.dict_schema(keys, inner(item), strict=True)
        case EnumType(variants=names) | LiteralType(values=names):
            return core_schema.literal_schema(list(names))
        case RecordType():
            return _reference(type, _needed(type), strict, named)
        case UnionType():
            return _union(type, strict, named)
        case _:
            return core_schema.any_schema()


def _union(type: UnionType, strict: bool, named: Named | None) -> CoreSchema:
    """The member that a value is meant as, so that problems are those of this member only."""
    find = Members(type).find
    options = zip(type.options, needed_fields(type))
    choices = {
        str(place): _reference(option, needed, strict, named)
        if isinstance(option, RecordType)
        else _core(option, strict=strict, named=named)
        for place, (option, needed) in enumerate(options)
    }

    def member(value: Any) -> str | None:
        found = find(value)
        return None if isinstance(found, str) else str(found)

    return core_schema.tagged_union_schema(choices, discriminator=member)


def _needed(type: RecordType) -> frozenset[str]:
    return frozenset(f.name for f in type.fields if not f.has_default)


def _reference(
    type: RecordType, needed: frozenset[str], strict: bool, named: Named | None
) -> CoreSchema:
    """The schema of a record that must give some fields: as it is, or by its name."""
    if named is None:
        return _record(type, needed, strict, None, None)
    ref = " ".join([type.digest, *sorted(needed - _needed(type))])
    if ref not in named:
        named[ref] = None  # types are finite, so it is not asked for while it is made
        named[ref] = _record(type, needed, strict, named, ref)
    return core_schema.definition_reference_schema(ref)


def _record(
    type: RecordType, needed: frozenset[str], strict: bool, named: Named | None, ref: str | None
) -> CoreSchema:
    return core_schema.typed_dict_schema(
        {f.name: _field(f, f.name in needed, strict, named) for f in type.fields},
        extra_behavior="forbid" if strict else "ignore",
        strict=True,
        ref=ref,
    )


def _field(
    field: Field, needed: bool, strict: bool, named: Named | None
) -> core_schema.TypedDictField:
    schema = _core(field.type, strict=strict, named=named)
    if needed or not field.has_default:
        return core_schema.typed_dict_field(schema, required=True)
    make = partial(copy.deepcopy, field.default)
    with_default = core_schema.with_default_schema(schema, default_factory=make)
    return core_schema.typed_dict_field(with_default, required=False)


def _check_unique(items: list[Any]) -> list[Any]:
    place = first_repeated(items)
    if place is not None:
        item = _shown(items[place])
        raise PydanticCustomError(
            "repeated", "must have each item once, but has {item} twice", {"item": item}
        )
    return items


def _number(schema: CoreSchema, strict: bool) -> CoreSchema:
    return schema if strict else core_schema.no_info_before_validator_function(_no_bool, schema)


def _str(type: StrType, strict: bool) -> CoreSchema:
    schema = core_schema.str_schema(
        min_length=type.min_len,
        max_length=type.max_len,
        strict=strict,
        coerce_numbers_to_str=not strict,
    )
    if type.pattern is None:
        return schema
    try:
        pattern = whole_pattern(type.pattern)
    except ValueError as problem:  # in a graph that was not checked
        message = f"the pattern `{type.pattern[:80]}` cannot be used: {problem}"
        raise LmcError.of("bad-pattern", message) from None
    return core_schema.no_info_after_validator_function(
        partial(_match, type.pattern, pattern.matches), schema
    )


def _match(pattern: str, matches: Callable[[str], bool], text: str) -> str:
    if not matches(text):
        raise PydanticCustomError("pattern", "must match {pattern}", {"pattern": pattern})
    return text


def _written(type: WrittenType, value: Any) -> str:
    """The one text of a date and the like. A decimal may be a number too."""
    try:
        if type.kind == "decimal" and isinstance(value, int | float) and value is not True:
            value = decimal_text(value)
        found = normal(type.kind, value if isinstance(value, str) else "")
    except ValueError:
        example = EXAMPLES[type.kind]
        raise PydanticCustomError(
            "written",
            "must be a {kind}, such as {example}",
            {"kind": type.kind, "example": example},
        ) from None
    if not written_fits(found, type):
        raise PydanticCustomError("written", "must be {bounds}", {"bounds": told_bounds(type)})
    return found


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


def _check_json(value: Any, depth: int = 0) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if value - value == 0:
            return value
        case list() if depth < MAX_JSON_DEPTH:
            return [_check_json(v, depth + 1) for v in value]
        case dict() if depth < MAX_JSON_DEPTH and all(isinstance(k, str) for k in value):
            return {k: _check_json(v, depth + 1) for k, v in value.items()}
        case _:
            raise PydanticCustomError("json", "must be a JSON value")


def _check_media(kind: str, value: Any) -> Any:
    if not is_media_json(value, kind):
        raise PydanticCustomError("media", "must be {what}", {"what": ARTICLES[kind]})
    return value


def _refuse(_: Any) -> Any:
    raise PydanticCustomError("never", "cannot be there")


# --- in words ---

_WORDS = {
    "missing": "is missing",
    "string": "must be text",
    "int": "must be an integer",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "literal": "must be one of: {choices}",
    "greater": "must be at least {ge}",
    "less": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "list": "must be a list",
    "dict": "must be an object",
    "none": "must be null",
}


def _problems(type: Type, failure: ValidationError) -> list[Problem]:
    return [_problem(type, e) for e in failure.errors(include_url=False)]


def _problem(type: Type, found: Mapping[str, Any]) -> Problem:
    kind, context = found["type"], found.get("ctx", {})
    inner, place = _located(type, found["loc"])
    got = "" if kind == "missing" else f", got {_shown(found['input'])}"
    if kind == "extra_forbidden":
        return Problem(
            _path(place[:-1]), _unknown_field(_at(type, found["loc"][:-1]), str(place[-1]))
        )
    if kind.startswith("union_tag") and isinstance(inner, UnionType):
        return Problem(_path(place), f"{Members(inner).find(found['input'])}{got}")
    if kind == "repeated":
        return Problem(_path(place), found["msg"])
    if isinstance(inner, ListType) and isinstance(inner.item, NeverType) and inner.item.within:
        beyond = f"must be empty, as `{inner.item.within}` may not nest deeper"
        return Problem(_path(place), beyond + got)
    words = _WORDS.get(kind) or _WORDS.get(kind.partition("_")[0])
    if words is None:
        return Problem(_path(place), found["msg"] + got)
    choices = inner.variants if isinstance(inner, EnumType) else getattr(inner, "values", ())
    shown = ", ".join(choices[:MOST_TOLD])
    if len(choices) > MOST_TOLD:
        shown += f", … ({len(choices):,} in all)"
    numbers = {k: f"{v:g}" if isinstance(v, float) else v for k, v in context.items()}
    return Problem(_path(place), words.format(choices=shown, **numbers) + got)


def _unknown_field(type: Type | None, name: str) -> str:
    known = [f.name for f in type.fields] if isinstance(type, RecordType) else []
    near = did_you_mean(name, known)
    return f"has no field `{name}`" + (f"; did you mean `{near}`?" if near else "")


Place = tuple[int | str, ...]


def _at(type: Type, place: Place) -> Type | None:
    return _located(type, place)[0]


def _located(type: Type | None, place: Place) -> tuple[Type | None, Place]:
    """The type at a place inside a type, and the place without the numbers of members."""
    shown: list[int | str] = []
    for step in place:
        type = _required(type)
        if isinstance(type, UnionType):
            type = type.options[int(step)]
            continue
        shown.append(step)
        if isinstance(type, RecordType):
            field = type.get(str(step))
            type = field.type if field else None
        else:
            type = type.item if isinstance(type, ListType | DictType) else None
    return _required(type), tuple(shown)


def _required(type: Type | None) -> Type | None:
    """`T` of `T?`, else the type itself."""
    return type.item if isinstance(type, OptionalType) else type


def _path(place: tuple[int | str, ...]) -> str:
    parts = (f"[{p}]" if isinstance(p, int) else f".{p}" for p in place)
    return "".join(parts).removeprefix(".")


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a Python {type(value).__name__}"
    return text if len(text) <= 62 else f"{text[:60]}…"
