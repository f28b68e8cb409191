"""Prompts as they would be sent, for typed inputs, an example, a row, or made-up values.

Nothing runs: no model, no tool, no store. Each module of a target is shown by itself, because only
a run knows what one module passes to the next.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lmc.check.program import CheckedProgram, ModuleDef
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.ir.graph import Graph, ProgramGraph
from lmc.ir.ops import CALLS
from lmc.measure.rows import dataset_file
from lmc.media.given import Access
from lmc.program.options import LoadOptions
from lmc.program.prefix import CHARS_A_TOKEN
from lmc.program.program import Program
from lmc.program.prompting import Mirror
from lmc.program.samples import sample
from lmc.prompts.spec import Message
from lmc.runtime.executor import Executor
from lmc.runtime.plan import Plan, PlannedNode
from lmc.types import Type
from lmc.values import InvalidValue, to_json

MOST_SECTIONS = 40  # calls of models that one preview shows
MOST_ROWS = 20  # of a dataset that one can choose from


@frozen
class Section:
    """The prompt of one module: whose inputs it shows, and its messages."""

    module: str
    role: str
    origin: str
    inputs: Mapping[str, Any]
    messages: Sequence[Message]
    tokens: int

    def to_json(self) -> dict[str, Any]:
        """What is sent to an editor."""
        return {
            "module": self.module,
            "role": self.role,
            "origin": self.origin,
            "inputs": dict(self.inputs),
            "messages": [dict(message) for message in self.messages],
            "tokens": self.tokens,
        }


@frozen
class Given:
    """Inputs that one may choose: where they come from, and their values."""

    origin: str
    inputs: Mapping[str, Any]


@frozen
class Preview:
    """All prompts of a target, and the inputs that the program itself has for it."""

    target: str
    sections: Sequence[Section]
    choices: Sequence[Given]
    missing: str = ""  # why there is nothing to show

    def to_json(self) -> dict[str, Any]:
        """What is sent to an editor."""
        return {
            "target": self.target,
            "sections": [section.to_json() for section in self.sections],
            "choices": [{"origin": g.origin, "inputs": dict(g.inputs)} for g in self.choices],
            "missing": self.missing,
        }

    def to_markdown(self) -> str:
        """A document for editors that have no view of their own."""
        parts = [f"# Prompts of `{self.target}`", *([self.missing] if self.missing else [])]
        for section in self.sections:
            role = "" if section.role == "generate" else f", {section.role}"
            parts.append(f"## {section.module}{role}: about {section.tokens} tokens")
            parts.append(f"Inputs: {section.origin}")
            parts += [
                f"### {message['role']}\n\n{_fenced(str(message['content']))}"
                for message in section.messages
            ]
        return "\n\n".join(parts) + "\n"


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"


def preview(
    checked: CheckedProgram,
    graph: ProgramGraph,
    target: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    base_dir: Path | None = None,
) -> Preview:
    """The prompts of a module or pipeline. Raises: LmcError[unknown-target, nothing-to-run, …]."""
    consent = Consent(stranger=True)
    options = LoadOptions(cache=False, stores="memory")
    program = Program(graph, options, checked=checked, base_dir=base_dir, consent=consent)
    called = program.target(target).graph
    choices = list(_choices(checked, called, base_dir))
    given = _typed(called, inputs, consent)
    mirror: Any = Mirror(graph)
    executor = program.open_executor(mirror)
    sections = list(islice(_sections(executor, graph, called, given, choices), MOST_SECTIONS))
    missing = "" if sections else f"`{called.name}` asks no model."
    return Preview(called.name, sections, choices, missing)


def _typed(
    graph: Graph, inputs: Mapping[str, Any] | None, consent: Consent
) -> Mapping[str, Any] | None:
    """Inputs that somebody typed, as far as they fit. Raises: LmcError[invalid-input]."""
    if inputs is None:
        return None
    ports = {port.name: port for port in graph.inputs}
    found = {}
    for name, value in inputs.items():
        if name not in ports:
            message = f"`{graph.name}` has no input `{name}`"
            raise LmcError.of("unknown-input", message, graph.span)
        try:
            found[name] = to_json(ports[name].type, value, Access(consent=consent))
        except InvalidValue as problem:
            what = f"the input `{name}` does not have the type `{ports[name].type}`"
            raise LmcError.of("invalid-input", f"{what}: {problem}", graph.span) from None
    return found


# --- the calls of a target ---


def _sections(
    executor: Executor,
    program: ProgramGraph,
    graph: Graph,
    given: Mapping[str, Any] | None,
    choices: Sequence[Given],
) -> Iterator[Section]:
    chosen = Given("as typed", given) if given is not None else next(iter(choices), None)
    for planned in _calls(executor, program, graph):
        call = executor.module_call(planned)
        names, types = planned.node.attrs["names"], planned.types
        module = call.slots.module
        own = chosen if chosen is not None and module == graph.name else _own_example(call)
        inputs, origin = _filled(names, types, own, chosen)
        messages = [_shown(m) for m in call.given(inputs).prompt(inputs)]
        length = sum(len(message["content"]) for message in messages)
        role = str(planned.node.attrs["role"])
        tokens = math.ceil(length / CHARS_A_TOKEN)
        yield Section(module, role, origin, inputs, messages, tokens)


def _shown(message: Message) -> Message:
    content = message["content"]
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return {"role": message["role"], "content": text}


def _own_example(call: Any) -> Given | None:
    """The first example of a module, which is also among its demonstrations."""
    found = next(iter(call.slots.demos), None)
    return Given("its first example", found[0]) if found is not None else None


def _filled(
    names: Sequence[str], types: Sequence[Type], own: Given | None, chosen: Given | None
) -> tuple[dict[str, Any], str]:
    """A value for each input: a given one, one of the same name and type, or a made-up one."""
    inputs: dict[str, Any] = {}
    made_up = []
    for name, type in zip(names, types):
        for source in (own, chosen):
            if source is not None and name in source.inputs and _fits(type, source.inputs[name]):
                inputs[name] = source.inputs[name]
                break
        else:
            inputs[name] = sample(type, name)
            made_up.append(name)
    origin = own.origin if own is not None else chosen.origin if chosen is not None else "made up"
    if made_up and origin != "made up":
        if len(made_up) == len(names):
            return inputs, "made up"
        origin += f"; {', '.join(f'`{name}`' for name in made_up)} made up"
    return inputs, origin


def _fits(type: Type, value: Any) -> bool:
    from lmc.values import validate

    try:
        validate(type, value)
    except InvalidValue:
        return False
    return True


def _calls(executor: Executor, program: ProgramGraph, graph: Graph) -> Iterator[PlannedNode]:
    """The model nodes that a graph reaches, each module once for each of its roles."""
    seen_graphs = {graph.name}
    seen: set[tuple[str, str]] = set()
    todo: list[Plan] = [executor.plan(graph)]
    while todo:
        plan = todo.pop(0)
        inner: list[Plan] = []
        for planned in plan.nodes:
            node = planned.node
            if node.op == "model":
                key = (node.attrs["slots"].module, str(node.attrs["role"]))
                if key not in seen:
                    seen.add(key)
                    yield planned
            elif node.op in CALLS:
                called = program.graphs.get(node.attrs.get("target", ""))
                if called is not None and called.name not in seen_graphs:
                    seen_graphs.add(called.name)
                    inner.append(executor.plan(called))
            inner += planned.bodies.values()
        todo = inner + todo


# --- inputs ---


def _choices(checked: CheckedProgram, graph: Graph, base_dir: Path | None) -> Iterator[Given]:
    """The examples of a module, and the first rows of datasets that have all its inputs."""
    module: ModuleDef | None = checked.modules.get(graph.name)
    for number, example in enumerate(module.examples if module else (), start=1):
        yield Given(f"example {number}", example.inputs)
    needed = {port.name for port in graph.inputs if not port.has_default and not port.train}
    for name, dataset in checked.datasets.items():
        if not needed or not needed <= {field.name for field in dataset.row.fields}:
            continue
        try:
            rows = list(dataset_file(dataset, base_dir).head(MOST_ROWS))
        except (LmcError, OSError):
            continue  # the diagnostics of a run tell what is wrong with the rows
        ports = {port.name for port in graph.inputs}
        for number, row in enumerate(rows, start=1):
            values = {key: value for key, value in row.values.items() if key in ports}
            yield Given(f"row {number} of {name}", values)
