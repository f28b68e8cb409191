"""The table of the graph's operations. All code that lists operations or their bodies uses it.

A row has an operation's effects, its inputs, and its bodies in their order. The specification
(`lmc.ir.verify`), the planner, the passes, the places of a trace and their readers
(`lmc.traces.selectors`) follow this table. The code of an operation is elsewhere.

If an operation numbers its bodies in the places of a trace, the order in this table is the order of
the numbers. `to.` and the tools of an agent stand for any number of bodies.

A body sees what its operation binds for it. It also sees `names` (the operation's inputs, by name)
or `free` (the values from outside, by name; they follow the operation's own inputs).
`lmc.ir.functions` implements the functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Literal

from lmc.check.program import WAYS_TO_VOTE
from lmc.check.settings import TABLE
from lmc.check.statements import MAX_ROUNDS
from lmc.frozen import frozen
from lmc.ir.graph import OPTION, Op
from lmc.types import (
    BOOL,
    JSON,
    STR,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    Type,
)
from lmc.written import KINDS

# none: its value follows from its inputs. fails: it may end the run. bodies: what its bodies do.
# calls: it asks a model, runs a tool or another graph, reads or writes a store.
Effect = Literal["none", "fails", "bodies", "calls"]
# A number; as many as `names`; as many as `fn`, the graph or tool `target`, or `count` says.
Arity = int | Literal["names", "function", "target", "count"]
Special = Literal[
    "names", "slots", "choice", "way", "offers"
]  # attributes that are not JSON values
# What a body gives: the node's value, an item of it, yes or no, a number, a score, a text or none,
# anything.
Gives = Literal["value", "item", "bool", "number", "score", "text", "any"]
TOOLS = ""  # begins the key of a tool's body, as it begins every key


@frozen
class AttrSpec:
    """The form of an attribute: a JSON value of a type, a choice of values, or a special form."""

    takes: Type | Special
    needed: bool = True
    tunable: bool = False


@frozen
class BodySpec:
    """A body: the names that are bound for it, its result, and whether it may run several times.

    A `pure` body makes no calls. With `many`, there is any number of bodies, and `name` is the
    prefix of their keys.
    """

    name: str
    gives: Gives
    binds: tuple[str, ...] = ()
    needed: bool = True
    repeats: bool = False
    pure: bool = False
    many: bool = False


@frozen
class OpSpec:
    """One operation.

    With `own_region`, its parts are numbered from the place of its module. Otherwise they are
    numbered from the node's own place in its graph. `attempt` is the body that makes the first
    attempt at the result, on the unchanged inputs.
    """

    effect: Effect
    inputs: Arity
    attrs: Mapping[str, AttrSpec] = field(default_factory=dict)
    bodies: tuple[BodySpec, ...] = ()
    own_region: bool = False
    attempt: str | None = None


def _text() -> AttrSpec:
    return AttrSpec(STR)


def _maybe(type: Type) -> AttrSpec:
    return AttrSpec(type, needed=False)


def _setting(kind: str, key: str, *, needed: bool = True) -> AttrSpec:
    """The form of a declaration's setting."""
    spec = TABLE[kind][key]
    assert isinstance(spec.takes, Type)
    return AttrSpec(spec.takes, needed, spec.tunable)


def _or_none(kind: str, key: str) -> AttrSpec:
    spec = _setting(kind, key)
    assert isinstance(spec.takes, Type)
    return AttrSpec(OptionalType(spec.takes), spec.needed, spec.tunable)


_NAMES, _FREE = AttrSpec("names"), AttrSpec("names")
# The names of the tools that an agent may use, if not all: a choice of an optimizer.
_TOOL_LISTS = AttrSpec(ListType(STR, 1, None), needed=False, tunable=True)

OPS: Mapping[Op, OpSpec] = {
    "input": OpSpec("none", 0, {"name": _text()}),
    "const": OpSpec("none", 0, {"value": AttrSpec(JSON)}),
    "choice": OpSpec("none", 0, {"choice": AttrSpec("choice")}),
    "op": OpSpec(
        "none",
        "function",
        {
            "fn": _text(),
            "name": _maybe(STR),
            "names": AttrSpec("names", needed=False),
            "by": _maybe(STR),
            "default": _maybe(JSON),
            "of": _maybe(LiteralType(KINDS)),  # what its operands are: dates and the like
        },
    ),
    "model": OpSpec(
        "calls",
        "names",
        {
            "names": _NAMES,
            "slots": AttrSpec("slots"),
            "role": AttrSpec(LiteralType(("generate", "critique", "revise", "adjudicate", "act"))),
            "steady": _maybe(BOOL),
            "offers": AttrSpec("offers", needed=False),  # the tools of an agent
            "tools": _TOOL_LISTS,
        },
        (
            BodySpec("require", "bool", ("out",), needed=False, repeats=True, pure=True),
            BodySpec("check", "any", ("out",), needed=False, repeats=True, pure=True),
            BodySpec("role", "text", needed=False, repeats=True, pure=True),
            BodySpec("begin", "text", needed=False, repeats=True, pure=True),
        ),
    ),
    "call": OpSpec("calls", "target", {"target": _text()}),
    "tool": OpSpec("calls", "target", {"target": _text()}),
    "map": OpSpec(
        "bodies",
        "count",
        {
            "count": AttrSpec(IntType(1, None)),
            "free": _FREE,
            "in_flight": _maybe(IntType(1, None)),
        },
        (
            BodySpec("filter", "bool", needed=False, repeats=True),
            BodySpec("item", "item", repeats=True),
        ),
    ),
    "samples": OpSpec(
        "bodies",
        0,
        {
            "n": AttrSpec(IntType(1, MAX_ROUNDS), tunable=True),
            "free": _FREE,
            "fused": AttrSpec("names", needed=False),  # modules that all samples ask the same
        },
        (BodySpec("sample", "item", repeats=True),),
    ),
    "weigh": OpSpec("bodies", 0, {"free": _FREE}, (BodySpec("value", "any"),)),
    "loop": OpSpec(
        "bodies",
        1,
        {
            "name": _text(),
            "bound": AttrSpec(IntType(1, MAX_ROUNDS), tunable=True),
            "free": _FREE,
        },
        (
            BodySpec("until", "bool", needed=False, repeats=True),
            BodySpec("body", "value", repeats=True),
        ),
    ),
    "cond": OpSpec(
        "bodies",
        1,
        {"free": _FREE},
        (BodySpec("then", "value"), BodySpec("otherwise", "value")),
    ),
    "refine": OpSpec(
        "calls",
        "names",
        {
            "names": _NAMES,
            "rounds": _setting("refine", "rounds"),
            "stop_early": _setting("refine", "stop_early", needed=False),
        },
        (
            BodySpec("draft", "value"),
            BodySpec("check", "any", ("draft",), repeats=True),
            BodySpec("until", "bool", ("draft", "check"), needed=False, repeats=True),
            BodySpec("revise", "value", ("draft", "check"), repeats=True),
        ),
        own_region=True,
        attempt="draft",
    ),
    "vote": OpSpec(
        "calls",
        "names",
        {
            "names": _NAMES,
            "n": _setting("vote", "n"),
            "by": AttrSpec("way"),
            "ties": _setting("vote", "ties"),
            "stop_early": _or_none("vote", "stop_early"),
            "min_agree": _or_none("vote", "min_agree"),
            "normalize": _setting("vote", "normalize"),
            "window": _setting("vote", "window", needed=False),
            "confidence": _setting("vote", "confidence", needed=False),
            "weight": _maybe(LiteralType(("score", "certainty", "expr"))),
            "fused": AttrSpec("names", needed=False),  # modules that all samples ask the same
        },
        (
            BodySpec("sample", "value", repeats=True),
            BodySpec("key", "number", ("out",), needed=False, repeats=True, pure=True),
            BodySpec("compare", "any", ("first", "second"), needed=False, repeats=True),
            BodySpec("difficulty", "number", needed=False),
            BodySpec("adjudicate", "value", ("candidates",), needed=False),
        ),
        own_region=True,
        attempt="sample",
    ),
    "search": OpSpec(
        "calls",
        "names",
        {
            "names": _NAMES,
            **{k: _setting("search", k) for k in ("method", "width", "keep", "depth", "rounds")},
        },
        (
            BodySpec("expand", "item", ("path",), repeats=True),
            BodySpec("value", "score", ("path",), repeats=True),
            BodySpec("until", "bool", ("path",), needed=False, repeats=True),
        ),
        own_region=True,
    ),
    "agent": OpSpec(
        "calls",
        "names",
        {"names": _NAMES, "steps": _setting("agent", "steps"), "tools": _TOOL_LISTS},
        (
            BodySpec("act", "any", ("transcript",), repeats=True),
            BodySpec(TOOLS, "any", needed=False, repeats=True, many=True),
        ),
        own_region=True,
    ),
    "route": OpSpec(
        "calls",
        "names",
        {
            "names": _NAMES,
            "by": AttrSpec(LiteralType(("case", "expr", "score", "certainty"))),
            "threshold": _setting("route", "threshold", needed=False),
        },
        (
            BodySpec("by", "any", ("out",), needed=False),  # once for a case, or for each answer
            BodySpec(OPTION, "value", many=True),
        ),
        own_region=True,
    ),
    "store": OpSpec("calls", 0, {"store": _text()}),  # what it held when the run began
    "find": OpSpec("calls", 2, {"store": _text()}),  # by vectors: a query, and how many
    "keep": OpSpec("calls", 1, {"store": _text()}),  # when the run ends
    "assert": OpSpec("fails", 1, {"message": _maybe(OptionalType(STR))}),
    "return": OpSpec("none", 1),
}

WAYS = ("value", "model", "expr", *WAYS_TO_VOTE)  # of a vote to decide, beside fields


def _those(holds: Callable[[OpSpec], bool]) -> frozenset[str]:
    return frozenset(op for op, spec in OPS.items() if holds(spec))


PURE = _those(lambda spec: spec.effect == "none")
CALLS = _those(lambda spec: spec.effect == "calls")
OF_BODIES = _those(lambda spec: spec.effect == "bodies")
STEPS = CALLS | OF_BODIES  # may take time, so remarks and views show it
OWN_REGION = _those(lambda spec: spec.own_region)
ATTEMPTS: Mapping[str, str] = {op: spec.attempt for op, spec in OPS.items() if spec.attempt}


def body_numbers(op: Op) -> Mapping[str, int]:
    """The number of each body of an operation in the places of a trace."""
    return {body.name: number for number, body in enumerate(OPS[op].bodies)}


def body_spec(op: Op, key: str) -> BodySpec | None:
    """The row of a body; None if the operation has no such body."""
    named = (body for body in OPS[op].bodies if body.name == key and not body.many)
    many = (body for body in OPS[op].bodies if body.many and key.startswith(body.name))
    return next(named, next(many, None))
