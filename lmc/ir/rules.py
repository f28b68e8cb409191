"""Rules of the specification for all nodes, by their rows in the table of operations.

A rule returns its text if a node breaks it. Later rules may rely on earlier ones, so only the first
broken rule of a node is reported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from lmc.check.program import Choice, options_of
from lmc.check.subtyping import is_text, required
from lmc.ir.functions import FUNCTIONS
from lmc.ir.graph import Graph, Node, Slots
from lmc.ir.op_rules import OWN_RULES, Rule, Site, is_number, item_of, variables_of
from lmc.ir.ops import OPS, WAYS, AttrSpec, BodySpec, OpSpec, body_spec
from lmc.ir.type_rules import is_strings, json_parts
from lmc.types import (
    JSON,
    NONE,
    STR,
    BoolType,
    ErrorType,
    Type,
    score_type,
)

Bound = dict[str, Type | None]  # the inputs of a body, by name, with their types if known


# --- attributes ---


def _attributes(spec: OpSpec) -> Rule:
    needed = [key for key, attr in spec.attrs.items() if attr.needed]
    checks = {key: _attribute(attr) for key, attr in spec.attrs.items()}
    words = f"has the attributes {', '.join(needed)}"

    def rule(site: Site) -> str | None:
        attrs = site.node.attrs
        for key in needed:
            if key not in attrs:
                return words
        for key, value in attrs.items():
            check = checks.get(key)
            if check is None:
                return f"has no attribute `{key}`"
            if not check(site, value):
                return f"`{key}` is {_asked(spec.attrs[key])}"
        return None

    return rule


def _asked(spec: AttrSpec) -> str:
    if isinstance(spec.takes, Type):
        return f"`{spec.takes}`" + (", or a choice of such" if spec.tunable else "")
    return _FORMS[spec.takes]


_FORMS = {
    "names": "names, each once",
    "way": "a way to vote",
    "choice": "a choice, with one list of options wherever it stands",
    "slots": "the slots of a module",
    "offers": "tools with names, inputs, a result and a text, each once",
}


def _attribute(spec: AttrSpec) -> Callable[[Site, Any], bool]:
    takes = spec.takes
    if takes == STR:
        return lambda site, value: value.__class__ is str
    if takes == JSON:
        return lambda site, value: bool(json_parts(value))
    if isinstance(takes, Type):
        return lambda site, value: _holds(site, value, takes, tunable=spec.tunable)
    return _SPECIAL[takes]


def _holds(site: Site, value: Any, type: Type, *, tunable: bool) -> bool:
    if value.__class__ is Choice and not (tunable and site.declared.is_choice(value)):
        return False
    return all(site.declared.types.holds(option, type) for option in options_of(value))


def _are_names(site: Site, value: Any) -> bool:
    return is_strings(value) and len(set(value)) == len(value)


def _is_way(site: Site, value: Any) -> bool:
    return value in WAYS if value.__class__ is str else bool(value) and is_strings(value)


_SPECIAL: Mapping[str, Callable[[Site, Any], bool]] = {
    "names": _are_names,
    "way": _is_way,
    "choice": lambda site, value: site.declared.is_choice(value),
    "slots": lambda site, value: value.__class__ is Slots,
    "offers": lambda site, value: site.declared.is_offers(value),
}


# --- inputs ---


def _inputs(spec: OpSpec) -> Rule:
    """A node has as many inputs as its operation takes. The values of `free` follow them."""
    free = "free" in spec.attrs
    words = "the values of `free` follow its own inputs" if free else _NUMBERS[spec.inputs]

    def rule(site: Site) -> str | None:
        more = len(site.node.attrs["free"]) if free else 0
        own = len(site.inputs) - more
        low, high = _arity(spec, site.node)
        return None if low <= own <= high else words

    return rule


_NUMBERS = {
    0: "takes 0 inputs",
    1: "takes 1 inputs",
    2: "takes 2 inputs",
    "names": "names its inputs",
    "function": "its function is known, and takes as many inputs",
    "target": "calls a graph with as many inputs",
    "count": "has as many lists as it counts",
}


def _arity(spec: OpSpec, node: Node) -> tuple[int, float]:
    match spec.inputs:
        case "names":
            count = len(node.attrs["names"])
        case "count":
            count = node.attrs["count"]
        case "function":
            return function_arity(node.attrs["fn"])
        case "target":
            return 0, float("inf")  # checked with the types of the arguments
        case number:
            count = int(number)
    return count, count


@cache
def function_arity(name: str) -> tuple[int, float]:
    """How many values a function takes; empty for an unknown function."""
    if name not in FUNCTIONS:
        return 1, 0
    _, *values = inspect.signature(FUNCTIONS[name]).parameters.values()
    single = [value for value in values if value.kind is not inspect.Parameter.VAR_POSITIONAL]
    needed = sum(value.default is inspect.Parameter.empty for value in single)
    return needed, float("inf") if len(single) < len(values) else len(values)


# --- bodies ---


def _bodies(op: Any, spec: OpSpec) -> Rule:
    needed = [body for body in spec.bodies if body.needed]
    words = f"has the bodies {', '.join(f'{b.name}…' if b.many else b.name for b in needed)}"

    def rule(site: Site) -> str | None:
        found = set()
        for key, body in site.node.bodies.items():
            row = body_spec(op, key)
            if row is None:
                return words
            found.add(row.name)
            wrong = site.declared.header(body) or _body(site, row, body)
            if wrong:
                return f"body {key}: {wrong}"
        return None if all(row.name in found for row in needed) else words

    return rule


def _body(site: Site, row: BodySpec, body: Graph) -> str | None:
    if body.kind != "body":
        return "is of the kind body"
    bound = _bound(site, row, body)
    for port in body.inputs:
        if port.name not in bound:
            return "its bodies take only what it gives them"
        given = bound[port.name]
        if given is not None and not site.fits(given, port.type):
            return f"`{port.name}` is of the type that is given"
    return None if _gives(site, row, body.result) else f"gives {_GIVES[row.gives]}"


def _bound(site: Site, row: BodySpec, body: Graph) -> Bound:
    """The inputs that a body may take."""
    node = site.node
    bound: Bound = {}
    names = node.attrs.get("names", ()) if OPS[node.op].inputs == "names" else ()
    bound.update((name, value.type) for name, value in zip(names, site.inputs))
    free = node.attrs.get("free", ())
    own = site.inputs[: len(site.inputs) - len(free)]
    bound.update((name, value.type) for name, value in zip(free, site.inputs[len(own) :]))
    match node.op:
        case "map":
            items = (item_of(value.type) for value in own)
            bound.update(zip(variables_of(body, free), items))
        case "loop":
            bound[node.attrs["name"]] = node.type
        case "agent" if row.many:
            bound = dict.fromkeys(port.name for port in body.inputs)  # bound by its arguments
        case "route" if node.attrs["by"] == "case":
            return bound
    return bound | dict.fromkeys(row.binds)


_GIVES = {
    "value": "what the node gives",
    "item": "an item of what the node gives",
    "bool": "yes or no",
    "number": "a number",
    "score": "a number, or a record with one as its score",
    "text": "a text, or none",
}


def _gives(site: Site, row: BodySpec, result: Type) -> bool:
    type = site.node.type
    match row.gives:
        case "value":
            return site.fits(result, type)
        case "item":
            item = item_of(type)
            return item is None or site.fits(result, item)
        case "bool":
            return isinstance(result, BoolType | ErrorType)
        case "number":
            return is_number(result)
        case "score":
            return is_number(score_type(result) or result)
        case "text":
            return result == NONE or is_text(required(result))
    return True


def _rules(op: Any, spec: OpSpec) -> Iterator[Rule]:
    if spec.attrs:
        yield _attributes(spec)
    if spec.inputs != "target":
        yield _inputs(spec)
    if spec.bodies:
        yield _bodies(op, spec)
    yield OWN_RULES[op]


RULES: Mapping[str, tuple[Rule, ...]] = {op: tuple(_rules(op, spec)) for op, spec in OPS.items()}
