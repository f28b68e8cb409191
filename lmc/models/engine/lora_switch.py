"""LoRA adapters over one base model by peft: select the adapter of each row in a forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lmc.models.adapter_files import plain_adapter

_BASE = "__base__"  # peft's name for no adapter


class LoraSwitch:
    """A model with the adapters that requests named so far."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._names: dict[str, str] = {}  # names in peft, by id
        self._active: str | None = None

    def load(self, adapter: str | None) -> None:
        """Load an adapter, once. Raises: LmcError, any exception of peft for a broken one."""
        if adapter is None or adapter in self._names:
            return
        from peft import PeftModel

        folder = str(plain_adapter(adapter).folder)
        name = f"adapter{len(self._names)}"  # peft takes no dots in names
        with warnings.catch_warnings():  # peft uses deprecated parts of transformers
            warnings.simplefilter("ignore", FutureWarning)
            if self._names:
                self.model.load_adapter(folder, adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name)
                self._active = name
        self.model.eval()
        self._names[adapter] = name

    def options(self, adapters: Sequence[str | None]) -> dict[str, Any]:
        """Set the only adapter of all rows, else return arguments that select one per row."""
        if not self._names:
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
