"""A tolerant JSON reader for answers of models: linear in time, bounded in depth, without `eval`.

It reads all that `json` reads. It also accepts prose around the value, single and typographic
quotes, `True`, `None`, words without quotes, trailing commas and `//` comments. Strings may contain
line ends and stray backslashes. A value that is cut off is refused, so half a list never counts as
a complete one. An object with a repeated key is refused, since neither value is certain.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from lmc.prompts.spec import ParseFailure
from lmc.written import exact_float

MAX_DEPTH = 64
MAX_VALUES = 10_000
_SPACE = re.compile(r"(?>\s+|//[^\n]*)*+")
_STRING = re.compile(
    r'"(?P<d>(?>[^"\\]+|\\.)*+)"|\'(?P<s>(?>[^\'\\]+|\\.)*+)\'|“(?P<t>[^”]*+)”', re.DOTALL
)
_WORD = re.compile(r"[^\s,\[\]{}:\"'][^,\[\]{}:\"\n]{0,200}+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")  # `007` is a word
_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_PLAIN_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "b": "\b",
    "f": "\f",
    **dict(zip("\"'\\/", "\"'\\/")),
}
_WORDS = {"true": True, "false": False, "null": None, "none": None}


class NotJson(ValueError):
    """The text is not a JSON value of this kind."""


def read_json(text: str) -> Any:
    """Read a text that is exactly one standard JSON value.

    Half a surrogate pair becomes U+FFFD. Raises: NotJson; ParseFailure for a key given twice.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
    except (ValueError, RecursionError) as e:
        raise NotJson(str(e)) from None
    return _whole_characters(value) if _HALF.search(text) else value


def find_json(text: str, openers: str = "{[") -> Iterator[tuple[Any, int, int]]:
    """Read every outermost object and list in a text, with its start and end.

    `openers` chooses objects, lists or both. Raises: ParseFailure for a repeated key, and for
    thousands of values.
    """
    reader = _Reader(text)
    start = re.compile(f"[{re.escape(openers)}]")
    found, count = start.search(text), 0
    while found and reader.budget > 0:
        reader.budget -= 20  # a failed attempt costs time too
        try:
            value, end = reader.value(found.start(), 0)
            count += 1
            if count > MAX_VALUES:
                raise ParseFailure(f"there are more than {MAX_VALUES} JSON values")
            yield value, found.start(), end
        except NotJson:
            end = found.end()
        found = start.search(text, end)


def why_unreadable(text: str) -> str:
    """The reason why a text that was meant as one JSON object or list cannot be read."""
    at = min((at for at in map(text.find, "{[") if at >= 0), default=0)
    try:
        value, _ = _Reader(text).value(at, 0)
    except NotJson as problem:
        return str(problem)
    return "a list is there" if isinstance(value, list) else "something is wrong with it"


class _Reader:
    """Reads values at offsets. `budget` bounds the characters read over all attempts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.budget = 2 * len(text) + 1000

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        at = self.skip(at)
        opener = self.text[at : at + 1]
        if depth > MAX_DEPTH:
            self.budget = 0  # not an answer: do not retry at each inner bracket
        if self.budget <= 0:
            raise NotJson("nested too deeply")
        if opener == "{":
            return self.members(at + 1, depth + 1)
        if opener == "[":
            return self.items(at + 1, depth + 1)
        return self.scalar(at)

    def items(self, at: int, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while not self.closes(at := self.skip(at), "]"):
            item, at = self.value(at, depth)
            items.append(item)
            at = self.separator(at, "]")
        return items, at + 1

    def members(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        while not self.closes(at := self.skip(at), "}"):
            key, at = self.scalar(at, key=True)
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise NotJson("a key without a colon")
            _refuse_twice(str(key), members)
            members[str(key)], at = self.value(at + 1, depth)
            at = self.separator(at, "}")
        return members, at + 1

    def scalar(self, at: int, *, key: bool = False) -> tuple[Any, int]:
        if found := _STRING.match(self.text, at):
            self.budget -= found.end() - at
            return _unescape(found[found.lastgroup or 0]), found.end()
        if self.text[at : at + 1] in ('"', "'", "“"):
            self.budget -= len(self.text) - at
            raise NotJson("a string without end")
        if not (found := _WORD.match(self.text, at)):
            raise NotJson("a value is missing")
        self.budget -= found.end() - at
        word = found[0].strip()
        if word in ("...", "…"):
            raise NotJson("something is left out")
        return (word if key else _word(word)), found.end()

    def skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        end = found.end() if found else at
        self.budget -= end - at + 1
        return end

    def closes(self, at: int, closer: str) -> bool:
        if at >= len(self.text):
            raise NotJson("the JSON is cut off")
        return self.text[at] == closer

    def separator(self, at: int, closer: str) -> int:
        at = self.skip(at)
        if self.closes(at, closer):
            return at
        if self.text[at] != ",":
            raise NotJson("a comma is missing")
        return at + 1


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        _refuse_twice(key, members)
        members[key] = value
    return members


def _refuse_twice(key: str, members: dict[str, Any]) -> None:
    if key in members:
        raise ParseFailure(f"the JSON has the key {json.dumps(key[:80], ensure_ascii=False)} twice")


def _word(word: str) -> Any:
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    if not _NUMBER.fullmatch(word) or len(word) > 400:
        return word
    return _finite(word) if set(word) & set(".eE") else int(word)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return whole_characters(_ESCAPE.sub(_unescape_one, text))


def whole_characters(text: str) -> str:
    """The text with surrogate pairs joined. A lone half becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _whole_characters(value: Any) -> Any:
    match value:
        case str():
            return whole_characters(value)
        case list():
            return [_whole_characters(v) for v in value]
        case dict():
            return {whole_characters(k): _whole_characters(v) for k, v in value.items()}
        case _:
            return value


def _unescape_one(match: re.Match[str]) -> str:
    if match[1]:
        return chr(int(match[1], 16))
    return _PLAIN_ESCAPES.get(match[2], match[0])


def _finite(text: str) -> float:
    value = exact_float(text)
    if not math.isfinite(value):
        raise NotJson(f"{text} is not a finite number")
    return value


def _refuse_constant(name: str) -> Any:
    raise NotJson(f"{name} is not JSON")
