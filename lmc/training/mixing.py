"""Mixing adapters: one adapter that changes a model as a weighted sum of others does."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.models.adapter_files import is_dora
from lmc.models.adapters import CONFIG, WEIGHTS, Adapter, AdapterStore

if TYPE_CHECKING:
    import torch

_A, _B = "lora_A.weight", "lora_B.weight"
MOST_RANK = 256


def mix(parts: Sequence[tuple[Adapter, float]], store: AdapterStore, rank: int) -> Adapter:
    """The adapter whose change of every matrix is the weighted sum of those of the parts.

    If that has a rank above `rank`, it is the closest one of this rank. Weights may be negative:
    1.5 of new and -0.5 of old weights go on in the direction from old to new, which is the momentum
    of Accelerated Preference Optimization, He et al. 2024, arXiv 2410.06293, taken in weights
    instead of probabilities. Raises: LmcError[not-an-adapter] if the parts do not fit.
    """
    from safetensors.torch import load, save

    rank = min(rank, MOST_RANK)
    if any(map(is_dora, (one for one, _ in parts))):
        raise LmcError.of("not-an-adapter", "adapters of the kind dora cannot be mixed")
    read = [(_config(one), load(one.files()[WEIGHTS]), weight) for one, weight in parts]
    names = {
        name.removesuffix(_A) for _, tensors, _ in read for name in tensors if name.endswith(_A)
    }
    mixed: dict[str, torch.Tensor] = {}
    for name in sorted(names):
        downs, ups = [], []
        for config, tensors, weight in read:
            if name + _A in tensors:
                down, up = tensors[name + _A].double(), tensors[name + _B].double()
                downs.append(down)
                ups.append(up * (weight * _scale(config, len(down))))
        if len({(down.shape[1], up.shape[0]) for down, up in zip(downs, ups)}) > 1:
            message = f"the adapters are not for one model: `{name}` has several sizes"
            raise LmcError.of("not-an-adapter", message)
        mixed[name + _A], mixed[name + _B] = _closest(downs, ups, rank)
    first = read[0][0]
    modules = sorted({m for config, _, _ in read for m in config.get("target_modules") or ()})
    config = {**first, "r": rank, "lora_alpha": rank, "use_rslora": False, "lora_dropout": 0.0}
    text = json.dumps({**config, "target_modules": modules}, sort_keys=True, indent=1)
    return store.add_files({CONFIG: text.encode(), WEIGHTS: save(mixed)})


def _closest(
    downs: Sequence[torch.Tensor], ups: Sequence[torch.Tensor], rank: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors of the sum of products, cut to a rank. Only matrices of small rank are decomposed."""
    import torch

    down, up = torch.cat(list(downs)), torch.cat(list(ups), dim=1)  # (R, in), (out, R)
    right, of_down = torch.linalg.qr(down.T)
    left, of_up = torch.linalg.qr(up)
    u, sizes, v = torch.linalg.svd(of_up @ of_down.T)
    root = sizes[:rank].sqrt()
    new_up = left @ u[:, : len(root)] * root
    new_down = (root[:, None] * v[: len(root)]) @ right.T
    short = rank - len(root)
    if short > 0:  # the settings say one rank for all
        new_up = torch.nn.functional.pad(new_up, (0, short))
        new_down = torch.nn.functional.pad(new_down, (0, 0, 0, short))
    return new_down.float().contiguous(), new_up.float().contiguous()


def _scale(config: dict[str, Any], rank: int) -> float:
    alpha = float(config.get("lora_alpha") or rank)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _config(adapter: Adapter) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(adapter.files()[CONFIG])
    return found
