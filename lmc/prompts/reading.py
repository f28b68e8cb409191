"""Read the values of an answer from its marked fields, for any kind of marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmc.prompts.field_names import broken_mark, marked_field, named_field, strange_mark
from lmc.prompts.object_texts import holds_object, json_values
from lmc.prompts.spec import BARE, CallSpec, FieldSpec, ParseFailure
from lmc.prompts.values import find_object, parse_value
from lmc.prompts.words import plain_words
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
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.unions import members

_HOLDS_OBJECTS = (RecordType, DictType, JsonType)
_PLAIN = (IntType, FloatType, BoolType, EnumType, LiteralType, WrittenType)  # a value holds no text
_ANY_MARK = re.compile(r"^[ \t*#-]*+(\[\[[ \t]*+\w{1,80}[ \t]*+\]\])", re.MULTILINE)


def read_fields(
    spec: CallSpec,
    parts: Mapping[str, str],
    text: str,
    mark: str,
    *,
    outside: str = "",
    wrapped: bool = False,
) -> dict[str, Any]:
    """Read the outputs from the text after each mark. `mark` is a mark with `{}` for the name.

    An answer without marks may be a JSON object or `name: value` lines. If only one field is asked
    for, it may be the value alone. With `wrapped`, an object has a bare result under its name.
    `outside` is the text that belongs to no mark. It must not give a field once more.
    Raises: ParseFailure.
    """
    if spec.bare and BARE not in parts:
        return {BARE: _read_alone(spec, text, wrapped=wrapped)}
    if not set(parts) - set(spec.thoughts):
        return _read_unmarked(spec, parts, text, mark)
    _require(spec, spec.needed, parts, mark)
    _refuse_again(spec, parts, outside)
    return {f.name: _read_field(f, parts[f.name]) for f in spec.outputs if f.name in parts}


def read_object(spec: CallSpec, text: str) -> dict[str, Any] | None:
    """Read the outputs from a JSON object or `name: value` lines; None if there is neither.

    Raises: ParseFailure for contents that are not clear.
    """
    fields = tuple(Field(f.name, f.type) for f in spec.outputs)
    found = find_object(RecordType("answer", fields), text)
    return None if found is None else dict(found)


def once(found: Iterable[tuple[str, str]], mark: str) -> dict[str, str]:
    """Texts by field name. Raises: ParseFailure for a repeated field."""
    parts: dict[str, str] = {}
    for name, text in found:
        if name in parts:
            raise ParseFailure(f"{mark.format(name)} is there twice; give every field once")
        parts[name] = text
    return parts


def _refuse_again(spec: CallSpec, parts: Mapping[str, str], outside: str) -> None:
    """Refuse a field that is given once more, in another form, where no text is asked for."""
    names = [f.name for f in spec.outputs]
    plain = [parts[f.name] for f in spec.outputs if f.name in parts and _is_plain(f.type)]
    later = "\n".join(text.partition("\n")[2] for text in plain)
    if name := named_field(names, f"{outside}\n{later}"):
        raise ParseFailure(f"the field {name} is there twice; give every field once")
    fences = [text.count("```") % 2 for text in plain if not text.startswith("```")]
    if any(fences) and outside.count("```") % 2 == 0:
        raise ParseFailure("a mark stands within ``` quotes; give the answer itself")
    for text in plain:
        if mark := strange_mark(text):
            raise ParseFailure(f"there is no field {mark}")


def _is_plain(type: Type) -> bool:
    return isinstance(type.item if isinstance(type, OptionalType) else type, _PLAIN)


def _read_field(field: FieldSpec, text: str) -> Any:
    try:
        return parse_value(field.type, text)
    except ParseFailure as problem:
        raise (problem if field.name == BARE else problem.within(field.name)) from None


def _read_alone(spec: CallSpec, text: str, *, wrapped: bool) -> Any:
    """Read a value without a mark. If no object is asked for, a given one has it under its name."""
    (field,) = spec.outputs
    wrapped = wrapped and not _is_list(field.type, text) and not _is_object(field.type, text)
    if holds_object(text) and (wrapped or not _may_hold_objects(field.type)):
        found = read_object(spec, text) or {}
        _require(spec, [field], found, '"{}"')
        return found[field.name]
    return _read_field(field, text)


def _is_list(type: Type, text: str) -> bool:
    """Whether a list is asked for, and its bracket comes first, before those of its items."""
    first = re.search(r"[{\[]", text)
    return _item_of(type) is not None and first is not None and first[0] == "["


def _item_of(type: Type) -> Type | None:
    type = type.item if isinstance(type, OptionalType) else type
    return type.item if isinstance(type, ListType) else None


def _is_object(type: Type, text: str) -> bool:
    """Whether an object is asked for, and the only one that is given is it, without its name."""
    inner = members(type.item if isinstance(type, OptionalType) else type)
    found = [v for v, _, _ in json_values(text, "{") if isinstance(v, dict)]
    if len(found) != 1 or not any(isinstance(option, RecordType | DictType) for option in inner):
        return False
    keys = {plain_words(key) for key in found[0]}
    return BARE not in keys or len(keys) > 1


def _may_hold_objects(type: Type) -> bool:
    if isinstance(type, UnionType):
        return any(map(_may_hold_objects, type.options))
    if hasattr(type, "item") and not isinstance(type, _HOLDS_OBJECTS):
        return _may_hold_objects(type.item)
    return isinstance(type, (*_HOLDS_OBJECTS, StrType))


def _read_unmarked(
    spec: CallSpec, parts: Mapping[str, str], text: str, mark: str
) -> dict[str, Any]:
    found, needed = read_object(spec, text), spec.needed
    if found is None and len(needed) == 1 and not _has_marks(parts, needed[0], text):
        _refuse_quoted(spec, needed[0], text)
        return {needed[0].name: _read_field(needed[0], text)}
    _require(spec, needed if found else spec.outputs, found or {}, mark)
    return found or {}


def _has_marks(parts: Mapping[str, str], field: FieldSpec, text: str) -> bool:
    """Whether a text has marks of other fields, so it is not only the field's value."""
    return bool(parts or (isinstance(field.type, StrType) and _ANY_MARK.search(text)))


def _refuse_quoted(spec: CallSpec, field: FieldSpec, text: str) -> None:
    """Refuse a value alone that has a quoted or broken mark, or broken JSON."""
    broken = isinstance(field.type, StrType) and (
        text.lstrip()[:1] == "{" or broken_mark(field.name, text)
    )
    if broken or marked_field([f.name for f in spec.outputs], text):
        raise ParseFailure("its mark is missing, quoted or broken", field.name)


def _require(
    spec: CallSpec, needed: Sequence[FieldSpec], found: Mapping[str, Any], mark: str
) -> None:
    for field in needed:
        if field.name not in found:
            wanted = ", ".join(mark.format(f.name) for f in spec.outputs)
            raise ParseFailure(f"{mark.format(field.name)} is missing; reply with {wanted}")
