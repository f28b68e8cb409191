"""DoRA adapters in the engine: LoRA whose results are scaled, row by row of each matrix.

With weights W and an adapter B A of scale s, DoRA computes m / |W + s B A| times (W + s B A) x, by
the norm of each row. That factor is fixed when an adapter is loaded: one vector for each matrix.
peft computes no rows of several adapters at once with DoRA; here its LoRA does, and a hook scales
each row's result by the vector of its adapter.
Source: DoRA, Liu et al. 2024, arXiv 2402.09353, equation 5.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from lmc.models.adapters import CONFIG, WEIGHTS, Adapter

_MAGNITUDE = ".lora_magnitude_vector"


class Magnitudes:
    """The vectors that results are scaled by, for each layer and adapter."""

    def __init__(self) -> None:
        self._vectors: dict[int, dict[str, torch.Tensor]] = {}  # by the identity of the layer

    def set(self, layer: Any, adapter: str, vector: torch.Tensor) -> None:
        """Scale what a layer gives with an adapter."""
        if id(layer) not in self._vectors:
            self._vectors[id(layer)] = {}
            layer.register_forward_hook(self._scaled, with_kwargs=True)
        self._vectors[id(layer)][adapter] = vector

    def _scaled(
        self, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: torch.Tensor
    ) -> torch.Tensor:
        """The output (B, T, D) of a layer; its rows have named adapters, or all the active one."""
        vectors, names = self._vectors[id(layer)], kwargs.get("adapter_names")
        if names is None:
            active = () if layer.disable_adapters else layer.active_adapters
            vector = next((vectors[name] for name in active if name in vectors), None)
        elif any(name in vectors for name in names):
            one = torch.ones(output.shape[-1], device=output.device)
            vector = torch.stack([vectors.get(name, one) for name in names])[:, None]
        else:
            vector = None
        if vector is None:
            return output
        bias = layer.get_base_layer().bias
        scale = vector.to(output.dtype)
        return output * scale if bias is None else bias + scale * (output - bias)


def put_in_as_lora(model: Any, name: str, adapter: Adapter, magnitudes: Magnitudes) -> Any:
    """Add a DoRA adapter to a model as LoRA with magnitudes. Returns the model with it."""
    from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load

    files = adapter.files()
    given = load(files[WEIGHTS])
    config = LoraConfig(**(json.loads(files[CONFIG]) | {"use_dora": False}))
    if isinstance(model, PeftModel):
        model.add_adapter(name, config)
    else:
        model = get_peft_model(model, config, adapter_name=name)
    plain = {key: value for key, value in given.items() if not key.endswith(_MAGNITUDE)}
    set_peft_model_state_dict(model, plain, adapter_name=name)
    for key, magnitude in given.items():
        if key.endswith(_MAGNITUDE):
            layer = model.get_submodule(key.removesuffix(_MAGNITUDE))
            magnitudes.set(layer, name, _vector(layer, name, magnitude))
    return model


def _vector(layer: Any, name: str, magnitude: torch.Tensor) -> torch.Tensor:
    """The magnitudes, divided by the norms of the rows with the adapter, (D,)."""
    with torch.no_grad():
        down, up = layer.lora_A[name].weight.float(), layer.lora_B[name].weight.float()
        whole = layer.get_base_layer().weight.float() + layer.scaling[name] * (up @ down)
        return magnitude.to(whole.device).float() / whole.norm(dim=1)
