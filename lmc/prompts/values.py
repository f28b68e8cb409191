"""Values as text in a prompt, and text back into values: writing is strict, reading tolerant."""

from __future__ import annotations

import json
import re
from typing import Any

from lmc.prompts.scalars import (
    WRAPPING,
    plain_words,
    read_bool,
    read_choice,
    read_number,
    shown,
)
from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import NotJson, find_json, read_json
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
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
)

_NOTHING = {"", "null", "none", "n/a", "nothing", "[]", "-"}
_BULLET = re.compile(r"(?:[-*•+]|\(?\d{1,4}[.):])\s+(\S.*)")


def render_value(type: Type, value: Any) -> str:
    """A JSON value as prompt text: strings, names and numbers plain, all else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def describe_type(type: Type) -> str:
    """A type in the words a model reads: `integer from 0 to 10`, `one of: yes, no`."""
    match type:
        case StrType(min_len, max_len, pattern):
            words = "text" + _bounds(min_len, max_len, "characters")
            return words + (f" matching {pattern}" if pattern else "")
        case IntType(low, high):
            return "integer" + _bounds(low, high)
        case FloatType(low, high):
            return "number" + _bounds(low, high)
        case BoolType():
            return "true or false"
        case EnumType() | LiteralType():
            return "one of: " + ", ".join(_choices(type))
        case OptionalType(item):
            return describe_type(item) + ", or null"
        case ListType(item, low, high):
            return f"JSON list{_bounds(low, high, 'items')} of {describe_type(item)}"
        case DictType(item):
            return f"JSON object from text to {describe_type(item)}"
        case RecordType():
            inner = ", ".join(f'"{f.name}": {describe_type(f.type)}' for f in type.fields)
            return f"JSON object {{{inner}}}"
        case _:
            return "JSON value"


def _choices(type: EnumType | LiteralType) -> list[str]:
    if isinstance(type, LiteralType):
        return list(type.values)
    notes = type.notes or ("",) * len(type.variants)
    return [f"{v} ({n})" if n else v for v, n in zip(type.variants, notes)]


def _bounds(low: float | None, high: float | None, unit: str = "") -> str:
    if low is None and high is None:
        return ""
    tail = f" {unit}" if unit else ""
    if low is None:
        return f" of at most {high:g}{tail}"
    if high is None:
        return f" of at least {low:g}{tail}"
    return f" of {low:g} to {high:g}{tail}" if unit else f" from {low:g} to {high:g}"


def parse_value(type: Type, text: str) -> Any:
    r"""Read a value of a type from model text, tolerantly; the result is not validated yet.

    Numbers: a text, or a first line, that is one number gives it; else the number after the last
    "answer is", "answer:", "####" or `\boxed{`; else the last line with a number decides: the first
    number after its last `=`, or its last number. Words for truth values and choices are found in
    the same order: the whole text or first line, after "answer is", the only one mentioned. Lists
    are JSON, lines or commas. Time is linear in the text. Raises: ParseFailure.
    """
    match type:
        case StrType():
            return text.strip()
        case OptionalType(item):
            return _read_optional(item, text)
        case IntType() | FloatType():
            return read_number(type, text)
        case BoolType():
            return read_bool(text)
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
    """Bring a JSON value that a model wrote nearer to a type; texts inside are read as answers.

    Keys match without regard to case and spaces, keys that the record lacks are dropped.
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
        case IntType(), float() if value.is_integer():
            return int(value)
        case ListType(item), list():
            return [fit_value(item, v) for v in value]
        case DictType(item), dict():
            return {k: fit_value(item, v) for k, v in value.items()}
        case RecordType(), dict():
            return _fit_record(type, value)
        case _, str():
            return parse_value(type, value)
        case _:
            return value


def _read_optional(item: Type, text: str) -> Any:
    if text.strip(WRAPPING).lower() not in _NOTHING:
        return parse_value(item, text)
    choices = item.variants if isinstance(item, EnumType) else ()
    choices = item.values if isinstance(item, LiteralType) else choices
    return text.strip() if text.strip() in choices else None


def _quietly(item: Type, value: Any) -> Any:
    """As for an optional: a text that says "nothing" is None."""
    if not isinstance(value, str) or isinstance(item, StrType):
        return fit_value(item, value)
    return _read_optional(item, value)


def _read_json(text: str) -> Any:
    inner = _unfenced(text)
    try:
        return read_json(inner)
    except NotJson:
        found = list(find_json(inner)) if inner[:1] in ("{", "[") else []
        return found[-1] if found else text.strip()


def _read_object(type: RecordType | DictType, text: str) -> Any:
    wanted = {plain_words(f.name) for f in type.fields} if isinstance(type, RecordType) else set()
    objects = [v for v in _json_values(text, "{") if isinstance(v, dict)]
    for value in reversed(objects):
        if not wanted or wanted & {plain_words(k) for k in value}:
            return fit_value(type, value)
    if isinstance(type, RecordType) and (parts := _labelled(type, text)):
        return {f.name: parse_value(f.type, parts[f.name]) for f in type.fields if f.name in parts}
    if objects and isinstance(type, RecordType):
        return fit_value(type, objects[-1])
    raise ParseFailure(f"expected {describe_type(type)}, but found no JSON object in {shown(text)}")


def _fit_record(type: RecordType, value: dict[str, Any]) -> dict[str, Any]:
    by_words = {plain_words(k): k for k in reversed(value)}
    fitted: dict[str, Any] = {}
    for f in type.fields:
        key = f.name if f.name in value else by_words.get(plain_words(f.name))
        if key is not None:
            fitted[f.name] = fit_value(f.type, value[key])
    return fitted


def _labelled(type: RecordType, text: str) -> dict[str, str]:
    """`name: value` lines, for a model that leaves out the braces."""
    names = "|".join(re.escape(f.name) for f in type.fields)
    if not names:
        return {}
    label = re.compile(
        rf"^[ \t*#>-]*+[\"'`]?({names})[\"'`]?[*]*[ \t]*+[:=]", re.MULTILINE | re.IGNORECASE
    )
    found = list(label.finditer(text))
    ends = [*(m.start() for m in found[1:]), len(text)]
    parts = {m[1].lower(): text[m.end() : end].strip(" \t\r\n,*") for m, end in zip(found, ends)}
    return {f.name: parts[f.name.lower()] for f in type.fields if f.name.lower() in parts}


def _read_list(type: ListType, text: str) -> list[Any]:
    if text.strip(WRAPPING).lower() in _NOTHING:
        return []
    lists = [v for v in _json_values(text, "[{") if isinstance(v, list | dict)]
    if lists and isinstance(lists[-1], list):
        return [fit_value(type.item, v) for v in lists[-1]]
    if lists and isinstance(type.item, RecordType | DictType | JsonType):
        return [fit_value(type.item, v) for v in lists]
    if "[" in text or isinstance(type.item, RecordType | DictType):
        raise ParseFailure(
            f"expected {describe_type(type)}, but found no JSON list in {shown(text)}"
        )
    return [parse_value(type.item, part) for part in _split_items(text)]


def _split_items(text: str) -> list[str]:
    """Items as bullets or numbered lines, as plain lines, or between commas."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [m[1] for line in lines if (m := _BULLET.fullmatch(line))]
    if marked or len(lines) > 1:
        return marked or lines
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


def _json_values(text: str, openers: str) -> list[Any]:
    """JSON values in a text: the whole of it, else those in the last fence, else in the prose."""
    inner = _unfenced(text)
    try:
        return [read_json(inner)]
    except NotJson:
        fenced = list(find_json(inner, openers))
        return fenced or ("```" in text and list(find_json(text, openers))) or []


def _unfenced(text: str) -> str:
    """The content of the last ``` fence, or the text; fences inside of a JSON value are its own."""
    parts = text.split("```")
    if len(parts) > 2 and text.strip()[:1] in ("[", "{") and _is_json(text):
        return text.strip()
    if len(parts) < 3:
        return text.strip().strip("`").strip()
    inner = parts[-2] if len(parts) % 2 else parts[-1]
    language, newline, rest = inner.partition("\n")
    return (rest if newline and re.fullmatch(r"\s*\w*\s*", language[:40]) else inner).strip()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
