"""LoRA adapters over one base model by peft: select the adapter of each row in a forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lmc.models.adapter_files import is_dora, plain_adapter
from lmc.models.engine.dora import Magnitudes, put_in_as_lora

_BASE = "__base__"  # peft's name for no adapter


class LoraSwitch:
    """A model with the adapters that requests named so far."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._names: dict[str, str] = {}  # names in peft, by id
        self._active: str | None = None
        self._added = 0  # adapters that the model has
        self._magnitudes = Magnitudes()

    def load(self, adapter: str | None) -> None:
        """Load an adapter, once. Raises: LmcError, any exception of peft for a broken one."""
        if adapter is None or adapter in self._names:
            return
        from peft import PeftModel

        found = plain_adapter(adapter)
        folder, of_dora = str(found.folder), is_dora(found)

        def put_in(model: Any, name: str) -> Any:
            if of_dora:
                return put_in_as_lora(model, name, found, self._magnitudes)
            if isinstance(model, PeftModel):
                model.load_adapter(folder, adapter_name=name)
                return model
            return PeftModel.from_pretrained(model, folder, adapter_name=name)

        self._names[adapter] = self.add(put_in)

    def add(self, put_in: Callable[[Any, str], Any]) -> str:
        """Add an adapter by a function of the model and a name, and return its name.

        The function returns the model with the adapter in it.
        """
        name = f"adapter{self._added}"  # peft takes no dots in names
        with warnings.catch_warnings():  # peft uses deprecated parts of transformers
            warnings.simplefilter("ignore", FutureWarning)
            self.model = put_in(self.model, name)
        self._active = self._active or name
        self._added += 1
        self.model.eval()
        return name

    def name(self, name: str, id: str) -> None:
        """Let requests for an id find the adapter of a name, and no longer those for its old id."""
        self._names = {known: own for known, own in self._names.items() if own != name}
        self._names.setdefault(id, name)

    @contextmanager
    def training(self, name: str) -> Iterator[Any]:
        """The model while the adapter of a name is active and its weights can be trained."""
        self._enable(True)
        self._active = name
        self.model.set_adapter(name)
        self.model.train()
        try:
            yield self.model
        finally:
            self.model.set_adapter(name, inference_mode=True)
            self.model.eval()

    def options(self, adapters: Sequence[str | None]) -> dict[str, Any]:
        """Set the only adapter of all rows, else return arguments that select one per row."""
        if not self._added:
            return {}
        if all(adapter == adapters[0] for adapter in adapters):
            self._activate(adapters[0])
            return {}
        self._enable(True)
        return {"adapter_names": [_BASE if a is None else self._names[a] for a in adapters]}

    def _activate(self, adapter: str | None) -> None:
        if adapter is None:
            self._enable(False)
            return
        self._enable(True)
        if self._active != self._names[adapter]:
            self._active = self._names[adapter]
            self.model.set_adapter(self._active, inference_mode=True)

    def _enable(self, on: bool) -> None:
        layers = self.model.base_model
        (layers.enable_adapter_layers if on else layers.disable_adapter_layers)()
