"""Find numbers in text as people write them. A doubtful number has no reading.

Examples are `1.234,56`, `12k`, `30 %`, `4/5`, `4 out of 5`, `1.5 × 10^6` and `twenty-one`. Ranges
(`3-4`), bounds (`at least 5`), dates and sums are found too, so that no part of one is taken for
the number.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Decimal, DecimalException

from lmc.prompts.number_words import RUN, read_words
from lmc.prompts.spec import ParseFailure

MAX_QUANTITIES = 2000
MAX_DIGITS = 400
_THIN = "\u00a0\u2009\u202f"  # no-break spaces may separate groups of digits
_VULGAR = "¼-¾⅐-⅞"
_TOKEN = re.compile(
    rf"(?P<digits>(?:(?<![\d.])\.)?\d+(?:[.,_'’{_THIN}]\d+)*+(?:[eE][-+]?\d+)?(?:\s?[{_VULGAR}])?)"
    rf"|(?P<vulgar>[{_VULGAR}])|(?P<words>{RUN})",
    re.IGNORECASE,
)
_GROUPED = re.compile(
    r"[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{3})+\.\d+|(?:\.\d{3}){2,}|(?:\.\d{3})+,\d+"
    rf"|(?:[{_THIN}]\d{{3}})+(?:[.,]\d+)?|(?:['’]\d{{3}})+(?:\.\d+)?|(?:_\d{{3}})+(?:\.\d+)?)"
)
_ONE_MARK = re.compile(r"(\d*)([.,])(\d+)")
_MINUS = r"\-\u2212\u2013\ufe63\uff0d"
_BEFORE = re.compile(
    rf"(?P<bound>(?<![^\s(])(?:[<>]=?|[≤≥≠±√∛]|!=|\|(?=[-−]))[ ]?|\w\(|\b(?:not|never|n[o']t"
    rf"|least|most|than"
    rf"|over|under|above|below|up to|exceeds"
    rf"|exceeding|within|minimum(?: of)?|maximum(?: of)?|min|max|all but|upwards of|short of"
    rf"|(?:north|south|half|double|triple|square root) of|half|twice|double|triple|thrice|log|mod"
    rf"|every|each|another|oh)[ \t]+(?:an?[ \t]+)?)?"
    rf"(?P<minus>\b(?:minus|negative)[ \t]+)?"
    rf"(?P<sign>[+{_MINUS}])?[ ]?(?P<money>R\$|[$€£¥₹]|\b(?:USD|EUR|GBP|CHF)(?=[ \d]))?"
    rf"(?P<later>[ ]?[{_MINUS}](?=\S))?(?P<space>[ \t]*)\Z",
    re.IGNORECASE,
)
_SUPERS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺−", "0123456789-+-")
_POWER = re.compile(
    r"\s?(?:[x×·*]|\\times|\\cdot)\s?10(?:\s?(?:\^|\*\*)\s?[({]?([-+−]?\d{1,3})[)}]?"
    r"|([⁻⁺]?[⁰¹²³⁴-⁹]{1,3}))",
)
_PERCENT = re.compile(r"\s?(?:[%％]|\\%|per\s?cent\b|pct\b)", re.IGNORECASE)
_SIZES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SIZES |= {"k": 3, "mio": 6, "mln": 6, "mn": 6, "bn": 9, "bln": 9, "mrd": 9, "tn": 12, "trn": 12}
_SIZE = re.compile(rf"[ -]?({'|'.join(sorted(_SIZES, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_LETTER = re.compile(r"[ ]?([kKmMbBtT])\b")  # after money; else doubtful (metres, minutes)
_WITH_MONEY = {"k": 3, "m": 6, "b": 9, "t": 12}
_UNIT = re.compile(
    r"(?:°\s?[CFK]?|st|nd|rd|th|x|px|pt|em|rem|kg|g|mg|lb|lbs|oz|km|cm|mm|nm|ft|mi|mph|(?<!\d\d\d0)s|ms|sec|min|h"
    r"|hr|hrs|d|l|ml|cl|kB|KB|MB|GB|TB|Hz|kHz|MHz|GHz|V|W|kW|kWh|A|mA|J|kJ|kcal|C|F|Pa|dB|USD|EUR|GBP"
    r"|[$€£¥₹])(?![^\W_])"
)
_UNREADABLE = re.compile(
    r"¢|\s[eE][-+]?\d|[ -](?:below|under|above)\b|\s?[万萬亿億千百十만억천백]"
    r"|\s(?:mille|mila|duizend|tausend|tusen|grand|myriads?)\b"
    r"|\s(?:[mbtqgz]\w{0,6}illi?(?:on|ón|ard)|mili(?:on|ard)|milh)\w*|\s(?:twos|threes|fours"
    r"|fives|sixes|sevens|eights|nines)\b|[ -](?:tenths|hundredths|thousandths|more|less|fewer"
    r"|plus|short"
    r"|too|extra|minimum|maximum|squared)\b|[²³¹⁰⁴-⁹‰_]|[^\W\d]|\s?(?:dozens?|scores?|lakhs?|crores?|gross|tens|hundreds|thousands|mil)\b"
    r"|\s?(?:[½⅓¼]|and\s+(?:an?\s+)?(?:half|third|quarter)|halves|thirds|quarters|fifths|tenths)\b"
    r"|\s?±|\+|-(?=\s|\Z|[.,])|\s?(?:or|and)\s(?:more|less|fewer|up|above|below|over|under|higher"
    r"|lower|so)\b|\s?(?:at (?:most|least)|max|min)\b|:\d|\^|\*\*|\.\.|['′″\"](?=\d)"
    r"|\s(?:point|squared|cubed)\b",
    re.IGNORECASE,
)
_OUT_OF = re.compile(
    r"[\s(,]{1,3}(?:[a-z]{1,12}\s)?out of(?:\s(?:an?|the))?(?:\s(?:possible|total"
    r"|maximum)(?:\sof)?)?\s",
    re.IGNORECASE,
)
_SCALE = re.compile(
    r"[\s(,]{1,3}(?:[a-z]{1,12}\s)?(?:on|in|from)?\s?(?:an?|the)?\s?(?:scale|range)\s"
    r"(?:(?:of|from)\s)?(?:between\s)?",
    re.IGNORECASE,
)
_RANGE = re.compile(
    r"\s?(?:[-–—~…]|\.{2,3}|\\?[-–]{2}|\b(?:to|through|till|until|and|or)\b)\s?", re.I
)
_SUM = re.compile(
    r"\s?(?:[+*×÷·^x±]|(?<=\s):|:(?![ \t])|[-−–—]|\\times|\b(?:plus|minus|times|divided by"
    r"|over|less than"
    r"|more than)\b)\s?",
    re.IGNORECASE,
)
_OF = re.compile(r"[ \t](?:of[ \t](?:the[ \t])?|in[ \t])")
_NAME = re.compile(r"(?<![\w.])[^\W\d_]+-\Z")
_SLASH = re.compile(r"\s{0,3}[/⁄∕]\s{0,3}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text, from `start` to `end`.

    `readings` are its possible values. There are two if a mark may group digits or begin decimals,
    and none if it is not one number. `of` is the number that it is out of, after a `/` (perhaps of
    a fraction) or after words.
    """

    start: int
    end: int
    readings: tuple[Decimal, ...]
    percent: bool = False
    of: Decimal | None = None
    slash: bool = False
    dash: bool = False  # after a dash and a space: perhaps a minus
    pronoun: bool = False  # `one`
    exact: bool = False  # digits with decimals


def quantities(text: str) -> list[Quantity]:
    """All numbers of a text, in order. Raises: ParseFailure if there are thousands."""
    found: list[Quantity] = []
    for token in _TOKEN.finditer(text):
        if found and token.start() < found[-1].end:  # the word of "1.2 million"
            if token.end() > found[-1].end:
                found[-1] = replace(found[-1], end=token.end(), readings=())
        elif (one := _read(text, token)) is not None:
            found.append(one)
        if len(found) > MAX_QUANTITIES:
            raise ParseFailure(f"expected one number, but there are more than {MAX_QUANTITIES}")
    return _joined(text, found)


def _read(text: str, token: re.Match[str]) -> Quantity | None:
    """The number at a token, with the marks around it; None inside a name (`H2O`)."""
    start, end = token.span()
    before = _BEFORE.search(text[max(0, start - 24) : start])
    at = start - (len(before[0]) if before else 0)
    attached = text[start - 1 : start]
    if attached == "-" and _NAME.search(text, max(0, start - 24), start):
        return None  # a part of a name: `GPT-4`
    if not (before and before["money"]) and (attached.isalpha() or attached == "_"):
        return None
    readings = _of_token(token)
    money = bool(before and before["money"])
    if money and len(readings) == 2 and "," in token[0] and before and before["money"] in "$£¥₹":
        readings = readings[:1]  # 1,234 cannot have cents
    readings, end, percent = _with_suffix(text, readings, end, money=money)
    sign, dash, stray = _sign(text, at, before)
    loss = (
        money and text[at - 1 : at] == "(" and text[end : end + 1] == ")"
    )  # an accountant's minus
    if stray or loss or (token["words"] and text[end : end + 1] == "-"):
        readings = ()
    exact = bool(token["digits"]) and "." in token[0]
    return Quantity(
        at if sign < 0 or money else start, end, tuple(sign * r for r in readings), percent,
        dash=dash, pronoun=token[0].lower() == "one", exact=exact,
    )  # fmt: skip


def _sign(text: str, at: int, before: re.Match[str] | None) -> tuple[int, bool, bool]:
    """The sign, whether a dash makes it doubtful, and whether it is a bound, not a number."""
    if before is None:
        return 1, False, False
    marks = [m for m in (before["sign"], (before["later"] or "").strip()) if m]
    stray = (
        bool(before["bound"])
        or len(marks) > 1
        or (text[max(0, at - 1) : at] in tuple("^@\\.-–−") and not before[0][:1].isspace())
    )
    if before["minus"]:
        return -1, False, stray or bool(marks)
    if not marks or marks == ["+"]:
        return 1, False, stray
    last = text[max(0, at - 8) : at].rstrip(" ")[-1:]
    attached = text[max(0, at - 1) : at] == last and last.isalnum()
    if attached or last.isdigit() or last in (")", "]", "%"):
        return 1, False, stray  # the dash joins two numbers, or a word and a number
    if before["space"] or before[0].rstrip()[-1:] != before[0][-1:] or f"{marks[0]} " in before[0]:
        return 1, True, stray
    return -1, False, stray


def _of_token(token: re.Match[str]) -> tuple[Decimal, ...]:
    if token["words"]:
        number = read_words(token[0])
        return () if number is None else (number,)
    if token["vulgar"]:
        return (_vulgar(token[0]),)
    digits = token[0]
    if digits[-1] not in "0123456789" and not digits[-1].isdecimal():
        whole = digits[:-1].strip()
        return (Decimal(whole) + _vulgar(digits[-1]),) if whole.isdecimal() else ()
    return literal(digits)


def literal(digits: str) -> tuple[Decimal, ...]:
    """The readings of digits with marks between them: first as groups, then with decimals."""
    if len(digits) > MAX_DIGITS:
        raise ParseFailure(f"expected a number, but this one has {len(digits)} digits")
    mantissa, _, power = digits.lower().partition("e")
    times = Decimal(1).scaleb(int(power)) if power and len(power) < 7 else Decimal(1)
    if mantissa.isdecimal():
        return (Decimal(mantissa) * times,)
    if _GROUPED.fullmatch(mantissa):
        return () if power else (Decimal(_grouped(mantissa)),)
    found = _ONE_MARK.fullmatch(mantissa)
    if found is None:
        return ()
    whole, mark, rest = found.groups()
    decimal = Decimal(f"{whole or 0}.{rest}") * times
    if power or len(rest) != 3 or not 1 <= len(whole) <= 3 or whole.startswith("0"):
        return (decimal,) if mark == "." or whole else ()
    return (Decimal(whole + rest), decimal)


def _grouped(text: str) -> str:
    """Grouped digits as a plain number. If the last mark differs, it is the decimal point."""
    marks = re.findall(r"\D", text)
    if len(set(marks)) == 1:
        return re.sub(r"\D", "", text)
    whole, rest = text[: text.rindex(marks[-1])], text[text.rindex(marks[-1]) + 1 :]
    return re.sub(r"\D", "", whole) + "." + rest


def _vulgar(sign: str) -> Decimal:
    return Decimal(str(round(unicodedata.numeric(sign), 15)))


def _with_suffix(
    text: str, readings: tuple[Decimal, ...], end: int, *, money: bool
) -> tuple[tuple[Decimal, ...], int, bool]:
    """Apply a power, size or percent after a number. Other changes of it leave no reading."""
    power = 0
    if found := _POWER.match(text, end):
        power, end = int((found[1] or found[2]).translate(_SUPERS)), found.end()
    elif found := _SIZE.match(text, end):
        power, end = _SIZES[found[1].lower()], found.end()
        readings = () if found[1] == "K" and not money else readings
    elif found := _LETTER.match(text, end):
        known = money or (found[0] == "M")
        power, end = _WITH_MONEY[found[1].lower()], found.end()
        readings = readings if known else ()
    if found := _UNIT.match(text, end):
        end = found.end()
    percent = _PERCENT.match(text, end)
    end = percent.end() if percent else end
    if _UNREADABLE.match(text, end):
        readings = ()
    try:
        return tuple(r.scaleb(power) for r in readings), end, bool(percent)
    except DecimalException:
        return (), end, bool(percent)


def _joined(text: str, found: list[Quantity]) -> list[Quantity]:
    """Join numbers to the fractions, scales, ranges and sums that they form."""
    joined: list[Quantity] = []
    at = 0
    while at < len(found):
        one, parts = found[at], 1
        while at + parts < len(found):
            following = found[at + parts]
            gap = text[one.end : following.start]
            if len(gap) > 40 or (whole := _with(one, gap, following, text)) is None:
                break
            one, parts = whole, parts + 1
        if text[max(0, one.start - 1) : one.start] in ("/", "⁄"):
            one = replace(one, readings=())  # a part of something unknown
        joined.append(one)
        at += parts
    return joined


def _with(one: Quantity, gap: str, other: Quantity, text: str) -> Quantity | None:
    """Join two neighbours, if the text between them does."""
    said = text[other.start : other.end]
    nothing = replace(one, end=other.end, readings=(), of=None, percent=False)
    taken = one.of is not None or not one.readings or len(other.readings) != 1
    slash = bool(_SLASH.fullmatch(gap))
    if slash and re.search(r"\d[ ]?[^\W\d_]", said):
        return nothing  # "1/2 million"
    if slash or _OUT_OF.fullmatch(gap) or _OF.fullmatch(gap):
        if taken or one.percent or other.percent or other.readings[0] == 0:
            return nothing
        return replace(one, end=other.end, of=other.readings[0], slash=slash)
    if _SCALE.fullmatch(gap):
        # The two ends of the range join next. The number stays; the upper end is its top.
        return nothing if taken else replace(one, end=other.end, of=Decimal("NaN"))
    if one.of is not None and one.of.is_nan():
        ends = re.fullmatch(r"\s?(?:-|–|to|and)\s?", gap) and len(other.readings) == 1
        return replace(one, end=other.end, of=abs(other.readings[0])) if ends else nothing
    if _RANGE.fullmatch(gap) or _SUM.fullmatch(gap) or (gap == "" and other.start >= one.end):
        return nothing
    return None
