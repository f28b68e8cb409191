"""The forms of expressions by the type that they give, as patterns.

In a pattern, `«int»` is an expression of that type, `«[str]»` one of a list, `«any»` one of any
type, `«same»` one of the type that is wanted and `«item»` one of its items. `«0..3»` is a number,
and `«+|-»` one of some signs.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.test_soundness.kinds import (
    BOOL,
    DATE,
    DATETIME,
    DECIMAL,
    FLOAT,
    INT,
    STR,
    TIME,
    Kind,
)

SCALAR: Mapping[Kind, tuple[str, ...]] = {
    STR: (
        "(«str» + «str»)",
        "str(«any»)",
        "upper(«str»)",
        "lower(strip(«str»))",
        'replace(«str», "a", «str»)',
        'join(«[str]», ", ")',
        "code(«str»)",
        "(«str»)[«-3..2»:«-2..5»]",
        "(«str»)[:«int»]",
    ),
    INT: (
        "(«int» «+|-|*|%» «int»)",
        "len(«str»)",
        "len(«[any]»)",
        "len(«{int}»)",
        "int(«str»)",
        "int(«float»)",
        "int(«bool»)",
        "int(«decimal»)",
        "round(«float»)",
        "round(«decimal»)",
        "abs(«int»)",
        "-(«int»)",
        "sum(«[int]»)",
        "max(«int», «int»)",
        "count(«[bool]»)",
        "count(«[str]», lower(«str»))",
        "(«date» - «date»)",
        "(«date»).«year|month|weekday»",
        "(«datetime»).«year|month|weekday»",
        "(«time»).minute",
        "tune[«0..3», 5]",
    ),
    FLOAT: (
        "(«float» «+|-|*|/» «float»)",
        "(«int» / «int»)",
        "float(«str»)",
        "float(«int»)",
        "round(«float», «-1..3»)",
        "sum(«[float]»)",
        "(«datetime» - «datetime»)",
        "min(«float», «int»)",
        "abs(«float»)",
    ),
    BOOL: (
        "(«bool» «and|or» «bool»)",
        "(not «bool»)",
        'matches(«str», r"(a|b)*\\w")',
        "(lower(«str») in «[str]»)",
        "(«str» in «str»)",
        "any(«[bool]»)",
        "all(«[bool]»)",
    ),
    DATE: (
        "(«date» «+|-» «int»)",
        "date(«datetime»)",
        "(«datetime»).date",
        '(date(lower(«str»)) ?? date("2026-01-31"))',
    ),
    TIME: ("(«datetime»).time",),
    DATETIME: ("(«datetime» + «int»)", "(«datetime» - «float»)"),
    DECIMAL: (
        "(«decimal» «+|-|*|/» «decimal»)",
        "(«decimal» «+|-|*|/» «int»)",
        "round(«decimal», «-2..3»)",
        "abs(«decimal»)",
        "sum(«[decimal]»)",
        "decimal(«int»)",
        "(decimal(strip(«str»)) ?? decimal(1))",
    ),
}
LIST = (
    "(«same» + «same»)",
    "(«same»)[«-2..1»:«-1..3»]",
    "(«same»)[«int»:]",
    "flatten(«[same]»)",
    "unique(«same»)",
    "find(«same», «str», 2)",
    "[«item» for «1..3»]",
)
LIST_OF: Mapping[Kind, tuple[str, ...]] = {
    INT: ("range(«0..3»)", "range(«int», 4)"),
    STR: ("split(«str»)", "keys(«{any}»)"),
}
