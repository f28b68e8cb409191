"""Values as text in a prompt, and text back into values: writing is strict, reading tolerant."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from lmc.check.types import (
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
from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import NotJson, find_json, read_json

MAX_DIGITS = 400
_WRAPPING = " \t\r\n\"'`*.,;:!()“”‘’"
_NOTHING = {"", "null", "none", "n/a", "nothing", "[]", "-"}
_TRUE = {"true", "yes", "correct", "right", "valid", "y", "1"}
_FALSE = {"false", "no", "incorrect", "wrong", "invalid", "n", "0"}
_TRUTH = re.compile(
    r"(?:(\bnot |n't )\s*+)?\b(true|yes|correct|right|valid|false|no|incorrect|wrong|invalid)\b"
)
_CUE = re.compile(
    r"\b(?:answer|result)\b[*_ \t]*+(?:is|=|:)[ \t]*+[:=]?|####|\\boxed\{|^A:", re.I | re.M
)
_NUMBER = re.compile(
    r"(?:(?<![\w)\]])[-+])?[$€£¥]?(?:(?<=[$€£¥])-)?(?<![A-Za-z_\d])(?<!\d\.)"
    r"(?:\d{1,3}(?:[,_\u00a0\u202f]\d{3})++(?!\d)|\d++|(?=\.\d))(?:\.\d++)?(?:[eE][-+]?\d++)?"
)
_RATIO = re.compile(r"(-?\d{1,15}(?:\.\d{1,15})?)\s*/\s*(\d{1,15}(?:\.\d{1,15})?)")
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

    Numbers: a text that is one number gives it; else the number after the last "answer is",
    "answer:", "####" or `\boxed{`; else the last line with a number decides: the first number
    after its last `=`, or its last number. Words for truth values and choices are found in the same
    order: the whole text, after "answer is", the only one mentioned. Lists are JSON, lines or
    commas. Time is linear in the text. Raises: ParseFailure.
    """
    match type:
        case StrType():
            return text.strip()
        case OptionalType(item):
            return _read_optional(item, text)
        case IntType() | FloatType():
            return read_number(type, text)
        case BoolType():
            return _read_bool(text)
        case EnumType() | LiteralType():
            return _read_choice(type, text)
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


def read_number(type: IntType | FloatType, text: str) -> int | float:
    """The number that a text gives as its answer (see `parse_value`). Raises: ParseFailure."""
    kind = "an integer" if isinstance(type, IntType) else "a number"
    plain = (
        text.replace("**", " ")
        .replace("`", " ")
        .replace("−", "-")
        .strip(" \t\r\n\"'")
        .rstrip(".,;:")
    )
    if isinstance(type, FloatType) and (ratio := _RATIO.fullmatch(plain)) and float(ratio[2]):
        return float(ratio[1]) / float(ratio[2])
    found = _answer_number(plain)
    if found is None:
        raise ParseFailure(f"expected {kind}, but no number was found in {_shown(text)}")
    value = _number(found[0].replace(",", "").replace("_", ""), kind)
    if isinstance(type, FloatType):
        return (
            value / 100
            if _is_share(type) and plain[found.end() : found.end() + 1] == "%"
            else value
        )
    if isinstance(value, float) and not value.is_integer():
        raise ParseFailure(f"expected an integer, but {found[0]} is not whole")
    return int(value)


def _number(digits: str, kind: str) -> int | float:
    digits = re.sub(r"[$€£¥ \u00a0\u202f]", "", digits)
    if len(digits) > MAX_DIGITS:
        raise ParseFailure(f"expected {kind}, but the number has {len(digits)} digits")
    value = float(digits)
    if not math.isfinite(value):
        raise ParseFailure(f"expected {kind}, but {digits} is too large")
    return value if set(digits) & set(".eE") else int(digits)


def _answer_number(text: str) -> re.Match[str] | None:
    """The number meant as the answer."""
    if (after := _after_cue(text)) is not None and (found := _in_line(text, *after, last=False)):
        return found
    end = len(text)
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        if found := _in_line(text, start, end, last=True):
            return found
        end = start - 1
    return None


def _in_line(text: str, start: int, end: int, *, last: bool) -> re.Match[str] | None:
    equals = text.rfind("=", start, end)
    if equals >= 0 and (found := _NUMBER.search(text, equals + 1, end)):
        return found
    numbers = list(_NUMBER.finditer(text, start, end))
    return numbers[-1 if last else 0] if numbers else None


def _after_cue(text: str) -> tuple[int, int] | None:
    """Where the words after the last "the answer is" stand: to the end of their line."""
    cues = list(_CUE.finditer(text))
    if not cues:
        return None
    said = text[cues[-1].end() :]
    start = len(text) - len(said.lstrip())
    end = text.find("\n", start)
    return start, end if end >= 0 else len(text)


def _is_share(type: FloatType) -> bool:
    return type.high is not None and type.high <= 1


def _read_bool(text: str) -> bool:
    words = list(_TRUTH.finditer(text.lower().replace("’", "'")))
    plain = text.strip(_WRAPPING).lower()
    if plain in _TRUE | _FALSE:
        return plain in _TRUE
    if words and words[0].start() <= len(text) - len(text.lstrip(_WRAPPING)):
        return _truth(words[0])
    if (after := _after_cue(text)) and (
        told := [w for w in words if after[0] <= w.start() < after[1]]
    ):
        return _truth(told[0])
    values = {_truth(w) for w in words}
    if len(values) == 1:
        return values.pop()
    problem = "both were found" if values else "neither was found"
    raise ParseFailure(f"expected true or false, but {problem} in {_shown(text)}")


def _truth(word: re.Match[str]) -> bool:
    return (word[2] in _TRUE) != bool(word[1])


def _read_choice(type: EnumType | LiteralType, text: str) -> str:
    choices = type.values if isinstance(type, LiteralType) else type.variants
    by_words = {_words(c): c for c in reversed(choices)}
    if text.strip() in choices:
        return text.strip()
    if (whole := by_words.get(_words(text))) is not None:
        return whole
    after = _after_cue(text)
    told = text[slice(*after)] if after else ""
    last_line = text.rstrip().rpartition("\n")[2]
    for part, first in ((told, True), (text, False), (last_line, False)):
        if (found := _mentioned(choices, part, first=first)) is not None:
            return found
    raise ParseFailure(f"expected one of: {', '.join(choices)}; got {_shown(text)}")


def _mentioned(choices: tuple[str, ...], text: str, *, first: bool) -> str | None:
    """The only choice that a text mentions (or the first): as written, else in other letters."""
    names = {_words(c): c for c in choices if len(c) > 1}
    for named, haystack in (({c: c for c in choices}, text), (names, _words(text))):
        longest_first = sorted(filter(None, named), key=len, reverse=True)
        pattern = r"(?<!\bnot )(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)"
        found = [m[0] for m in re.finditer(pattern, haystack)] if longest_first else []
        if found and (first or len(set(found)) == 1):
            return named[found[0]]
    return None


def _words(text: str) -> str:
    """A text for comparison: lower case, words apart by one space, no punctuation around."""
    return " ".join(re.split(r"[\s_-]+", text.casefold())).strip(_WRAPPING)


def _read_optional(item: Type, text: str) -> Any:
    if text.strip(_WRAPPING).lower() not in _NOTHING:
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
    wanted = {_words(f.name) for f in type.fields} if isinstance(type, RecordType) else set()
    objects = [v for v in _json_values(text, "{") if isinstance(v, dict)]
    for value in reversed(objects):
        if not wanted or wanted & {_words(k) for k in value}:
            return fit_value(type, value)
    if isinstance(type, RecordType) and (parts := _labelled(type, text)):
        return {f.name: parse_value(f.type, parts[f.name]) for f in type.fields if f.name in parts}
    if objects and isinstance(type, RecordType):
        return fit_value(type, objects[-1])
    raise ParseFailure(
        f"expected {describe_type(type)}, but found no JSON object in {_shown(text)}"
    )


def _fit_record(type: RecordType, value: dict[str, Any]) -> dict[str, Any]:
    by_words = {_words(k): k for k in reversed(value)}
    fitted: dict[str, Any] = {}
    for f in type.fields:
        key = f.name if f.name in value else by_words.get(_words(f.name))
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
    if text.strip(_WRAPPING).lower() in _NOTHING:
        return []
    lists = [v for v in _json_values(text, "[{") if isinstance(v, list | dict)]
    if lists and isinstance(lists[-1], list):
        return [fit_value(type.item, v) for v in lists[-1]]
    if lists and isinstance(type.item, RecordType | DictType | JsonType):
        return [fit_value(type.item, v) for v in lists]
    if "[" in text or isinstance(type.item, RecordType | DictType):
        raise ParseFailure(
            f"expected {describe_type(type)}, but found no JSON list in {_shown(text)}"
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
    """The content of the last ``` fence, or the text."""
    parts = text.split("```")
    if len(parts) < 3:
        return text.strip().strip("`").strip()
    inner = parts[-2] if len(parts) % 2 else parts[-1]
    language, newline, rest = inner.partition("\n")
    return (rest if newline and re.fullmatch(r"\s*\w*\s*", language[:40]) else inner).strip()


def _shown(text: str) -> str:
    """The text for a message, shortened in its middle."""
    text = text.strip()
    if not text:
        return "the empty answer"
    return json.dumps(
        text if len(text) <= 80 else f"{text[:38]} … {text[-38:]}", ensure_ascii=False
    )
