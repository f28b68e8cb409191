"""The sources of demonstrations: labelled rows, and calls of accepted runs."""

from __future__ import annotations

import json
import random
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmc.check.width import project
from lmc.ir.graph import ProgramGraph
from lmc.ir.provenance import Module, Provenance, result_provenance
from lmc.measure.evaluate import row_inputs
from lmc.measure.metrics import GOLD_NAMES
from lmc.prompts.spec import BARE, REASONING, Demo
from lmc.traces.led import Among, led_calls
from lmc.traces.store import Run
from lmc.types import RecordType
from lmc.values import InvalidValue, validate


@dataclass(slots=True)
class DemoPool:
    """Demonstrations by module, in the order they were found, one for each distinct input."""

    by_module: dict[str, dict[str, Demo]] = field(default_factory=dict)

    def add(self, module: str, demo: Demo) -> None:
        """Add a demonstration, unless the module has one for the same inputs."""
        self.by_module.setdefault(module, {}).setdefault(_key(demo.inputs), demo)

    def of(self, module: str) -> list[Demo]:
        """The demonstrations of a module."""
        return list(self.by_module.get(module, {}).values())

    def under(self, other: DemoPool) -> DemoPool:
        """Both pools. For equal inputs the demonstration of `other` counts."""
        names = dict.fromkeys([*other.by_module, *self.by_module])
        return DemoPool({n: self.by_module.get(n, {}) | other.by_module.get(n, {}) for n in names})

    def only(self, names: Container[str]) -> DemoPool:
        """The demonstrations of some modules."""
        return DemoPool({n: demos for n, demos in self.by_module.items() if n in names})

    def __bool__(self) -> bool:
        return any(self.by_module.values())


def labeled_pool(program: ProgramGraph, target: str, rows: Iterable[Any]) -> DemoPool:
    """Demonstrations from rows that have the inputs and outputs of a module with the result."""
    pool = DemoPool()
    provenance = result_provenance(program, target)
    graph, names = program.graphs[target], input_names(program, target)
    for row in rows:
        given = row_inputs(graph, row.values, training=True)
        for labelled in provenance.values():
            inputs = {name: given.get(o) for name, o in labelled.inputs.items() if o}
            outputs = gold_outputs(labelled, row.values, names)
            if outputs is not None and len(inputs) == len(labelled.inputs):
                pool.add(
                    labelled.module.name, demo_of(labelled.module, inputs, outputs, f"row {row.id}")
                )
    return pool


def example_pool(modules: Mapping[str, Module]) -> DemoPool:
    """The `example` declarations of the source."""
    pool = DemoPool()
    for module in modules.values():
        for inputs, result in module.slots.demos:
            pool.add(module.name, demo_of(module, inputs, as_outputs(module, result), "example"))
    return pool


def traced_demos(
    run: Run,
    modules: Mapping[str, Module],
    among: Among = frozenset(),
    at_least: float | None = None,
) -> list[tuple[str, Demo]]:
    """A demonstration for every call of an accepted run that led to its result.

    Of a run with rewards by module, they are those of modules that deserve `at_least` this much.
    """
    found = []
    for call in led_calls(run, among):
        module, worth = modules.get(call.module), run.worth(call.module)
        if at_least is not None and (worth is None or worth < at_least):
            continue
        if module is not None and call.outputs is not None:
            origin = f"row {run.row}, call {call.id}"
            found.append((call.module, demo_of(module, call.inputs, call.outputs, origin)))
    return found


def corrected_demos(
    run: Run, provenance: Mapping[str, Provenance], target_inputs: Container[str]
) -> list[tuple[str, Demo]]:
    """Demonstrations with the inputs of a run's call and the outputs of the row's label.

    They are for modules with computed inputs, which rows do not have.
    """
    found = []
    for call in run.trace.calls:
        labelled = provenance.get(call.module)
        if labelled is None or all(labelled.inputs.values()):
            continue
        outputs = gold_outputs(labelled, run.values, target_inputs)
        if outputs is not None:
            origin = f"row {run.row} (label), call {call.id}"
            found.append((call.module, demo_of(labelled.module, call.inputs, outputs, origin)))
    return found


def gold_outputs(
    labelled: Provenance, values: Mapping[str, Any], target_inputs: Container[str]
) -> dict[str, Any] | None:
    """The outputs of a module according to a row's labels; None if a label is missing.

    The label of a field of the target's result has the field's name. If the result is not a record,
    its label is the field that metrics use as the answer, or the only field that is not an input.
    The latter may hold the whole record too.
    """
    module = labelled.module
    gold = _unfolded(
        {name: value for name, value in values.items() if name not in target_inputs}, labelled
    )
    if labelled.field is not None:
        found: Any = gold.get(labelled.field)
    elif isinstance(module.result, RecordType):
        fields = module.result.fields
        given = {f.name: gold[f.name] for f in fields if f.name in gold}
        found = {f.name: f.default for f in fields if f.has_default} | given if given else None
    else:
        known = [name for name in GOLD_NAMES if name in gold]
        names = known[:1] or (list(gold) if len(gold) == 1 else [])
        found = gold[names[0]] if names else None
    wanted = project(module.result, found)
    try:
        return None if found is None else as_outputs(module, validate(module.result, wanted))
    except InvalidValue:
        return None


def _unfolded(gold: Mapping[str, Any], labelled: Provenance) -> Mapping[str, Any]:
    """The labels of a row. A row may have the result's record as one value instead of as fields."""
    result, name = labelled.module.result, labelled.field
    names = {f.name for f in result.fields} if isinstance(result, RecordType) else set[str]()
    whole = next(iter(gold.values())) if len(gold) == 1 else None
    if not isinstance(whole, Mapping) or gold.keys() & (names if name is None else {name}):
        return gold
    return whole if name is not None or names else gold


def pick_demos(demos: Sequence[Demo], count: int, rng: random.Random) -> tuple[Demo, ...]:
    """A random choice, in random order, that covers the kinds of outputs evenly."""
    groups: dict[str, list[Demo]] = {}
    labels = _labels(demos)
    for demo, label in zip(demos, labels):
        groups.setdefault(label, []).append(demo)
    for group in groups.values():
        rng.shuffle(group)
    order = list(groups.values())
    rng.shuffle(order)
    picked: list[Demo] = []
    while len(picked) < count and any(order):
        picked += [group.pop() for group in order if group]
    picked = picked[:count]
    rng.shuffle(picked)
    return tuple(picked)


def varied(pool: DemoPool) -> int:
    """The kinds of outputs of the module that has the most. Free texts are of different kinds."""
    found = [0]
    for name in pool.by_module:
        demos = pool.of(name)
        labels = set(_labels(demos))
        found.append(len(labels) if len(labels) > 1 else len({_key(d.outputs) for d in demos}))
    return max(found)


def _labels(demos: Sequence[Demo]) -> list[str]:
    """The kind of each demonstration: the values of its output fields that take few values."""
    seen: dict[str, set[str]] = {}
    for demo in demos:
        for name, value in demo.outputs.items():
            seen.setdefault(name, set()).add(_key(value))
    few = [name for name, values in seen.items() if len(values) * 2 <= len(demos)]
    return [_key([demo.outputs.get(name) for name in few if name != REASONING]) for demo in demos]


def demo_of(
    module: Module, inputs: Mapping[str, Any], outputs: Mapping[str, Any], origin: str
) -> Demo:
    """A demonstration of a module, without its `train` parameters."""
    hidden = module.slots.train_only
    shown = {name: value for name, value in inputs.items() if name not in hidden}
    return Demo(shown, dict(outputs), origin)


def as_outputs(module: Module, result: Any) -> dict[str, Any]:
    """A result as the output fields of the module."""
    return dict(result) if isinstance(module.result, RecordType) else {BARE: result}


def input_names(program: ProgramGraph, target: str) -> tuple[str, ...]:
    """The inputs of the target, in order. The other fields of a row are labels."""
    return tuple(port.name for port in program.graphs[target].inputs)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
