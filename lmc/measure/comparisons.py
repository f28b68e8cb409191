"""The built-in comparisons of a gold value with a predicted one, each from 0 to 1."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lmc.prompts.numbers import read_number
from lmc.prompts.spec import ParseFailure
from lmc.prompts.values import parse_value
from lmc.types import FLOAT, INT, BoolType, FloatType, IntType, OptionalType, Type

Compare = Callable[[Any, Any, Type], float]
RELATIVE_TOLERANCE = 1e-6
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def accuracy(gold: Any, pred: Any, type: Type) -> float:
    """1 if the values are equal by the type of the prediction, else 0.

    Texts are compared without case, spaces, and surrounding quotes or periods. Numbers are compared
    by value, even if the row has them as text. Lists and records are compared part by part. If a
    text has a list of gold values, any of them counts.
    """
    if isinstance(gold, list) and isinstance(pred, str):
        return float(any(_same(g, pred, type) for g in gold))
    return float(_same(gold, pred, type))


def f1(gold: Any, pred: Any, type: Type) -> float:
    """The token overlap (F1) of two texts. With several gold texts, the best one counts.

    Source: SQuAD 1.1, evaluate-v1.1.py.
    """
    if isinstance(gold, list) and isinstance(pred, str):
        return max((_token_f1(g, pred) for g in gold), default=0.0)
    return _token_f1(gold, pred)


def contains(gold: Any, pred: Any, type: Type) -> float:
    """1 if the prediction contains the words of the gold text, or of one of several; else 0."""
    text = f" {' '.join(_tokens(pred))} "
    options = gold if isinstance(gold, list) else [gold]
    return float(any(f" {' '.join(_tokens(g))} " in text for g in options if _tokens(g)))


def numeric(gold: Any, pred: Any, type: Type) -> float:
    """1 if both values have a number as their answer and the numbers agree to 1e-6, else 0."""
    wanted, got = _as_number(gold), _as_number(pred)
    return float(
        wanted is not None
        and got is not None
        and math.isclose(wanted, got, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12)
    )


COMPARISONS: dict[str, Compare] = {
    "accuracy": accuracy,
    "f1": f1,
    "contains": contains,
    "numeric": numeric,
}


def _same(gold: Any, pred: Any, type: Type) -> bool:
    if isinstance(type, OptionalType):
        type = type.item
    if isinstance(type, BoolType | IntType | FloatType) and isinstance(gold, str):
        gold = _read(type, gold)
    match gold, pred:
        case bool(), bool():
            return gold == pred
        case (bool(), _) | (_, bool()):
            return _normal(_word(gold)) == _normal(_word(pred))
        case int() | float(), int() | float():
            return math.isclose(gold, pred, rel_tol=1e-9)
        case str(), str():
            return _normal(gold) == _normal(pred)
        case (int() | float(), str()) | (str(), int() | float()):
            one, other = _as_plain_number(gold), _as_plain_number(pred)
            return one is not None and one == other
        case list(), list():
            item: Type = getattr(type, "item", type)
            return len(gold) == len(pred) and all(_same(g, p, item) for g, p in zip(gold, pred))
        case dict(), dict():
            return all(k in pred and _same(v, pred[k], _member(type, k)) for k, v in gold.items())
        case _:
            return bool(gold == pred)


def _member(type: Type, name: str) -> Type:
    fields: dict[str, Type] = {f.name: f.type for f in getattr(type, "fields", ())}
    return fields.get(name, type)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" \"'`.,;:!?“”‘’")


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(type: Type, text: str) -> Any:
    try:
        return parse_value(type, text)
    except ParseFailure:
        return text


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if not isinstance(value, str):
        return float(value)
    for type in (FLOAT, INT):  # as a whole number `1,072` means one thing
        with suppress(ParseFailure):
            return float(read_number(type, value))
    return None


def _as_plain_number(value: Any) -> float | None:
    """The value of a number, or of a text that is only a number."""
    try:
        number = float(value.replace(",", "")) if isinstance(value, str) else float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _tokens(value: Any) -> list[str]:
    """The words in lower case, without punctuation and articles, as SQuAD normalises them."""
    text = _word(value).lower().translate(_PUNCTUATION)
    return _ARTICLES.sub(" ", text).split()


def _token_f1(gold: Any, pred: Any) -> float:
    wanted, got = _tokens(gold), _tokens(pred)
    if not wanted or not got:
        return float(wanted == got)
    shared = sum((Counter(wanted) & Counter(got)).values())
    return 2 * shared / (len(wanted) + len(got))
