"""What the specification asks of a node: by its row in the table of operations, and of its own.

A rule gives what it asks for, in words, where a node does not keep it. Later rules of a node may
rely on the earlier ones: the first that is broken is told.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from lmc.check.program import Choice, options_of
from lmc.check.subtyping import required
from lmc.ir.actions import FINISH
from lmc.ir.declaration_rules import DeclarationRules
from lmc.ir.functions import FUNCTIONS
from lmc.ir.graph import Graph, Node, Port, Slots, route_options
from lmc.ir.ops import OPS, WAYS, AttrSpec, BodySpec, OpSpec, body_spec
from lmc.ir.type_rules import is_strings, json_parts
from lmc.types import (
    JSON,
    STR,
    BoolType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    RecordType,
    StrType,
    Type,
    score_type,
)


@dataclass(slots=True)
class Site:
    """A node with what stands around it."""

    declared: DeclarationRules
    graph: Graph
    ports: Mapping[str, Port]  # of the graph
    node: Node
    inputs: tuple[Node, ...]

    def fits(self, actual: Type, wanted: Type) -> bool:
        """Whether a type fits where another is wanted."""
        return self.declared.types.fits(actual, wanted)


Rule = Callable[[Site], str | None]
Bound = dict[str, Type | None]  # what a body may take, by name, with its type where it is known


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
            if check is None or not check(site, value):
                return f"`{key}` is an attribute with such a value"
        return None

    return rule


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
}


# --- inputs ---


def _inputs(spec: OpSpec) -> Rule:
    """As many inputs as the operation takes; the values of `free` follow them."""
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
            return 0, float("inf")  # told with the types of the arguments
        case number:
            count = int(number)
    return count, count


@cache
def function_arity(name: str) -> tuple[int, float]:
    """How many values a function takes; none at all where it is not known."""
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
    """What a body may take."""
    node = site.node
    bound: Bound = {}
    names = node.attrs.get("names", ()) if OPS[node.op].inputs == "names" else ()
    bound.update((name, value.type) for name, value in zip(names, site.inputs))
    free = node.attrs.get("free", ())
    own = site.inputs[: len(site.inputs) - len(free)]
    bound.update((name, value.type) for name, value in zip(free, site.inputs[len(own) :]))
    match node.op:
        case "map":
            items = (_item(value.type) for value in own)
            bound.update(zip(_variables(body, free), items))
        case "loop":
            bound[node.attrs["name"]] = node.type
        case "agent" if row.many:
            bound = dict.fromkeys(port.name for port in body.inputs)  # bound by its arguments
        case "route" if node.attrs["by"] == "case":
            return bound
    return bound | dict.fromkeys(row.binds)


def _variables(body: Graph, free: Iterable[str]) -> list[str]:
    outer = set(free)
    return [port.name for port in body.inputs if port.name not in outer]


def _item(type: Type) -> Type | None:
    return type.item if isinstance(type, ListType) else None


_GIVES = {
    "value": "what the node gives",
    "item": "an item of what the node gives",
    "bool": "yes or no",
    "number": "a number",
    "score": "a number, or a record with one as its score",
}


def _gives(site: Site, row: BodySpec, result: Type) -> bool:
    type = site.node.type
    match row.gives:
        case "value":
            return site.fits(result, type)
        case "item":
            item = _item(type)
            return item is None or site.fits(result, item)
        case "bool":
            return isinstance(result, BoolType | ErrorType)
        case "number":
            return _is_number(result)
        case "score":
            return _is_number(score_type(result) or result)
    return True


def _is_number(type: Type) -> bool:
    return isinstance(type, IntType | FloatType | BoolType | ErrorType)


# --- rules of one operation ---


def _input(site: Site) -> str | None:
    port = site.ports.get(site.node.attrs["name"])
    if port is None:
        return "names an input of its graph"
    return None if site.fits(port.type, site.node.type) else "is of its input's type"


def _const(site: Site) -> str | None:
    fits = site.declared.types.holds(site.node.attrs["value"], site.node.type)
    return None if fits else "its value is of its type"


def _choice(site: Site) -> str | None:
    options = options_of(site.node.attrs["choice"])
    fit = all(site.declared.types.holds(option, site.node.type) for option in options)
    return None if fit else "its options are of its type"


# What a function gives, whatever it is given.
_RESULTS: Mapping[str, tuple[type[Type], ...]] = {
    **dict.fromkeys(
        ("eq", "ne", "lt", "le", "gt", "ge", "in", "not", "any", "all"), (BoolType, ErrorType)
    ),
    **dict.fromkeys(("len", "count", "int"), (IntType, FloatType, ErrorType)),
    **dict.fromkeys(("str", "join", "lower", "strip"), (StrType, ErrorType)),
    **dict.fromkeys(("list", "split", "unique", "sort_by", "filter"), (ListType, ErrorType)),
}


def _function(site: Site) -> str | None:
    attrs, fn = site.node.attrs, site.node.attrs["fn"]
    if fn in ("record", "object"):
        if len(attrs.get("names", ())) != len(site.inputs):
            return "names its fields"
        return _record(site)
    if fn == "attr" and "name" not in attrs:
        return "names its field"
    wanted = _RESULTS.get(fn)
    if wanted is not None and not isinstance(site.node.type, (*wanted, JsonType)):
        return f"is of the type that `{fn}` gives"
    return None


def _record(site: Site) -> str | None:
    type = site.node.type
    if not isinstance(type, RecordType):
        return None
    given = {name: value.type for name, value in zip(site.node.attrs["names"], site.inputs)}
    for field in type.fields:
        if field.name not in given:
            if not field.has_default:
                return f"has the field `{field.name}`"
        elif not site.fits(given[field.name], field.type):
            return f"`{field.name}` is of the field's type"
    return None


def _model(site: Site) -> str | None:
    return site.declared.slots(site.node.attrs["slots"])


def _call(site: Site) -> str | None:
    graphs = site.declared.program.graphs
    graph = graphs.get(site.node.attrs["target"])
    if graph is None or len(graph.inputs) != len(site.inputs):
        return "calls a graph with as many inputs"
    return _arguments(site, graph.inputs, graph.result)


def _tool(site: Site) -> str | None:
    tool = site.declared.program.tools.get(site.node.attrs["target"])
    if tool is None or len(tool.inputs) != len(site.inputs):
        return "calls a tool with as many inputs"
    return _arguments(site, tool.inputs, tool.result)


def _arguments(site: Site, ports: Iterable[Port], result: Type) -> str | None:
    for port, value in zip(ports, site.inputs):
        if not site.fits(value.type, port.type):
            return f"what it gives for `{port.name}` is of its type"
    return None if site.fits(result, site.node.type) else "is of the type of what it calls"


def _map(site: Site) -> str | None:
    node = site.node
    lists = site.inputs[: node.attrs["count"]]
    if not all(isinstance(n.type, ListType | ErrorType) for n in lists):
        return "goes over lists"
    if not isinstance(node.type, ListType | ErrorType):
        return "gives a list"
    variables = [set(_variables(body, node.attrs["free"])) for body in node.bodies.values()]
    if any(len(names) != len(lists) or names != variables[0] for names in variables):
        return "its bodies have a variable for each list"
    return None


def _loop(site: Site) -> str | None:
    return None if site.fits(site.inputs[0].type, site.node.type) else "its start is of its type"


def _condition(site: Site) -> str | None:
    is_bool = isinstance(site.inputs[0].type, BoolType | ErrorType)
    return None if is_bool else "its condition is a bool"


def _refine(site: Site) -> str | None:
    bodies = site.node.bodies
    verdict = bodies["check"].result
    if "until" not in bodies and isinstance(verdict, RecordType) and verdict.get("ok") is None:
        return "its verdict says `ok`, or it has `until`"
    return None


def _vote(site: Site) -> str | None:
    attrs, bodies = site.node.attrs, site.node.bodies
    by, weight, sample = attrs["by"], attrs.get("weight"), bodies["sample"].result
    needs = {
        "key": "expr" in (by, weight),
        "adjudicate": by == "model",
        "compare": by in ("tournament", "win_rate"),
        "difficulty": "dsc" in options_of(attrs["stop_early"]),
    }
    if missing := [key for key, needed in needs.items() if needed and key not in bodies]:
        return f"decides by its body {missing[0]}"
    fields = [by] if by in ("score", "steps") else [] if isinstance(by, str) else list(by)
    fields += ["score"] if weight == "score" else []
    if not _has_fields(sample, fields):
        return f"its samples have the fields {', '.join(fields)}"
    if "compare" in bodies and not _is_verdict(bodies["compare"].result):
        return "compares to first, second or tie"
    return None


def _has_fields(type: Type, names: Iterable[str]) -> bool:
    record = required(type)
    if not isinstance(record, RecordType):
        return not list(names) or isinstance(record, ErrorType)
    return all(record.get(name) is not None for name in names)


def _is_verdict(type: Type) -> bool:
    if isinstance(type, BoolType | ErrorType):
        return True
    return _cases(type) is not None and set(_cases(type) or ()) <= {"first", "second", "tie"}


def _cases(type: Type) -> tuple[str, ...] | None:
    """The strings that a type allows, where it allows no others."""
    match type:
        case LiteralType(values=cases) | EnumType(variants=cases):
            return cases
    return None


def _search(site: Site) -> str | None:
    return None if isinstance(site.node.type, ListType | ErrorType) else "gives a list"


def _agent(site: Site) -> str | None:
    action = site.node.bodies["act"].result
    tool = action.get("tool") if isinstance(action, RecordType) else None
    answer = action.get("answer") if isinstance(action, RecordType) else None
    if tool is None or answer is None:
        return "its actions have a tool and an answer"
    if not site.fits(required(answer.type), site.node.type):
        return "its answer is of its type"
    tools = {*site.node.bodies, FINISH} - {"act"}
    return None if tools.issuperset(_cases(tool.type) or ("",)) else "its tools are its bodies"


def _route(site: Site) -> str | None:
    node = site.node
    by, options, judge = node.attrs["by"], route_options(node.bodies), node.bodies.get("by")
    if by == "case":
        cases = _cases(judge.result) if judge else None
        return None if cases and options.keys() >= set(cases) else "has an option for each case"
    if "threshold" not in node.attrs:
        return "has the attributes threshold"
    if by == "expr" and (judge is None or not _is_number(judge.result)):
        return "judges by a number"
    if by == "score" and not all(_has_fields(o.result, ["score"]) for o in options.values()):
        return "its options have a score"
    return None


def _return(site: Site) -> str | None:
    if site.node is not site.graph.nodes[-1]:
        return "is the last node"
    fits = site.fits(site.inputs[0].type, site.graph.result)
    return None if fits else "what it returns is of the graph's type"


_OWN: Mapping[str, Rule] = {
    "input": _input,
    "const": _const,
    "choice": _choice,
    "op": _function,
    "model": _model,
    "call": _call,
    "tool": _tool,
    "map": _map,
    "loop": _loop,
    "cond": _condition,
    "refine": _refine,
    "vote": _vote,
    "search": _search,
    "agent": _agent,
    "route": _route,
    "assert": _condition,
    "return": _return,
}


def _rules(op: Any, spec: OpSpec) -> Iterator[Rule]:
    if spec.attrs:
        yield _attributes(spec)
    if spec.inputs != "target":
        yield _inputs(spec)
    if spec.bodies:
        yield _bodies(op, spec)
    yield _OWN[op]


RULES: Mapping[str, tuple[Rule, ...]] = {op: tuple(_rules(op, spec)) for op, spec in OPS.items()}
