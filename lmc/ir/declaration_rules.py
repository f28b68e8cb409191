"""Rules for the declarations of a program: ports, settings, slots, tools and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lmc.check.program import Choice
from lmc.check.settings import MOST_KEPT, TABLE, TWICE, SettingSpec
from lmc.check.subtyping import is_key
from lmc.check.tuning import MAX_OPTIONS
from lmc.frozen import frozen
from lmc.ir.graph import (
    DeclaredMetric,
    Graph,
    Offer,
    Port,
    ProgramGraph,
    Slots,
    Store,
    Test,
    Tool,
)
from lmc.ir.ops import OWN_REGION
from lmc.ir.type_rules import TypeRules, is_strings, json_parts
from lmc.source import Span
from lmc.types import ErrorType, ListType, RecordType, Type
from lmc.unions import members

MODULES = frozenset(OWN_REGION) | {"generate", "critique"}
CALLABLE = MODULES | {"pipeline", "metric"}  # the kinds of graphs that a call may name
_SLOTS = {**TABLE["default"], **TABLE["generate"]}


@frozen
class DeclarationRules:
    """A program to check, with the types and choices seen so far."""

    program: ProgramGraph
    types: TypeRules
    choices: dict[str, str]  # the options of each choice, by its id

    # --- the whole program; each function returns the broken rule, in words ---

    def findings(self) -> Iterator[str]:
        """The broken rules of a program, except those of its graphs."""
        program = self.program
        maps = (program.graphs, program.tools, program.models, program.metrics, program.default)
        if not all(isinstance(part, Mapping) for part in (*maps, program.stores)):
            yield "its graphs, tools, models, metrics, stores and defaults have names"
            return
        if program.tests.__class__ is not tuple or not is_strings(program.exports):
            yield "its tests and exports are in order"
            return
        yield from self._of_tables()
        for name in (*program.exports, *([] if program.main is None else [program.main])):
            if name.__class__ is not str or not self._is_known(name):
                yield f"what it exports is there: {name!r}"

    def _of_tables(self) -> Iterator[str]:
        program = self.program
        for name, settings in program.models.items():
            if wrong := self.settings(settings, TABLE["model"]):
                yield f"model {name}: {wrong}"
        if wrong := self.settings(program.default, TABLE["default"]):
            yield f"default: {wrong}"
        for name, tool in program.tools.items():
            if not self._is_tool(name, tool):
                yield f"tool {name}: has a name, a target, inputs, a result and settings"
        for name, store in program.stores.items():
            if not self._is_store(name, store):
                yield f"store {name}: has a name, a record, a key of it, a bound and a place"
        for name, metric in program.metrics.items():
            if not self._is_metric(name, metric):
                yield f"metric {name}: has a name, inputs, a result, and a graph or a target"
        for test in program.tests:
            if not self._is_test(test):
                yield "a test has a title, a graph, and a graph for each stub of a known name"

    # --- graphs ---

    def header(self, graph: Any) -> str | None:
        """The rule that a graph breaks, except those of its nodes."""
        if graph.__class__ is not Graph or not is_strings((graph.name, graph.doc, graph.kind)):
            return "a graph has a name and a kind"
        if not _is_span(graph.span) or graph.nodes.__class__ is not tuple or not graph.nodes:
            return "a graph has nodes"
        if not self.is_ports(graph.inputs) or not self.types.is_type(graph.result):
            return "its inputs have names, types and fitting defaults, and its result has a type"
        return None

    def is_ports(self, ports: Any) -> bool:
        """Whether a value is a list of inputs of a graph or tool."""
        if ports.__class__ is not tuple or not all(map(self._is_port, ports)):
            return False
        return len({port.name for port in ports}) == len(ports)

    def _is_port(self, port: Any) -> bool:
        if port.__class__ is not Port or port.name.__class__ is not str:
            return False
        if port.has_default.__class__ is not bool or port.train.__class__ is not bool:
            return False
        if port.note.__class__ is not str or not self.types.is_type(port.type):
            return False
        return not port.has_default or self.types.holds(port.default, port.type)

    def is_offers(self, offers: Any) -> bool:
        """Whether a value is the list of tools of an agent."""
        if offers.__class__ is not tuple or not all(map(self._is_offer, offers)):
            return False
        return len({offer.name for offer in offers}) == len(offers)

    def _is_offer(self, offer: Any) -> bool:
        if offer.__class__ is not Offer or not is_strings((offer.name, offer.doc)):
            return False
        if offer.server.__class__ is not bool or not self.is_ports(offer.inputs):
            return False
        return self.types.is_type(offer.result)

    # --- settings ---

    def settings(self, settings: Any, table: Mapping[str, SettingSpec]) -> str | None:
        """The rule that settings break."""
        if not isinstance(settings, Mapping):
            return "settings have names"
        for key, value in settings.items():
            spec = table.get(key)
            if spec is None:
                return f"has no setting `{key}`"
            if not self._is_setting(value, spec):
                return f"`{key}` is {_asked(spec)}"
        return None

    def _is_setting(self, value: Any, spec: SettingSpec) -> bool:
        if value.__class__ is not Choice:
            return self._is_plain(value, spec)
        if not spec.tunable or not self.is_choice(value):
            return False
        return all(self._is_plain(option, spec) for option in value.options)

    def _is_plain(self, value: Any, spec: SettingSpec) -> bool:
        match spec.takes:
            case Type() as type:
                return self.types.holds(value, type)
            case "name":
                return value.__class__ is str
            case "tokens":
                return value.__class__ is int and 0 < value < 2**31
            case "model":
                return value.__class__ is str and value in self.program.models
            case "models":
                models = self.program.models
                return value.__class__ is list and all(
                    name.__class__ is str and name in models for name in value
                )
            case "group":
                return self.settings(value, spec.keys) is None
        return False

    def is_choice(self, choice: Any) -> bool:
        """Whether a value is a choice. One id must have the same options everywhere."""
        if choice.__class__ is not Choice or choice.id.__class__ is not str:
            return False
        options = choice.options
        if options.__class__ is not tuple or not 0 < len(options) <= MAX_OPTIONS:
            return False
        if choice.span.__class__ is not Span or not all(map(json_parts, options)):
            return False
        words = repr(options)
        return self.choices.setdefault(choice.id, words) == words

    def slots(self, slots: Any) -> str | None:
        """The rule that the slots of a model call break."""
        if slots.__class__ is not Slots or not is_strings((slots.module, slots.instruction)):
            return "has slots with a module and an instruction"
        if not is_strings(slots.train_only) or not is_strings(slots.requirements):
            return "its hidden inputs and requirements are texts"
        if slots.frozen.__class__ is not bool or not _is_demos(slots.demos):
            return "its slots are frozen or not, with demonstrations of inputs and a result"
        if slots.notes.__class__ is not dict or not is_strings(
            (*slots.notes, *slots.notes.values())
        ):
            return "its notes are texts"
        return self.settings(slots.settings, _SLOTS)

    # --- tools, metrics, tests ---

    def _is_tool(self, name: str, tool: Any) -> bool:
        if tool.__class__ is not Tool or tool.name != name or tool.target.__class__ is not str:
            return False
        if not self.is_ports(tool.inputs) or not self.types.is_type(tool.result):
            return False
        if tool.doc.__class__ is not str or tool.server.__class__ is not bool:
            return False
        settings: Mapping[str, Any] = tool.settings
        if self.settings(settings, TABLE["tool"]) is not None:
            return False
        if "episode" in settings and not _is_episode(tool):
            return False
        return not (settings.get("effect") and any(settings.get(key) for key in TWICE))

    def _is_store(self, name: str, store: Any) -> bool:
        if store.__class__ is not Store or store.name != name or name.__class__ is not str:
            return False
        if not isinstance(store.record, Type) or not self.types.is_type(store.record):
            return False
        records = [m for m in members(store.record) if isinstance(m, RecordType)]
        if len(records) < len(members(store.record)):
            return False
        if store.key is not None and not all(_is_key(one, store.key) for one in records):
            return False
        if store.embedder is not None and store.embedder not in self.program.models:
            return False
        if store.keep.__class__ is not int or not 1 <= store.keep <= MOST_KEPT:
            return False
        place = store.place
        return isinstance(place, Mapping) and all(
            key in ("path", "url") and value.__class__ is str for key, value in place.items()
        )

    def _is_metric(self, name: str, metric: Any) -> bool:
        if metric.__class__ is not DeclaredMetric or metric.name != name:
            return False
        if not self.is_ports(metric.inputs) or not self.types.is_type(metric.result):
            return False
        if metric.graph is None:
            return metric.target.__class__ is str
        return metric.target is None and metric.graph.__class__ is Graph

    def _is_test(self, test: Any) -> bool:
        if test.__class__ is not Test or test.title.__class__ is not str:
            return False
        if test.graph.__class__ is not Graph or not isinstance(test.stubs, Mapping):
            return False
        if not is_strings(test.in_order) or not set(test.in_order) <= test.stubs.keys():
            return False
        return all(self._is_known(n) and s.__class__ is Graph for n, s in test.stubs.items())

    def _is_known(self, name: str) -> bool:
        program = self.program
        return name in program.graphs or name in program.tools or name in program.stores


def _asked(spec: SettingSpec) -> str:
    words = f"`{spec.takes}`" if isinstance(spec.takes, Type) else _FORMS[spec.takes]
    return words + (", or a choice of such" if spec.tunable else "")


_FORMS = {
    "model": "the name of a declared model",
    "models": "names of declared models",
    "name": "a name",
    "tokens": "a number of tokens",
    "group": "settings of its own",
    "expression": "left to the graph",
}


def _is_episode(tool: Tool) -> bool:
    """Whether a tool takes a list of actions last, and does nothing else."""
    last = tool.inputs[-1].type if tool.inputs else None
    return isinstance(last, ListType | ErrorType) and not tool.settings.get("effect")


def _is_key(record: RecordType, key: Any) -> bool:
    field = record.get(key) if key.__class__ is str else None
    return field is not None and is_key(field.type)


def _is_span(span: Any) -> bool:
    return span is None or span.__class__ is Span


def _is_demos(demos: Any) -> bool:
    if demos.__class__ is not tuple:
        return False
    for demo in demos:
        if demo.__class__ is not tuple or len(demo) != 2 or demo[0].__class__ is not dict:
            return False
        if not all(map(json_parts, demo)):
            return False
    return True
