"""Rules of the specification for single operations, beyond their rows in the table.

A rule returns its text if a node breaks it. Attributes, the number of inputs and the bodies were
already found correct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from lmc.check.builtins import TURNS
from lmc.check.program import options_of
from lmc.check.subtyping import forget, required
from lmc.ir.actions import FINISH, is_environment
from lmc.ir.declaration_rules import DeclarationRules
from lmc.ir.graph import Graph, Node, Offer, Port, route_options
from lmc.ir.weighed import weighed_type
from lmc.ir.written_functions import WRITTEN
from lmc.types import (
    MEDIA,
    MESSAGE,
    STR,
    BoolType,
    DictType,
    EnumType,
    ErrorType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    NeverType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    has_media,
    parts,
)
from lmc.unions import apart, members


@dataclass(slots=True)
class Site:
    """A node with its surroundings."""

    declared: DeclarationRules
    graph: Graph
    ports: Mapping[str, Port]  # of the graph
    node: Node
    inputs: tuple[Node, ...]

    def fits(self, actual: Type, wanted: Type) -> bool:
        """Whether a value of one type may be used as the other type."""
        return self.declared.types.fits(actual, wanted)

    def built(self, type: Type) -> Type:
        """What a field of a built record is of. Graphs of format 1 do not check refinements."""
        return type if self.declared.program.version > 1 else forget(type)


Rule = Callable[[Site], str | None]


def is_number(type: Type) -> bool:
    """Whether scores of this type can be compared."""
    return isinstance(type, IntType | FloatType | BoolType | ErrorType)


def item_of(type: Type) -> Type | None:
    """The item type of a list type; None for other types."""
    return type.item if isinstance(type, ListType) else None


def variables_of(body: Graph, free: Iterable[str]) -> list[str]:
    """The variables of a map: the inputs of its body that do not come from outside."""
    outer = set(free)
    return [port.name for port in body.inputs if port.name not in outer]


def _input(site: Site) -> str | None:
    port = site.ports.get(site.node.attrs["name"])
    if port is None:
        return "names an input of its graph"
    return None if site.fits(port.type, site.node.type) else "is of its input's type"


def _const(site: Site) -> str | None:
    known, value = site.declared.types, site.node.attrs["value"]
    holds = known.holds if site.declared.program.version > 1 else known.built
    fits = holds(value, site.node.type)
    return None if fits else "its value is of its type"


def _choice(site: Site) -> str | None:
    options = options_of(site.node.attrs["choice"])
    fit = all(site.declared.types.holds(option, site.node.type) for option in options)
    return None if fit else "its options are of its type"


# The result types of functions that do not depend on their arguments.
_RESULTS: Mapping[str, tuple[type[Type], ...]] = {
    **dict.fromkeys(
        ("eq", "ne", "lt", "le", "gt", "ge", "in", "not", "any", "all"), (BoolType, ErrorType)
    ),
    **dict.fromkeys(("len", "count", "int"), (IntType, FloatType, ErrorType)),
    **dict.fromkeys(("str", "join", "lower", "strip"), (StrType, ErrorType)),
    **dict.fromkeys(
        ("list", "split", "unique", "sort_by", "filter", "find", "keys", "values"),
        (ListType, ErrorType),
    ),
    **dict.fromkeys(("range", "flatten", "group_by", "enumerate"), (ListType, ErrorType)),
    **dict.fromkeys(("upper", "replace", "code"), (StrType, ErrorType)),
    "matches": (BoolType, ErrorType),
    "slice": (ListType, StrType, ErrorType),
}


def _function(site: Site) -> str | None:
    attrs, fn = site.node.attrs, site.node.attrs["fn"]
    if fn in ("record", "object"):
        if len(attrs.get("names", ())) != len(site.inputs):
            return "names its fields"
        return _record(site)
    if fn in ("attr", "part", "by_key", "within") and "name" not in attrs:
        return "names its field"
    if fn == "within" and not site.fits(site.inputs[0].type, forget(site.node.type)):
        return "checks a value that is of its type but for refinements"
    if fn == "narrow" and not _narrows_to_members(site):
        return "narrows a value to members of its type, or none"
    if fn in TURNS:
        return _turn(site)
    if ("of" in attrs and fn not in WRITTEN) or (fn == "part" and "of" not in attrs):
        return "tells what its operands are where its function asks for that"
    wanted = _RESULTS.get(fn)
    if wanted is not None and not isinstance(site.node.type, (*wanted, JsonType)):
        return f"is of the type that `{fn}` gives"
    keeps = site.declared.types.keeps_fields
    if not all(keeps(given, to) for given, to in _passed_on(site) if given and to):
        return "what it passes on has the fields of its type: a wider record is projected first"
    return None


def _narrows_to_members(site: Site) -> bool:
    """Whether each value that goes on is of the node's type: what may be, fits it."""
    type, given = site.node.type, site.inputs[0].type
    if not isinstance(type, OptionalType):
        return False
    into = members(type.item)
    pairs = ((one, to) for one in members(required(given)) for to in into)
    return all(site.fits(one, to) or apart(one, to) for one, to in pairs)


def _turn(site: Site) -> str | None:
    text, *files = (value.type for value in site.inputs)
    held = all(any(site.fits(type, to) for to in (MEDIA, ListType(MEDIA))) for type in files)
    if not site.fits(text, STR) or not held:
        return "a turn has a text, and may have media"
    return None if site.node.type == MESSAGE else "a turn is a `Message`"


def _passed_on(site: Site) -> Iterator[tuple[Type | None, Type | None]]:
    """The types of the values that an operation gives on as they are, and of where they go."""
    node, given = site.node, [value.type for value in site.inputs]
    match node.attrs["fn"]:
        case "present" | "add":
            yield from ((type, node.type) for type in given)
        case "slice" if isinstance(given[0], ListType):
            yield given[0], node.type
        case "flatten":
            yield item_of(given[0]), node.type
        case "group_by":
            group = item_of(node.type)
            items = group.get("items") if isinstance(group, RecordType) else None
            yield given[0], items.type if items else None
        case "unique" | "sort_by" | "filter" | "find":
            yield given[0], node.type
        case "index" | "first" | "by_key":
            whole = required(given[0])
            yield whole.item if isinstance(whole, ListType | DictType) else None, node.type
        case "list":
            yield from ((type, item_of(node.type)) for type in given)
        case "object" if isinstance(node.type, DictType):
            yield from ((type, node.type.item) for type in given)
        case "attr":
            for record in members(required(given[0])):
                field = record.get(node.attrs["name"]) if isinstance(record, RecordType) else None
                yield field.type if field else None, node.type


def _record(site: Site) -> str | None:
    type = site.node.type
    if not isinstance(type, RecordType):
        return None
    given = {name: value.type for name, value in zip(site.node.attrs["names"], site.inputs)}
    for field in type.fields:
        if field.name not in given:
            if not field.has_default:
                return f"has the field `{field.name}`"
        elif not site.fits(given[field.name], site.built(field.type)):
            return f"`{field.name}` is of the field's type"
    return None


def _model(site: Site) -> str | None:
    if has_media(site.node.type):
        return "gives what a model can write: neither media nor turns"
    given = dict(zip(site.node.attrs["names"], (value.type for value in site.inputs)))
    for part in parts(site.node.type):
        if isinstance(part, OneOfType) and not _are_labels(given.get(part.options)):
            return f"`{part}` names an input that is a list of strings"
    return site.declared.slots(site.node.attrs["slots"])


def _are_labels(type: Type | None) -> bool:
    return isinstance(type, ListType) and isinstance(type.item, StrType | LiteralType | NeverType)


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
    variables = [set(variables_of(body, node.attrs["free"])) for body in node.bodies.values()]
    if any(len(names) != len(lists) or names != variables[0] for names in variables):
        return "its bodies have a variable for each list"
    return None


def _samples(site: Site) -> str | None:
    return None if isinstance(site.node.type, ListType | ErrorType) else "gives a list"


def _weigh(site: Site) -> str | None:
    asked = (
        [f.name for f in site.node.type.fields] if isinstance(site.node.type, RecordType) else []
    )
    given = weighed_type(site.node.bodies["value"].result, asked)
    fits = len(asked) > 1 and site.fits(given, site.node.type)
    return None if fits else "gives a value with its certainty or its turns"


def _loop(site: Site) -> str | None:
    return None if site.fits(site.inputs[0].type, site.node.type) else "its start is of its type"


def _condition(site: Site) -> str | None:
    # An item of an empty list is of no type: it is never there.
    is_bool = isinstance(site.inputs[0].type, BoolType | ErrorType | NeverType)
    return None if is_bool else "its condition is a bool"


def _refine(site: Site) -> str | None:
    bodies = site.node.bodies
    verdict = bodies["check"].result
    ok = verdict.get("ok") if isinstance(verdict, RecordType) else None
    if "until" in bodies or isinstance(ok.type if ok else verdict, BoolType | ErrorType):
        return None
    return "its verdict is a bool or says `ok`, or it has `until`"


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
    wanted = list(names)
    return not wanted or all(
        isinstance(one, ErrorType)
        or (isinstance(one, RecordType) and all(one.get(name) is not None for name in wanted))
        for one in members(required(type))
    )


def _is_verdict(type: Type) -> bool:
    if isinstance(type, BoolType | ErrorType):
        return True
    return _cases(type) is not None and set(_cases(type) or ()) <= {"first", "second", "tie"}


def _cases(type: Type) -> tuple[str, ...] | None:
    """The strings that a type allows, if it allows only certain strings."""
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
    acts = [node for node in site.node.bodies["act"].nodes if node.op == "model"]
    offers = [offer for node in acts for offer in node.attrs.get("offers", ())]
    listed = [name for names in options_of(site.node.attrs.get("tools", [])) for name in names]
    open_ended = isinstance(tool.type, StrType) and any(offer.server for offer in offers)
    named = {*((_cases(tool.type) or ("",)) if not open_ended else ()), *listed}
    if not tools.issuperset({*named, *(offer.name for offer in offers)}):
        return "its tools are its bodies"
    return None if all(_can_reset(site, offer) for offer in offers) else "can reset what it acts in"


def _can_reset(site: Site, offer: Offer) -> bool:
    """Whether an agent has the inputs of an environment, if the tool is one."""
    tool = site.declared.program.tools.get(offer.name)
    if tool is None or not is_environment(offer, tool):
        return True
    given = dict(zip(site.node.attrs["names"], (value.type for value in site.inputs)))
    body = site.node.bodies[offer.name]
    return [p.name for p in body.inputs] == [p.name for p in tool.inputs] and all(
        site.fits(given[port.name], port.type) if port.name in given else port.has_default
        for port in tool.inputs[:-1]
    )


def _route(site: Site) -> str | None:
    node = site.node
    by, options, judge = node.attrs["by"], route_options(node.bodies), node.bodies.get("by")
    if by == "case":
        cases = _cases(judge.result) if judge else None
        return None if cases and options.keys() >= set(cases) else "has an option for each case"
    if "threshold" not in node.attrs:
        return "has the attributes threshold"
    if by == "expr" and (judge is None or not is_number(judge.result)):
        return "judges by a number"
    if by == "score" and not all(_has_fields(o.result, ["score"]) for o in options.values()):
        return "its options have a score"
    return None


def _store(site: Site) -> str | None:
    """A read of a store gives a list of its records."""
    store = site.declared.program.stores.get(site.node.attrs["store"])
    if store is None:
        return "names a store of the program"
    if site.node.op == "find" and store.embedder is None:
        return "compares by the vectors of a model"
    fits = site.fits(ListType(store.record), forget(site.node.type))
    return None if fits else "gives a list of what the store keeps"


def _keep(site: Site) -> str | None:
    store = site.declared.program.stores.get(site.node.attrs["store"])
    if store is None:
        return "names a store of the program"
    fits = site.declared.types.fits(site.inputs[0].type, store.record)
    return None if fits else "keeps what its store keeps"


def _return(site: Site) -> str | None:
    if site.node is not site.graph.nodes[-1]:
        return "is the last node"
    fits = site.fits(site.inputs[0].type, site.graph.result)
    return None if fits else "what it returns is of the graph's type"


OWN_RULES: Mapping[str, Rule] = {
    "input": _input,
    "const": _const,
    "choice": _choice,
    "op": _function,
    "model": _model,
    "call": _call,
    "tool": _tool,
    "map": _map,
    "samples": _samples,
    "weigh": _weigh,
    "loop": _loop,
    "cond": _condition,
    "refine": _refine,
    "vote": _vote,
    "search": _search,
    "agent": _agent,
    "route": _route,
    "store": _store,
    "find": _store,
    "keep": _keep,
    "assert": _condition,
    "return": _return,
}
