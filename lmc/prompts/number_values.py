"""The value of a number in a text, for a type: marks, parts, percents and doubtful groups."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from lmc.prompts.quantities import MAX_DIGITS, Quantity
from lmc.prompts.spec import ParseFailure
from lmc.prompts.words import shown
from lmc.types import FloatType, IntType

NumberType = IntType | FloatType

_MARKS = frozenset(map(Decimal, (5, 10, 20, 100)))  # the usual tops of scales
# What begins an explanation.
REASON = r"(?:because|since|as|due|given|for|with|where|when|although|though|while)\b"
_NEGATIVE = re.compile(r"\bnegative\b\W*\Z", re.IGNORECASE)
_NEGATIVE_NEXT = re.compile(
    r"[\s,(–-]*(?:(?:slightly|mildly|very|strongly|somewhat)\s)?negative\b", re.IGNORECASE
)
_RATIO_ENDS = re.compile(
    rf"[\s*_`\"')\]}}]*+(?:(?:points?|stars?|pts|overall|in total)\b)?[\s*_`\"')\]}}]*+"
    rf"(?:\Z|[.,;:!(\[<|\n\u2013\u2014-]|{REASON})",
    re.IGNORECASE,
)


class NumberValues:
    """Turns the numbers of one text into values of one type; with `exact`, floats into decimals."""

    def __init__(self, type: NumberType, text: str, *, exact: bool = False) -> None:
        self.type, self.text, self.exact = type, text, exact

    def value(self, quantity: Quantity) -> int | float | Decimal:
        """The number as a value of the type. Raises: ParseFailure if that needs a guess."""
        said = self.text[quantity.start : quantity.end].strip()
        if not quantity.readings or (quantity.dash and self._may_be_negative()):
            raise ParseFailure(f"{shown(said)} is not one plain number")
        if quantity.percent:
            return self._number([self._of_percent(quantity, said)], said)
        if quantity.of is not None:
            return self._number([self._of_ratio(quantity, said)], said)
        if self._may_be_minus(quantity):
            raise ParseFailure(f"{shown(said)} may be a negative number in {shown(self.text)}")
        euros = "€" in self.text[max(0, quantity.start - 2) : quantity.end + 2]
        return self._number(quantity.readings, said, dot_may_group=euros)

    def _may_be_minus(self, quantity: Quantity) -> bool:
        """Whether words call a number without a minus negative, on a scale with both."""
        if self.type.high is None or not self._may_be_negative() or quantity.readings[0] <= 0:
            return False
        before = _NEGATIVE.search(self.text, max(0, quantity.start - 20), quantity.start)
        return bool(before or _NEGATIVE_NEXT.match(self.text, quantity.end))

    def _may_be_negative(self) -> bool:
        return self.type.low is None or self.type.low < 0

    def _of_percent(self, quantity: Quantity, said: str) -> Decimal:
        low, high = self.type.low, self.type.high
        if high == 100 and len(quantity.readings) == 1:
            return quantity.readings[0]
        if isinstance(self.type, FloatType) and high is not None and high <= 1 and (low or 0) >= -1:
            return quantity.readings[-1] / 100
        raise ParseFailure(f"{shown(said)} may be {quantity.readings[0]} or a part of 1")

    def _of_ratio(self, quantity: Quantity, said: str) -> Decimal:
        """A mark on the type's own scale, a part of 1, or a plain fraction."""
        part, of, high = quantity.readings[-1], quantity.of or Decimal(1), self.type.high
        whole = isinstance(self.type, IntType)
        if len(quantity.readings) > 1 or of.is_nan() or not self._ends_there(quantity):
            raise ParseFailure(f"{shown(said)} is not one plain number")
        if high is not None and of == Decimal(high):
            return part
        if high is not None and high <= 1 and not whole and not part == of == 50:
            return part / of
        if high is None and not whole and quantity.slash and not (of in _MARKS and part <= of):
            return part / of
        if high is None and whole and not quantity.slash:
            return part
        raise ParseFailure(f"{shown(said)} is on another scale")

    def _ends_there(self, quantity: Quantity) -> bool:
        """Whether the ratio stands alone, unlike in "2 of 3 claims are wrong"."""
        if quantity.slash and self.type.high is None:
            return True
        return bool(_RATIO_ENDS.match(self.text, quantity.end))

    def _number(
        self, readings: Sequence[Decimal], said: str, *, dot_may_group: bool = False
    ) -> int | float | Decimal:
        if isinstance(self.type, IntType):
            return self._integer(readings, said)
        if len(readings) > 1:
            if "." in said and not dot_may_group:
                readings = readings[1:]  # a point before three digits is a decimal point
            else:
                raise ParseFailure(f"{shown(said)} may be {readings[0]} or {readings[1]}")
        if self.exact:
            return readings[0]
        value = float(readings[0])
        if not math.isfinite(value):
            raise ParseFailure(f"{said[:40]} is too large")
        return value

    def _integer(self, readings: Sequence[Decimal], said: str) -> int:
        if any(r.adjusted() > MAX_DIGITS for r in readings):
            raise ParseFailure(f"{said[:40]} is too large")
        whole = {int(r) for r in readings if r == r.to_integral_value()}
        if not whole:
            raise ParseFailure(f"{said} is not whole")
        if len(readings) > 1 and "." not in said and readings[1].as_tuple().exponent == -3:
            return int(readings[0])  # nobody writes an integer with three decimals
        if len(whole) > 1 or (len(readings) > 1 and "." in said):
            raise ParseFailure(f"{shown(said)} may be {readings[0]} or {readings[1]}")
        return whole.pop()
