"""Write values as prompt text, and read text back into values or a failure with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from lmc.canonical import distinct
from lmc.diagnostics import did_you_mean
from lmc.prompts.describing import describe_type
from lmc.prompts.labels import read_bool, read_choice
from lmc.prompts.members import fit_member, holds_texts, read_member
from lmc.prompts.moments import from_number, read_written
from lmc.prompts.numbers import read_number
from lmc.prompts.object_texts import (
    around,
    entry_lines,
    holds_object,
    json_values,
    labelled,
    refuse_again,
    refuse_quoted,
    unfenced,
    unreadable,
)
from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import NotJson, find_json, read_json, why_unreadable
from lmc.prompts.words import WRAPPING, plain_words, shown
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.unions import choices, members

_KEYS_COMPARED = 20
_TIGHT_COMMA = re.compile(r"\d[,;]\d")
_NOTHING = {"", "null", "none", "n/a", "nothing", "[]", "-"}
_BULLET = re.compile(r"(?:[-*•+]|\(?\d{1,4}[.):])\s+(\S.*)")


def render_value(type: Type, value: Any) -> str:
    """A JSON value as prompt text. Strings, names and numbers are plain, others compact JSON.

    In a union a string has quotes, so that it is told from a value of another type.
    """
    inner = type.item if isinstance(type, OptionalType) else type
    if isinstance(value, str) and not isinstance(inner, UnionType):
        return value
    return json.dumps(value, ensure_ascii=False)


def parse_value(type: Type, text: str) -> Any:
    """Read a value of a type from model text; the result is not validated yet.

    What may mean two things is refused: `lmc.prompts.numbers` says which number counts, and
    `lmc.prompts.labels` which word. Lists are JSON, lines or commas; records are JSON, or lines of
    `name: value`. JSON that is cut off, or that is there twice, is refused. Time is linear in the
    text. Raises: ParseFailure, with the field that cannot be read.
    """
    match type:
        case StrType() | OneOfType():
            return text.strip()
        case OptionalType(item):
            return _read_optional(item, text)
        case IntType() | FloatType():
            return read_number(type, text)
        case BoolType():
            return read_bool(text)
        case WrittenType():
            return read_written(type, text)
        case EnumType() | LiteralType():
            return read_choice(type, text)
        case ListType():
            return _read_list(type, text)
        case RecordType() | DictType():
            return _read_object(type, text)
        case UnionType():
            return read_member(type, text, parse_value, fit_value)
        case NoneType():
            return None
        case _:
            return _read_json(text)


def fit_value(type: Type, value: Any) -> Any:
    """Fit a model's JSON value to a type. Texts inside it are read as answers.

    Keys match regardless of case and spaces. Unknown keys are dropped, but a key that nearly
    matches a missing field is refused. Raises: ParseFailure.
    """
    match type, value:
        case OptionalType(item), _:
            return None if value is None else _quietly(item, value)
        case (StrType(), bool()) | (StrType(), None):
            return value
        case StrType(), int() | float():
            return json.dumps(value)
        case StrType() | JsonType() | ErrorType(), _:
            return value
        case WrittenType(), int() | float() if not isinstance(value, bool):
            return from_number(type, value)
        case IntType(), float() if value.is_integer():
            return int(value)
        case UnionType(), _:
            return fit_member(type, value, parse_value, fit_value)
        case ListType(), list():
            return _fit_items(type, value)
        case DictType(item), dict():
            return {k: _inside(k, fit_value, item, v) for k, v in value.items()}
        case RecordType(), dict():
            return _fit_record(type, value)
        case ((IntType() | FloatType()), str()) if not any(map(str.isdigit, value)):
            raise ParseFailure(f"expected {describe_type(type)}, but got the text {shown(value)}")
        case _, str():
            return parse_value(type, value)
        case _:
            return value


def _read_optional(item: Type, text: str) -> Any:
    if not _says_nothing(text) or (holds_texts(item) and text.strip()[:1] == '"'):
        return parse_value(item, text)
    texts = [word for member in members(item) for word in choices(member) or ()]
    return text.strip() if text.strip() in texts else None


def _says_nothing(text: str) -> bool:
    return text.strip().strip(WRAPPING).lower() in _NOTHING


def _quietly(item: Type, value: Any) -> Any:
    """Read an optional value. A text that says "nothing" is None."""
    if not isinstance(value, str) or any(isinstance(m, StrType) for m in members(item)):
        return fit_value(item, value)
    return _read_optional(item, value)


def _inside(step: str | int, read: Callable[[Type, Any], Any], type: Type, given: Any) -> Any:
    """Read a part of a value. A failure names its place."""
    try:
        return read(type, given)
    except ParseFailure as problem:
        raise problem.within(step) from None


def _fit_items(type: ListType, values: Sequence[Any]) -> list[Any]:
    return _items(type, (_inside(i, fit_value, type.item, v) for i, v in enumerate(values)))


def _items(type: ListType, items: Iterable[Any]) -> list[Any]:
    """The items, each once where the type wants that: to say one again adds nothing to a set."""
    return distinct(items) if type.unique else list(items)


def _read_json(text: str) -> Any:
    inner = unfenced(text)
    try:
        return read_json(inner)
    except NotJson:
        if inner[:1] not in ("{", "["):
            return text.strip()
    found = [value for value, _, _ in find_json(inner)]
    if len(found) != 1:
        problem = f"there are {len(found)} JSON values" if found else why_unreadable(inner)
        raise ParseFailure(f"expected one JSON value, but {problem} in {shown(text)}")
    return found[0]


def _read_object(type: RecordType | DictType, text: str) -> Any:
    if (found := find_object(type, text)) is not None:
        return found
    if isinstance(type, DictType) and (parts := entry_lines(text)) is not None:
        return {key: _inside(key, parse_value, type.item, part) for key, part in parts.items()}
    raise ParseFailure(f"expected {describe_type(type)}, but found no JSON object in {shown(text)}")


def find_object(type: RecordType | DictType, text: str) -> dict[str, Any] | None:
    """Read the JSON object of a type, or its `name: value` lines; None if there is neither.

    Raises: ParseFailure for an object that cannot be read or is not clear.
    """
    wanted = {plain_words(f.name) for f in type.fields} if isinstance(type, RecordType) else set()
    values = [v for v in json_values(text, "{") if isinstance(v[0], dict)]
    found = [v for v in values if not wanted or wanted & {plain_words(k) for k in v[0]}]
    if len(found) > 1:
        raise ParseFailure(f"there are {len(found)} JSON objects, and which one counts is not said")
    if not found and holds_object(text):
        raise unreadable(type, text, values)
    if found:
        value, start, _ = found[0]
        names = [f.name for f in type.fields] if isinstance(type, RecordType) else []
        refuse_again(names, value, around(text, values))
        refuse_quoted(text[:start])
        fitted: dict[str, Any] = fit_value(type, value)
        return fitted
    if isinstance(type, DictType):
        return None
    parts = labelled([f.name for f in type.fields], text)
    read = {f.name: (f.type, parts[f.name]) for f in type.fields if f.name in parts}
    return {k: _inside(k, parse_value, *v) for k, v in read.items()} or None


def _fit_record(type: RecordType, value: dict[str, Any]) -> dict[str, Any]:
    alike = Counter(plain_words(f.name) for f in type.fields)
    fitted: dict[str, Any] = {}
    left = {key: plain_words(key) for key in value}
    for f in type.fields:
        words = plain_words(f.name)
        keys = [k for k, w in left.items() if k == f.name or (alike[words] == 1 and w == words)]
        if len(keys) > 1:
            raise ParseFailure(f"it is given twice, as {' and '.join(keys)}", f.name)
        if keys:
            del left[keys[0]]
            fitted[f.name] = _inside(f.name, fit_value, f.type, value[keys[0]])
    _refuse_near(list(left), type, fitted)
    return fitted


def _refuse_near(left: Sequence[str], type: RecordType, fitted: Mapping[str, Any]) -> None:
    """Refuse a key that nearly matches a missing field, instead of using the default."""
    missing = [f.name for f in type.fields if f.name not in fitted]
    for key in left[:_KEYS_COMPARED] if missing else ():
        if near := did_you_mean(key[:80], missing):
            raise ParseFailure(f"there is no field `{key[:80]}`; it is called `{near}`", near)


def _read_list(type: ListType, text: str) -> list[Any]:
    if _says_nothing(text):
        return []
    values = [v for v, _, _ in json_values(text, "[{") if isinstance(v, list | dict)]
    lists = [v for v in values if isinstance(v, list)]
    if len(lists) == 1 and len(values) == 1:
        return _fit_items(type, lists[0])
    if values and not lists and isinstance(type.item, RecordType | DictType | JsonType):
        return _fit_items(type, values)
    if "[" in text or values or isinstance(type.item, RecordType | DictType):
        why = (
            f"there are {len(lists)}" if len(lists) > 1 else f"found no JSON list in {shown(text)}"
        )
        raise ParseFailure(f"expected {describe_type(type)}, but {why}")
    parts = _split_items(text, numbers=isinstance(type.item, IntType | FloatType))
    return _items(type, (_inside(i, parse_value, type.item, p) for i, p in enumerate(parts)))


def _split_items(text: str, *, numbers: bool) -> list[str]:
    """Split items by bullets, numbered lines, plain lines or commas.

    A comma between digits without a space may belong to a number. Raises: ParseFailure.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [m[1] for line in lines if (m := _BULLET.fullmatch(line))]
    if marked or len(lines) > 1:
        return marked or lines
    if numbers and _TIGHT_COMMA.search(text):
        raise ParseFailure(
            f"the commas of {shown(text)} may be inside of numbers; give a JSON list"
        )
    parts = (re.sub(r"^and\s", "", p.strip()).strip(" \t\"'") for p in re.split(r"[,;]", lines[0]))
    return [p for p in parts if p]
