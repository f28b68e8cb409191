"""Long chains of branches -> graphs that do not nest deeply.

A few branches nest, one in the `otherwise` of the one before, as they are written. Where there are
many, their conditions are asked first, in their order and only as far as needed, which gives the
number of the branch; a tree of comparisons then finds it. So a chain of thousands of branches nests
no deeper than a few dozen regions, and costs what its conditions and its dearest branch cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmc.frozen import frozen
from lmc.ir.body import Body, Lowering
from lmc.source import Span
from lmc.types import BOOL, INT, STR, ListType, Type

MOST_NESTED = 12  # branches that nest as they are written


@frozen
class Case:
    """A branch: when it is taken, and what it gives."""

    condition: Lowering
    value: Lowering
    span: Span


def choose(body: Body, type: Type, cases: Sequence[Case], otherwise: Lowering) -> str:
    """The value of the first case whose condition holds, else of `otherwise`."""
    if len(cases) <= MOST_NESTED:
        return _nested(body, type, cases, otherwise)
    span = cases[0].span
    number = _number(body, cases)
    values = [*(case.value for case in cases), otherwise]
    return _found(body, type, values, number, span)


def _nested(body: Body, type: Type, cases: Sequence[Case], otherwise: Lowering) -> str:
    if not cases:
        return otherwise(body)
    case, *rest = cases
    condition = case.condition(body)
    return body.either(
        type, condition, case.value, lambda b: _nested(b, type, rest, otherwise), case.span
    )


def _number(body: Body, cases: Sequence[Case]) -> str:
    """The number of the first case that holds, the number of cases where none does."""
    count, number = len(cases), ""
    for start in range(0, count, MOST_NESTED):
        some = [
            Case(case.condition, _constant(start + i, case.span), case.span)
            for i, case in enumerate(cases[start : start + MOST_NESTED])
        ]
        none = _constant(count, some[0].span)
        number = _decided(body, number, some, none) if number else _nested(body, INT, some, none)
    return number


def _decided(body: Body, number: str, cases: Sequence[Case], none: Lowering) -> str:
    """The number as it is where a case held before, else that of the next ones."""
    name, span = body.hide(number), cases[0].span
    held = body.operation("ne", BOOL, (number, none(body)), span)
    return body.either(
        INT, held, lambda b: b.name(name), lambda b: _nested(b, INT, cases, none), span
    )


def _found(
    body: Body, type: Type, values: Sequence[Lowering], number: str, span: Span, first: int = 0
) -> str:
    """The value of that number, of which the values are those from `first` on."""
    if len(values) == 1:
        return values[0](body)
    half = len(values) // 2
    name = body.hide(number)
    before = body.operation("lt", BOOL, (number, _constant(first + half, span)(body)), span)

    def part(values: Sequence[Lowering], first: int) -> Lowering:
        return lambda b: _found(b, type, values, b.name(name), span, first)

    return body.either(
        type, before, part(values[:half], first), part(values[half:], first + half), span
    )


def _constant(value: int, span: Span) -> Lowering:
    return lambda body: body.constant(value, INT, span)


Arm = tuple[Sequence[str] | None, Lowering, Span]  # the texts it is for (None: all), its value


def match(body: Body, type: Type, subject: str, arms: Sequence[Arm]) -> str:
    """The value of the arm that a text is for; the last one needs no test.

    The arms exclude one another, so many are found in a tree: one half or the other has the text.
    """
    if len(arms) == 1:
        return arms[0][1](body)
    half = 1 if len(arms) <= MOST_NESTED else len(arms) // 2
    name, span = body.hide(subject), arms[0][2]
    texts = [text for wanted, _, _ in arms[:half] for text in wanted or ()]
    hit = body.operation("in", BOOL, (subject, body.constant(texts, ListType(STR), span)), span)

    def part(arms: Sequence[Arm]) -> Lowering:
        return lambda b: match(b, type, b.name(name), arms)

    return body.either(type, hit, part(arms[:half]), part(arms[half:]), span)
