"""Write values as prompt text, and read text back into values or a failure with its reason."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc.diagnostics import did_you_mean
from lmc.prompts.describing import describe_type
from lmc.prompts.field_names import named_field, quotes
from lmc.prompts.labels import read_bool, read_choice
from lmc.prompts.moments import from_number, read_written
from lmc.prompts.numbers import read_number
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

_KEYS_COMPARED = 20
_OBJECT = re.compile(r"\{\s*(?:[\"'“]?[\w ]{1,60}+[\"'”]?\s*:|\Z)")  # probably meant as JSON
_TIGHT_COMMA = re.compile(r"\d[,;]\d")
_NOTHING = {"", "null", "none", "n/a", "nothing", "[]", "-"}
_BULLET = re.compile(r"(?:[-*•+]|\(?\d{1,4}[.):])\s+(\S.*)")


def render_value(type: Type, value: Any) -> str:
    """A JSON value as prompt text. Strings, names and numbers are plain, others compact JSON."""
    if isinstance(value, str):
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
        case UnionType(options):
            return _read_union(options, text)
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
        case ListType(item), list():
            return _fit_items(item, value)
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
    if not _says_nothing(text):
        return parse_value(item, text)
    choices = item.variants if isinstance(item, EnumType) else ()
    choices = item.values if isinstance(item, LiteralType) else choices
    return text.strip() if text.strip() in choices else None


def _says_nothing(text: str) -> bool:
    return text.strip().strip(WRAPPING).lower() in _NOTHING


def _quietly(item: Type, value: Any) -> Any:
    """Read an optional value. A text that says "nothing" is None."""
    if not isinstance(value, str) or isinstance(item, StrType):
        return fit_value(item, value)
    return _read_optional(item, value)


def _inside(step: str | int, read: Callable[[Type, Any], Any], type: Type, given: Any) -> Any:
    """Read a part of a value. A failure names its place."""
    try:
        return read(type, given)
    except ParseFailure as problem:
        raise problem.within(step) from None


def _fit_items(item: Type, values: Sequence[Any]) -> list[Any]:
    return [_inside(i, fit_value, item, v) for i, v in enumerate(values)]


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
        raise _unreadable(type, text, values)
    if found:
        value, start, _ = found[0]
        _refuse_again(type, value, _around(text, values))
        _refuse_quoted(text[:start])
        fitted: dict[str, Any] = fit_value(type, value)
        return fitted
    if isinstance(type, DictType):
        return None
    parts = _labelled(type, text)
    read = {f.name: (f.type, parts[f.name]) for f in type.fields if f.name in parts}
    return {k: _inside(k, parse_value, *v) for k, v in read.items()} or None


def _unreadable(type: Type, text: str, values: Sequence[tuple[Any, int, int]]) -> ParseFailure:
    expected = f"expected {describe_type(type)}, but found"
    if not values:
        why = why_unreadable(unfenced(text))
        return ParseFailure(f"{expected} no JSON object that can be read ({why}) in {shown(text)}")
    keys = ", ".join(f"`{k[:40]}`" for k in list(values[-1][0])[:6]) or "no key"
    return ParseFailure(f"{expected} a JSON object with {keys}")


def _around(text: str, values: Sequence[tuple[Any, int, int]]) -> str:
    """The text around JSON values."""
    starts = [0, *(end for _, _, end in values)]
    ends = [*(start for _, start, _ in values), len(text)]
    return "\n".join(text[start:end] for start, end in zip(starts, ends))


def _refuse_again(type: RecordType | DictType, value: Mapping[str, Any], around: str) -> None:
    """Refuse an object beside another one that cannot be read, or beside one of its fields."""
    if holds_object(around):
        raise ParseFailure("beside the JSON object is another one that cannot be read")
    names = [f.name for f in type.fields] if isinstance(type, RecordType) else []
    keys = {plain_words(k) for k in value}
    name = named_field([name for name in names if plain_words(name) in keys], around)
    if name:
        raise ParseFailure("it is given twice: in the JSON object and outside of it", name)


def _refuse_quoted(before: str) -> None:
    """Refuse an object that the text before it quotes: "the draft has {…}"."""
    if quotes(before):
        raise ParseFailure("the JSON object is a quotation; give the answer itself")


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


def _labelled(type: RecordType, text: str) -> dict[str, str]:
    """`name: value` lines, for a model that leaves out the braces. Raises: ParseFailure."""
    names = "|".join(re.escape(f.name) for f in type.fields)
    if not names:
        return {}
    label = re.compile(
        rf"^[ \t*#-]*+([\"'`]?)({names})[\"'`]?[*]*[ \t]*+[:=]", re.MULTILINE | re.IGNORECASE
    )
    found = list(label.finditer(text))
    ends = [*(m.start() for m in found[1:]), len(text)]
    parts: dict[str, str] = {}
    for m, end in zip(found, ends):
        name = next(f.name for f in type.fields if f.name.lower() == m[2].lower())
        if name in parts:
            raise ParseFailure("it is given twice", name)
        parts[name] = _of_label(text[m.end() : end].strip(" \t\r\n,*"), name, quoted=m[1] == '"')
    return parts


def _of_label(text: str, name: str, *, quoted: bool) -> str:
    """The value after a label. Labels in quotes are those of JSON without its braces."""
    if not (quoted and text.startswith('"')):
        return text
    try:
        return str(read_json(text))
    except NotJson:
        raise ParseFailure(f"{shown(text)} is no whole JSON string", name) from None


def _read_list(type: ListType, text: str) -> list[Any]:
    if _says_nothing(text):
        return []
    values = [v for v, _, _ in json_values(text, "[{") if isinstance(v, list | dict)]
    lists = [v for v in values if isinstance(v, list)]
    if len(lists) == 1 and len(values) == 1:
        return _fit_items(type.item, lists[0])
    if values and not lists and isinstance(type.item, RecordType | DictType | JsonType):
        return _fit_items(type.item, values)
    if "[" in text or values or isinstance(type.item, RecordType | DictType):
        why = (
            f"there are {len(lists)}" if len(lists) > 1 else f"found no JSON list in {shown(text)}"
        )
        raise ParseFailure(f"expected {describe_type(type)}, but {why}")
    parts = _split_items(text, numbers=isinstance(type.item, IntType | FloatType))
    return [_inside(i, parse_value, type.item, part) for i, part in enumerate(parts)]


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


def _read_union(options: tuple[Type, ...], text: str) -> Any:
    failures = []
    for option in options:
        try:
            return parse_value(option, text)
        except ParseFailure as e:
            failures.append(str(e))
    raise ParseFailure("; or ".join(failures))


def json_values(text: str, openers: str = "{[") -> list[tuple[Any, int, int]]:
    """The JSON values of a text with their places: the whole text, else those in its prose."""
    start = len(text) - len(text.lstrip())
    try:
        return [(read_json(text), start, len(text.rstrip()))]
    except NotJson:
        return list(find_json(text, openers))


def holds_object(text: str) -> bool:
    """Whether a text contains something meant as a JSON object, complete or not."""
    return _OBJECT.search(text) is not None


def unfenced(text: str) -> str:
    """The contents of the only ``` fence, else the whole text."""
    parts = text.split("```")
    if len(parts) != 3 or text.strip()[:1] in ("[", "{"):
        return text.strip().strip("`").strip()
    language, newline, rest = parts[1].partition("\n")
    return (rest if newline and re.fullmatch(r"\s*\w*\s*", language[:40]) else parts[1]).strip()
