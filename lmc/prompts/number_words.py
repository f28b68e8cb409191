"""English number words: `seven`, `twenty-one`, `two hundred and five`, `two thirds`."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6,
    "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10, "twelfth": 12, "twentieth": 20,
    "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_WORD = "|".join(sorted([*_UNITS, *_TENS, "hundred", "dozen", *_SCALES], key=len, reverse=True))
_PART = "|".join(_PARTS)
_SIZE = "|".join(_SCALES)

# A run of number words. `read_words` decides whether it is a number ("one two" is not).
RUN = (
    rf"\b(?:(?:{_WORD})\b(?:(?:[ \t-]|[ \t]and[ \t])(?:{_WORD})\b)*+(?:[ \t-](?:{_PART})s?)?"
    rf"|an?[ \t](?:hundred|dozen|{_SIZE}|{_PART})"
    rf"|half[ \t]an?[ \t](?:hundred|dozen|{_SIZE})|half|(?:hundred|dozen|{_SIZE})s)\b"
)


def read_words(run: str) -> Decimal | None:
    """The number that a run of words means; None if it is not exactly one number."""
    words = " ".join(run.lower().replace("-", " ").split())
    if part := re.fullmatch(r"half an? (\w+)", words):
        return (read_words(f"one {part[1]}") or Decimal(0)) / 2
    words = re.sub(r"^an? ", "one ", words)
    count, _, name = words.rpartition(" ")
    if count and name.removesuffix("s") in _PARTS:
        number, of = _below_thousand().get(count), _PARTS[name.removesuffix("s")]
        return None if number is None or number >= of else Decimal(number) / of
    return Decimal("0.5") if words == "half" else _whole(words)


def _whole(words: str) -> Decimal | None:
    total, below = 0, 10**15
    for part in re.findall(
        rf"(?:(?!\b(?:{'|'.join(_SCALES)})\b).)+(?:{'|'.join(_SCALES)})?", words
    ):
        number, _, scale = part.strip().rpartition(" ")
        if scale not in _SCALES:
            number, scale = part.strip(), ""
        value, times = _below_thousand().get(number.removeprefix("and ")), _SCALES.get(scale, 1)
        if value is None or times >= below:
            return None
        total, below = total + value * times, times
    return Decimal(total) if below < 10**15 else None


@cache
def _below_thousand() -> dict[str, int]:
    """Numbers by their words, with and without the "and" after "hundred"."""
    small = {word: n for n, word in enumerate(_UNITS)}
    for n, ten in enumerate(_TENS, 2):
        small[ten] = 10 * n
        small |= {f"{ten} {_UNITS[unit]}": 10 * n + unit for unit in range(1, 10)}
    found = small | {f"{_UNITS[n]} dozen": 12 * n for n in range(1, 13)} | {"dozen": 12}
    for n in range(1, 20):  # "eleven hundred"
        hundred = f"{_UNITS[n]} hundred"
        found[hundred] = 100 * n
        for word, value in small.items():
            if value:
                found[f"{hundred} {word}"] = found[f"{hundred} and {word}"] = 100 * n + value
    return found
