"""The values that an optimizer sets for a program's open slots, kept apart from the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from lmc.frozen import frozen
from lmc.prompts.spec import Demo
from lmc.runtime.gates import AdapterGate


@frozen
class ModuleParameters:
    """The open slots of one module. None keeps the value of the source.

    `demos` replaces the module's examples. `nearest` shows only that many of them: those most like
    the input by shared words, or by the vectors of the embedding model `embedder`. `steps` are
    fields, by name and note, that the model fills in before its result; they replace `reasoning`.
    `model` is a declared model or a `provider/name`. `gates` choose the adapter of each call by its
    input, in place of `adapter`.
    """

    instruction: str | None = None
    demos: tuple[Demo, ...] | None = None
    nearest: int | None = None
    embedder: str | None = None
    steps: tuple[tuple[str, str], ...] | None = None
    adapter: str | None = None
    model: str | None = None
    gates: tuple[AdapterGate, ...] = ()

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters that calls may use, each once."""
        named = (gate.adapter for gate in self.gates) if self.gates else (self.adapter,)
        return tuple(dict.fromkeys(name for name in named if name))


@frozen
class Parameters:
    """Slots by module name, and values of `tune[…]` by the id of the choice.

    `shortcuts` maps a vote or refine to the module that replaces it. That module was trained on
    its results. `stores` are the records that stores start with, the oldest first.
    """

    modules: Mapping[str, ModuleParameters] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)
    shortcuts: Mapping[str, str] = field(default_factory=dict)
    stores: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def with_module(self, name: str, parameters: ModuleParameters) -> Parameters:
        """A copy with other slots for one module."""
        return replace(self, modules={**self.modules, name: parameters})

    def with_slots(self, name: str, **slots: Any) -> Parameters:
        """A copy with other values for some slots of one module.

        New `demos` are all shown, and a new `adapter` answers all inputs.
        """
        if "demos" in slots:
            slots = {"nearest": None, "embedder": None} | slots
        if "adapter" in slots:
            slots = {"gates": ()} | slots
        return self.with_module(name, replace(self.modules.get(name, ModuleParameters()), **slots))

    def without_embedders(self, but: str) -> Parameters:
        """A copy in which shared words choose demonstrations instead of other embedding models."""
        modules = {
            name: module if module.embedder == but else replace(module, embedder=None)
            for name, module in self.modules.items()
        }
        return replace(self, modules=modules)

    def with_choice(self, id: str, value: Any) -> Parameters:
        """A copy with another value for one `tune[…]`."""
        return replace(self, choices={**self.choices, id: value})

    def with_shortcut(self, name: str, module: str) -> Parameters:
        """A copy in which a module replaces a vote or refine."""
        return replace(self, shortcuts={**self.shortcuts, name: module})

    def with_stores(self, stores: Mapping[str, Sequence[Any]]) -> Parameters:
        """A copy with other records for some stores."""
        return replace(self, stores={**self.stores, **stores})

    def to_json(self) -> dict[str, Any]:
        """A JSON object with sorted names, so equal parameters give equal text."""
        stores = {name: list(self.stores[name]) for name in sorted(self.stores)}
        return {
            "modules": {name: _module_json(self.modules[name]) for name in sorted(self.modules)},
            "choices": {id: self.choices[id] for id in sorted(self.choices)},
            "shortcuts": {name: self.shortcuts[name] for name in sorted(self.shortcuts)},
            **({"stores": stores} if stores else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parameters:
        """Read what `to_json` wrote."""
        modules = {name: _module_from_json(m) for name, m in data.get("modules", {}).items()}
        choices, shortcuts = dict(data.get("choices", {})), dict(data.get("shortcuts", {}))
        return cls(modules, choices, shortcuts, dict(data.get("stores", {})))


def _module_json(module: ModuleParameters) -> dict[str, Any]:
    found = {
        "instruction": module.instruction,
        "nearest": module.nearest,
        "embedder": module.embedder,
        "steps": None if module.steps is None else [list(step) for step in module.steps],
        "adapter": module.adapter,
        "model": module.model,
        "gates": [_gate_json(gate) for gate in module.gates] or None,
        "demos": None if module.demos is None else [_demo_json(d) for d in module.demos],
    }
    return {key: value for key, value in found.items() if value is not None}


def _gate_json(gate: AdapterGate) -> dict[str, Any]:
    own = {word: gate.words[word] for word in sorted(gate.words)}
    return {"adapter": gate.adapter, "bias": gate.bias, "words": own}


def _demo_json(demo: Demo) -> dict[str, Any]:
    return {
        "inputs": dict(demo.inputs),
        "outputs": dict(demo.outputs),
        "origin": demo.origin,
    }


def _module_from_json(data: Mapping[str, Any]) -> ModuleParameters:
    demos, steps = data.get("demos"), data.get("steps")
    return ModuleParameters(
        instruction=data.get("instruction"),
        demos=None if demos is None else tuple(Demo(**d) for d in demos),
        nearest=data.get("nearest"),
        embedder=data.get("embedder"),
        steps=None if steps is None else tuple((name, note) for name, note in steps),
        adapter=data.get("adapter"),
        model=data.get("model"),
        gates=tuple(AdapterGate(**gate) for gate in data.get("gates", ())),
    )
