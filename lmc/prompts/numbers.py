r"""Read the number that an answer gives, or fail. The reader never guesses.

It takes the number from the first of these places:

1. after `####` or in a `\\boxed`;
2. after "the answer is";
3. after "score:", "rating is" and similar words;
4. at the start of the text, or as its first line;
5. the result of a sum in the last line;
6. the last line, if it is one number;
7. the only number in the text.

If two numbers of one place differ, the reader fails.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DecimalException, localcontext
from typing import Any

from lmc.prompts.assertions import Standing, standing
from lmc.prompts.number_values import REASON, NumberType, NumberValues
from lmc.prompts.quantities import Quantity, quantities
from lmc.prompts.spec import ParseFailure
from lmc.prompts.words import bounds, shown, without_struck
from lmc.types import FloatType, IntType, WrittenType
from lmc.written import normal, text_of

MAX_LEN = 100_000  # characters; longer texts are not a number with reasons
_DIGITS_AT_ONCE = 16
_EXACT = Context(prec=1000, Emax=MAX_EMAX, Emin=MIN_EMIN)

_MARKUP = r"(?:[\s*_`\"'(\[{#>~≈|]|<[a-z_]+>)*+"
_HEDGE = (
    r"(?:(?:about|approximately|approx\.?|around|roughly|circa|ca\.?|exactly|only|just|almost|nearly|an?"
    r"|clearly|definitely|probably|therefore|thus|hence|equal to|solid|strong|weak|full|good)\s+)*+"
)
_END = r"[*_`\"')\]}]*+"
_CUES = (
    re.compile(r"####|\\boxed\{"),
    re.compile(
        r"\b(?:answer|result|ans)\b[*_\"` \t]*+(?:(?<=ans)\.|is|was|=|:)[ \t]*+[:=]?|^A:",
        re.I | re.M,
    ),
    re.compile(
        r"\b(?:score|rating|grade|value|total|sum|count|number|estimate|confidence|probability|verdict"
        r"|points|stars)\b[*_\"`]*+(?:[ \t]*+(?:is|was|=|:|of)[ \t]*+[:=]?)"
        r"|\b(?:i|we)(?:['’]d|['’]ll|[ ](?:would|will|can))?[ ](?:say|rate|score|give"
        r"|guess|estimate)\b"
        r"(?:[ ](?:(?:the|this|that)[ ](?!an?[ ])[a-z]\w*|it|this|that))?(?:[ ](?:as|at))?"
        r"|\b(?:score|rating|grade)[ ](?=[-−]?\d)|\b(?:deserves|worth)\b|^[^\w\n]*+it(?:['’]s"
        r"|[ ]is)\b",
        re.I | re.M,
    ),
)
_AFTER_CUE = re.compile(r"[ \t*_:=]*+(?:\n\s*+)?")
_SUM = re.compile(
    r"(?:[-+*/×÷−·^x(]|\bof\b)[ ]?[$€£]?[\d.,]+[)%]*+(?:[ ]?[a-z]{1,12})?[ ]?=[^=\w\n]{0,6}\Z", re.I
)
_NOT_UNITS = rf"(?!(?:or|and|to|but|less|more|minus|plus|over|by|times|of|out|not)\b|{REASON})"
_STANDS = (
    r"[ \t]*+(?:\Z|\n|[(\[;:—<]|[.!](?=\s|\Z|[*_`\"')\]}])(?!\s*=)|[-–](?=\s+[^\s\d])"
    rf"|/(?=\s*[^\W\d])|,(?=\s+[\"']?[a-z])|(?={REASON})|[|])"
)
_AFTER_COUNT = re.compile(
    rf"{_END}(?:(?:[ \t]+|-){_NOT_UNITS}[^\W\d_]+){{0,2}}+{_END}{_STANDS}", re.IGNORECASE
)
_AFTER_MARK = re.compile(
    rf"{_END}(?:[ \t]+(?:points?|stars?|pts|marks?)\b)?{_END}{_STANDS}", re.IGNORECASE
)
_EACH = re.compile(r"[ \t](?:[^\W\d_]+[ \t])?(?:each|apiece|per)\b", re.IGNORECASE)
_OTHER = re.compile(
    r"(?:[^()\n]{0,30}?\))??(?:[\s,(\[;]*+[-−+]\d|[\s,(\[;-]*+(?:or|and|to|maybe|perhaps"
    r"|possibly|but|then|if|up to|so|thus|therefore|making|leaning|bordering|minus|plus|less)\b)",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"(?:[ \t][^\W\d_]+)?[\s,(–—-]{1,3}(?:(?:if|unless)\b|or (?:more|less|fewer|higher|lower|so)\b"
    r"|at (?:least|most)[ \t]*(?:\Z|[.,;)\n])|and counting\b"
    r"|(?:possibly|maybe|perhaps|probably|potentially)[ ](?:more|less|fewer|higher|lower)\b)",
    re.IGNORECASE,
)
_NEXT = re.compile(r"[\s,;.:(\[*_]*+")
_ASPECT = re.compile(r"[ \t]*(\((?=[a-z])|for\b|on\b|in\b)", re.IGNORECASE)
_NEXT_ENDS = re.compile(r"[ \t)\]*_]*+(?:\Z|[,;.)\n])")
_SECOND = re.compile(
    r"\b(?:actually|correction|on (?:reflection|second thought)|scratch that|i mean"
    r"|make (?:that|it)"
    r"|wait|rather|instead|no,|hmm+|in fact|sorry|oops|edit:|let me re)", re.IGNORECASE
)  # fmt: skip
_BEST = re.compile(
    r"[\s)]*(?:=|:|is|being|means|as)\s*(?:the\s)?(?:best|perfect|max(?:imum)?|highest|top|excellent)\b",
    re.IGNORECASE,
)
_FROM_TO = r"(?:[01]|[-−]\d{1,3})\s?(?:-|–|to|and|\.\.)\s?(\d{1,4})"
_SCALE = re.compile(
    rf"[(\[]\s*(?:(?:on a |a )?(?:scale|range|from)(?: of"
    rf"| from)?:?\s)?{_FROM_TO}(?: scale)?\s*[)\]]"
    r"|[(\[]\s*out of (\d{1,4})\s*[)\]]"
    rf"|(?:\b(?:on|in|using)\s(?:an?|the)\s)?(?:scale|range):?\s(?:(?:of|from|between)\s)?{_FROM_TO}"
    rf"|(?:\b(?:on|in|using)\s(?:an?|the)\s)?{_FROM_TO}[ -]scale\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?:max(?:imum)?|min(?:imum)?|highest|lowest|possible|passing|threshold|target|previous"
    r"|prior|other)[ ]\Z"
    r"|\b(?:says|said|claims?|asks?|asked|wants|wrote|writes|states|stated|quotes?|reads)\b[^\n.]*\Z",
    re.IGNORECASE,
)  # whose score or answer it is
_SURE = re.compile(r"confidence|probability", re.IGNORECASE)
_ITEM = re.compile(r"\s*\(?1[.)]\s+\S")  # perhaps the start of a list


def read_number(type: NumberType, text: str) -> int | float:
    """Read the number that a text gives as its answer. Raises: ParseFailure."""
    plain = text.strip(" \t\r\n\"'`*").rstrip(".,;:")
    if plain.isdigit() and plain.isascii() and len(plain) < _DIGITS_AT_ONCE:
        return int(plain)  # most answers; the search below is slow
    if len(text) > MAX_LEN:
        raise _refusal(type, f"the answer has {len(text)} characters")
    try:
        with localcontext(_EXACT):
            value: int | float = _Answer(type, text).number()
            return value
    except DecimalException:
        raise _refusal(type, f"{shown(text)} is too large") from None
    except ParseFailure as problem:
        raise _refusal(type, str(problem).removeprefix("expected a number, but ")) from None


def read_decimal(type: WrittenType, text: str) -> str:
    """Read the number that a text gives as its answer, with all of its digits.

    Raises: ParseFailure, ValueError for more digits than a decimal may have.
    """
    low, high = (None if end is None else float(end) for end in (type.low, type.high))
    bounded = FloatType(low, high)
    try:
        return normal("decimal", text.strip(" \t\r\n\"'`*"))  # most answers, and all their digits
    except ValueError:
        pass
    if len(text) > MAX_LEN:
        raise _refusal(bounded, f"the answer has {len(text)} characters")
    try:
        with localcontext(_EXACT):
            return text_of(_Answer(bounded, text, exact=True).number())
    except DecimalException:
        raise _refusal(bounded, f"{shown(text)} is too large") from None
    except ParseFailure as problem:
        raise _refusal(bounded, str(problem).removeprefix("expected a number, but ")) from None


def _refusal(type: NumberType, why: str) -> ParseFailure:
    kind = "an integer" if isinstance(type, IntType) else "a number"
    return ParseFailure(f"expected {kind}{bounds(type.low, type.high)}, but {why}")


class _Answer:
    """One text with its numbers and their places."""

    def __init__(self, type: NumberType, text: str, *, exact: bool = False) -> None:
        self.type = type
        self.text = self._without_scale(without_struck(text).replace("**", "  ").replace("`", " "))
        self.all = quantities(self.text)
        self.value = NumberValues(type, self.text, exact=exact).value
        self._starts = [q.start for q in self.all]

    def _without_scale(self, text: str) -> str:
        """The text with spaces for the type's own scale: "(1-5)". Raises: ParseFailure."""
        if self.type.high is None:
            return text
        tops = {m[m.lastindex or 0] for m in _SCALE.finditer(text)}
        if any(Decimal(top) != Decimal(self.type.high) for top in tops):
            raise self._another_scale(text)
        return _SCALE.sub(lambda m: " " * len(m[0]), text)

    def _another_scale(self, text: str) -> ParseFailure:
        return ParseFailure(f"the scale in {shown(text)} is another one")

    def number(self) -> Any:
        """The number that is the answer, a Decimal if it is `exact`. Raises: ParseFailure."""
        if not self.all:
            raise ParseFailure(f"no number was found in {shown(self.text)}")
        if any(map(self._is_other_scale, self.all)):
            raise self._another_scale(self.text)
        for rank in (self._cued, self._leading, self._sums, self._last_line, self._only):
            values = {self.value(q) for q in rank()}
            if len(values) == 1:
                return values.pop()
            if values:
                raise self._many()
        raise self._many()

    def _many(self) -> ParseFailure:
        if len(self.all) == 1:
            return ParseFailure(f"none is given as the answer in {shown(self.text)}")
        several = f"{len(self.all)} numbers were found in {shown(self.text)}"
        return ParseFailure(f"{several}, and it is not said which one is meant")

    # --- places of the number ---

    def _cued(self) -> Sequence[Quantity]:
        """The numbers after the strongest announcing words, and the number at the start."""
        others = False
        for cue in _CUES:
            cues = [m for m in cue.finditer(self.text) if not self._is_aside(m)]
            others |= any(self._is_of_others(m) for m in cues)
            told = [self._told(m.end()) for m in cues if not self._is_of_others(m)]
            if found := [q for q in told if q is not None]:
                return [*found, *self._beside(cue)]
        if others:
            raise self._many()
        return ()

    def _is_of_others(self, cue: re.Match[str]) -> bool:
        """Whether words announce another number, as in "maximum score: 10"."""
        return bool(_OTHERS.search(self.text, max(0, cue.start() - 50), cue.start()))

    def _is_aside(self, cue: re.Match[str]) -> bool:
        """Whether words announce how sure a number before them is."""
        high = self.type.high
        part = high is not None and high <= 1
        return bool(not part and _SURE.match(cue[0]) and self._starts[0] < cue.start())

    def _beside(self, cue: re.Pattern[str]) -> Sequence[Quantity]:
        """The numbers at the start that must agree with an announced one.

        An announced answer ends a chain of reasoning, whose first words may hold any number. Only a
        first line that is one number contradicts it.
        """
        if cue is _CUES[0]:
            return ()
        first_line, _, rest = self.text.strip().partition("\n")
        reasons = cue is _CUES[1] and rest and len(first_line.split()) > 1
        return () if reasons else self._leading()

    def _told(self, at: int) -> Quantity | None:
        """The number that an announcement at an offset gives, in its line or the next one."""
        start = _AFTER_CUE.match(self.text, at).end()  # type: ignore[union-attr]
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        inside = self._within(start, end)
        if not inside:
            return None
        if sums := [q for q in inside if self._is_sum(q)]:
            return sums[-1]
        return self._first(start, end)

    def _leading(self) -> Sequence[Quantity]:
        start = len(self.text) - len(self.text.lstrip())
        first = self._first(start, len(self.text))
        if first is None or (_ITEM.match(self.text) and len(self.text.strip()) > 3):
            return ()
        last = list(self._last_line())
        return [first, *last]

    def _first(self, start: int, end: int) -> Quantity | None:
        """The number at the start of a span, if the words after it allow it as the answer."""
        inside = self._within(start, end)
        if not inside or not re.fullmatch(
            _MARKUP + _HEDGE + _MARKUP, self.text[start : inside[0].start], re.I
        ):
            return None
        first = inside[0]
        ends = _AFTER_COUNT if self.type.high is None else _AFTER_MARK
        following = ends.match(self.text, first.end, end)
        if following is None or (first.pronoun and self.text[first.end : end].strip(" .*`\"')")):
            return None
        rest = following.end()
        others = {q.readings for q in self._within(rest, len(self.text))} - {first.readings}
        if others and (
            _OTHER.match(self.text, rest)
            or _EACH.match(self.text, first.end)
            or _SECOND.search(self.text, rest)
        ):
            raise self._many()
        if self._has_neighbour(first, rest) or self._has_other_aspect(first, rest):
            raise self._many()
        if _OPEN.match(self.text, first.end) or self._standing(first) == "denied":
            raise ParseFailure(f"{shown(self.text)} leaves the number open")
        self._require_scale(rest)
        return first

    def _has_neighbour(self, first: Quantity, rest: int) -> bool:
        """Whether another number stands right beside one: `5 (6)`, `3; 4`."""
        at = _NEXT.match(self.text, rest).end()  # type: ignore[union-attr]
        beside = self._within(at, at + 1)
        return bool(
            beside
            and beside[0].readings not in ((), first.readings)
            and "\n" not in self.text[first.end : at]
            and _NEXT_ENDS.match(self.text, beside[0].end)
        )

    def _has_other_aspect(self, first: Quantity, rest: int) -> bool:
        """Whether another number is said in the same way: "4 for style, 5 for depth"."""
        aspect = _ASPECT.match(self.text, first.end)
        others = self._within(rest, rest + 80) if aspect else []
        ways = [_ASPECT.match(self.text, q.end) for q in others if q.readings]
        return aspect is not None and any(way and way[1] == aspect[1] for way in ways)

    def _require_scale(self, rest: int) -> None:
        """Refuse a number whose explanation names another scale than that of the type."""
        high = self.type.high
        named = [q.readings for q in self._within(rest, rest + 80) if _BEST.match(self.text, q.end)]
        if high is not None and any(Decimal(high) not in best for best in named):
            raise self._another_scale(self.text)

    def _standing(self, quantity: Quantity) -> Standing:
        return standing(self.text, quantity.start, quantity.end)

    def _is_other_scale(self, quantity: Quantity) -> bool:
        """Whether a number is the top of another scale, as in "out of 5, I'd say 4"."""
        before = self.text[max(0, quantity.start - 8) : quantity.start].lower()
        alone = quantity.of is None and before.endswith("out of ")
        return alone and self.type.high is not None and self.type.high not in quantity.readings

    def _sums(self) -> Sequence[Quantity]:
        """The result of the last sum of the last line with numbers."""
        last = self.text.rfind("\n", 0, self.all[-1].start) + 1
        results = [q for q in self._within(last, len(self.text)) if self._is_sum(q)]
        return results[-1:]

    def _is_sum(self, quantity: Quantity) -> bool:
        before = self.text[max(0, quantity.start - 40) : quantity.start]
        return bool(_SUM.search(before)) and quantity.of is None

    def _last_line(self) -> Sequence[Quantity]:
        """The last line, if it is only one number."""
        end = len(self.text.rstrip())
        start = self.text.rfind("\n", 0, end) + 1
        inside = self._within(start, end)
        if len(inside) != 1:
            return ()
        around = self.text[start : inside[0].start] + " " + self.text[inside[0].end : end]
        return inside if not re.search(r"[^\W_]", around) else ()

    def _only(self) -> Sequence[Quantity]:
        """The only number of the text. On a scale, a bare count within prose does not count."""
        kept = [q for q in self.all if not q.pronoun]
        if len(kept) == 1 and (
            self._standing(kept[0]) != "asserted" or _OPEN.match(self.text, kept[0].end)
        ):
            return ()
        if len(kept) < len(self.all) or self.type.high is None:
            return kept if len(kept) == len(self.all) else ()
        return (
            [q for q in kept if q.of is not None or q.exact or q.percent] if len(kept) == 1 else ()
        )

    def _within(self, start: int, end: int) -> list[Quantity]:
        return self.all[bisect_left(self._starts, start) : bisect_left(self._starts, end)]
