"""The worst-case number of model calls of a program, as a formula and as a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from lmc.check.program import Choice, options_of
from lmc.frozen import frozen
from lmc.ir.graph import Graph, Node, ProgramGraph, route_options
from lmc.ir.reach import in_order_of_calls
from lmc.types import ListType

MOST_CHARS = 10_000  # of a formula
MOST_CALLS = 10**150  # such a number times another one is still a float


@frozen
class Cost:
    """The model calls of one callable if every bound is reached.

    `calls` is infinite if a list has no bound; the formula then contains `len(…)`. `baseline` is
    the number with every `tune[…]` at its first option. `by_module` has the worst case of each
    module. Repairs and retries are not included: a call that is repaired once counts twice.
    """

    name: str
    formula: str
    calls: float
    baseline: float
    by_module: Mapping[str, float] = field(default_factory=dict)


@frozen
class _Term:
    """A number of calls with its formula."""

    formula: str
    calls: float
    modules: Counter[str] | dict[str, float]
    binding: str = "product"

    def factor(self) -> str:
        return f"({self.formula})" if self.binding == "sum" else self.formula


_NOTHING = _Term("0", 0, {})


def cost(program: ProgramGraph, name: str) -> Cost:
    """The cost of a module or pipeline. A choice of branches costs its dearest one."""
    return costs(program, [name])[name]


def costs(program: ProgramGraph, names: Iterable[str]) -> dict[str, Cost]:
    """The costs of several; what they call alike is counted once."""
    names = list(names)
    worst = _Counter(program, worst=True).callables(names)
    baseline = _Counter(program, worst=False).callables(names)
    found = {}
    for name, most, least in zip(names, worst, baseline):
        found[name] = Cost(name, most.formula, most.calls, least.calls, dict(most.modules))
    return found


def worst_calls(program: ProgramGraph, name: str, choices: Mapping[str, Any]) -> float:
    """Model calls when every bound is reached, with some choices made and others at baseline."""
    return _Counter(program, worst=False, choices=choices).callables([name])[0].calls


class _Counter:
    """Counts with every choice at its most expensive option, at a given one, or at baseline."""

    def __init__(
        self, program: ProgramGraph, *, worst: bool, choices: Mapping[str, Any] | None = None
    ) -> None:
        self.program, self.worst, self.choices = program, worst, choices or {}
        self._known: dict[str, _Term] = {}

    def callables(self, names: Sequence[str]) -> list[_Term]:
        """The costs of modules and pipelines, what they call counted before them."""
        for called in in_order_of_calls(self.program, *names):
            self.graph(self.program.graphs[called])
        return [self._known[name] for name in names]

    def graph(self, graph: Graph) -> _Term:
        """The sum over a graph's nodes."""
        if graph.kind == "body" or graph.kind == "test":
            return _sum([self.node(graph, node) for node in graph.nodes])
        if graph.name not in self._known:
            self._known[graph.name] = _sum([self.node(graph, node) for node in graph.nodes])
        return self._known[graph.name]

    def node(self, graph: Graph, node: Node) -> _Term:
        bodies = {name: self.graph(body) for name, body in node.bodies.items()}
        match node.op:
            case "model":
                module = node.attrs["slots"].module
                return _Term(module + _ROLES.get(node.attrs["role"], ""), 1, {module: 1})
            case "find":
                return self.found(node)
            case "call":
                return self.graph(self.program.graphs[node.attrs["target"]])
            case "cond":
                return _sum([_dearest(bodies["then"], bodies["otherwise"])])
            case "map":
                return _times(_length(graph, node), _sum(list(bodies.values())))
            case "samples":
                n = self.bound(node.attrs["n"])
                return _times((str(n), n), bodies["sample"])
            case "weigh":
                return bodies["value"]
            case "loop":
                bound = self.bound(node.attrs["bound"])
                return _times((str(bound), bound), _sum(list(bodies.values())))
            case "vote":
                n = self.bound(node.attrs["n"])
                more = [bodies[key] for key in ("difficulty", "adjudicate") if key in bodies]
                if "compare" in bodies:
                    met = n - 1 if node.attrs["by"] == "tournament" else n * (n - 1) // 2
                    more.append(_times((str(met), met), bodies["compare"]))
                return _sum([_times((str(n), n), bodies["sample"]), *more])
            case "refine":
                return self.refine(node, bodies)
            case "search":
                step = _sum([bodies["expand"], bodies["value"], bodies.get("until", _NOTHING)])
                width, count = self.bound(node.attrs["width"]), self.expansions(node)
                return _times((f"{count} × {width}", count * width), step)
            case "route":
                options = list(route_options(bodies).values())
                by = bodies.get("by", _NOTHING)
                if node.attrs["by"] == "case":
                    return _sum([by, _dearest_of(options)])
                judged = len(options) - 1
                return _sum([*options, _times((str(judged), judged), by)])
            case "agent":
                steps = self.bound(node.attrs["steps"])
                tool = _dearest_of([bodies[name] for name in self.tools(node)])
                acted = _times((str(steps + 1), steps + 1), bodies["act"])
                return _sum([acted, _times((str(steps), steps), tool)])
        return _NOTHING

    def found(self, node: Node) -> _Term:
        """The vectors of a query and, if none is known yet, of all that the store holds."""
        store = self.program.stores[node.attrs["store"]]
        name = f"{store.name}.find"
        return _Term(f"(1 + {store.keep}) × {name}", 1 + store.keep, {name: 1 + store.keep})

    def refine(self, node: Node, bodies: Mapping[str, _Term]) -> _Term:
        """A draft, a judgement and a revision in each round, and a judgement of the last draft."""
        rounds = self.bound(node.attrs["rounds"])
        if not rounds:
            return bodies["draft"]
        judged = [bodies["check"], bodies.get("until", _NOTHING)]
        again = _times((str(rounds), rounds), _sum([*judged, bodies["revise"]]))
        return _sum([bodies["draft"], again, *judged])

    def expansions(self, node: Node) -> int:
        """The largest number of nodes that a search expands."""
        attrs = node.attrs
        method = attrs["method"]
        beam = 1 + (self.bound(attrs["depth"]) - 1) * self.bound(attrs["keep"])
        rounds = self.bound(attrs["rounds"])
        return max(beam if method == "beam" else rounds for method in options_of(method))

    def tools(self, node: Node) -> list[str]:
        """The tools that an agent may call: all of them in the worst case, else the chosen ones."""
        names = [name for name in node.bodies if name != "act"]
        choice = node.attrs.get("tools")
        if self.worst or not isinstance(choice, Choice):
            return names
        chosen = self.choices.get(choice.id, choice.baseline)
        return [name for name in names if name in chosen]

    def bound(self, value: Any) -> int:
        """A constant bound. For a choice, its largest option or its baseline."""
        if isinstance(value, Choice):
            chosen = self.choices.get(value.id, value.baseline)
            return int(max(value.options) if self.worst else chosen)
        return int(value)


_ROLES = {"revise": ".revise", "adjudicate": ".adjudicate"}


def _sum(terms: list[_Term]) -> _Term:
    terms = [term for term in terms if term.calls]
    if len(terms) < 2:
        return terms[0] if terms else _NOTHING
    modules: Counter[str] = Counter()
    for term in terms:
        modules.update(term.modules)
    calls = _finite(sum(t.calls for t in terms))
    return _term(" + ".join(t.formula for t in terms), calls, modules, "sum")


def _times(factor: tuple[str, float], term: _Term) -> _Term:
    words, number = factor
    if not term.calls or not number:
        return _NOTHING
    modules = {name: _finite(number * count) for name, count in term.modules.items()}
    formula = term.factor() if words == "1" else f"{words} × {term.factor()}"
    calls = _finite(number * term.calls)
    return _term(formula, calls, modules, term.binding if words == "1" else "product")


def _term(
    formula: str, calls: float, modules: Counter[str] | dict[str, float], binding: str
) -> _Term:
    """A term with a formula that is short enough. In nested calls it can double at each level."""
    if len(formula) <= MOST_CHARS:
        return _Term(formula, calls, modules, binding)
    return _Term(f"{calls:g}", calls, modules)


def _finite(calls: float) -> float:
    """A number of calls. A number that is too large for a float becomes infinite."""
    return calls if calls <= MOST_CALLS else math.inf


def _dearest(*terms: _Term) -> _Term:
    best = max(terms, key=lambda term: term.calls)
    others = [t for t in terms if t.calls and t is not best]
    if not others:
        return best
    formula = f"max({best.formula}, {others[0].formula})"
    return _term(formula, best.calls, best.modules, "product")


def _dearest_of(terms: list[_Term]) -> _Term:
    return max(terms, key=lambda term: term.calls, default=_NOTHING)


def _length(graph: Graph, node: Node) -> tuple[str, float]:
    """The bound of the shortest list of a map, from its type."""
    by_id = {n.id: n for n in graph.nodes}
    lists = [by_id[id] for id in node.inputs[: node.attrs["count"]]]
    bounds = [
        n.type.max_len for n in lists if isinstance(n.type, ListType) and n.type.max_len is not None
    ]
    if bounds:
        return str(min(bounds)), min(bounds)
    return f"len({_name(lists[0])})", math.inf


def _name(node: Node) -> str:
    if node.op in ("input", "tool", "call"):
        return str(node.attrs.get("name") or node.attrs.get("target"))
    if node.op == "op" and node.attrs["fn"] == "attr":
        return str(node.attrs["name"])
    return "list"
