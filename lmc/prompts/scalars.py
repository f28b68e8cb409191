"""Numbers, truth values and choices, read out of what a model says."""

from __future__ import annotations

import json
import math
import re

from lmc.prompts.spec import ParseFailure
from lmc.types import EnumType, FloatType, IntType, LiteralType

MAX_DIGITS = 400
WRAPPING = " \t\r\n\"'`*.,;:!()“”‘’"
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
    if plain.isdigit() and plain.isascii() and len(plain) < 16:
        return int(plain)  # as most answers are: the search below takes longer than all the rest
    if isinstance(type, FloatType) and (ratio := _RATIO.fullmatch(plain)) and float(ratio[2]):
        return float(ratio[1]) / float(ratio[2])
    found = _answer_number(plain)
    if found is None:
        raise ParseFailure(f"expected {kind}, but no number was found in {shown(text)}")
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
    if _NUMBER.fullmatch(_first_line(text).rstrip(" .,;%")):
        return _NUMBER.search(text)
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


def read_bool(text: str) -> bool:
    """Read yes or no: the whole text, its first word, after "answer is", the only one said."""
    words = list(_TRUTH.finditer(text.lower().replace("’", "'")))
    plain = text.strip(WRAPPING).lower()
    if plain in _TRUE | _FALSE:
        return plain in _TRUE
    if words and words[0].start() <= len(text) - len(text.lstrip(WRAPPING)):
        return _truth(words[0])
    if (after := _after_cue(text)) and (
        told := [w for w in words if after[0] <= w.start() < after[1]]
    ):
        return _truth(told[0])
    values = {_truth(w) for w in words}
    if len(values) == 1:
        return values.pop()
    problem = "both were found" if values else "neither was found"
    raise ParseFailure(f"expected true or false, but {problem} in {shown(text)}")


def _truth(word: re.Match[str]) -> bool:
    return (word[2] in _TRUE) != bool(word[1])


def read_choice(type: EnumType | LiteralType, text: str) -> str:
    """Read one of the names: the whole text, after "answer is", the only one mentioned."""
    choices = type.values if isinstance(type, LiteralType) else type.variants
    by_words = {plain_words(c): c for c in reversed(choices) if plain_words(c)}
    for whole in (text, _first_line(text)):  # an explanation may follow the answer
        if whole.strip() in choices:
            return whole.strip()
        if (said := by_words.get(plain_words(whole))) is not None:
            return said
    after = _after_cue(text)
    told = text[slice(*after)] if after else ""
    last_line = text.rstrip().rpartition("\n")[2]
    for part, first in ((told, True), (text, False), (last_line, False)):
        if (found := _mentioned(choices, part, first=first)) is not None:
            return found
    raise ParseFailure(f"expected one of: {', '.join(choices)}; got {shown(text)}")


def _mentioned(choices: tuple[str, ...], text: str, *, first: bool) -> str | None:
    """The only choice that a text mentions (or the first): as written, else in other letters."""
    names = {plain_words(c): c for c in choices if len(plain_words(c)) > 1}
    for named, haystack in (({c: c for c in choices}, text), (names, plain_words(text))):
        longest_first = sorted(filter(None, named), key=len, reverse=True)
        pattern = r"(?<!\bnot )(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)"
        found = [m[0] for m in re.finditer(pattern, haystack)] if longest_first else []
        if found and (first or len(set(found)) == 1):
            return named[found[0]]
    return None


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def plain_words(text: str) -> str:
    """A text for comparison: lower case, words apart by one space, no punctuation around."""
    return " ".join(re.split(r"[\s_-]+", text.casefold())).strip(WRAPPING)


def shown(text: str) -> str:
    """The text for a message, shortened in its middle."""
    text = text.strip()
    if not text:
        return "the empty answer"
    return json.dumps(
        text if len(text) <= 80 else f"{text[:38]} … {text[-38:]}", ensure_ascii=False
    )
