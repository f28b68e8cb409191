"""The two files of a small LoRA adapter, as peft would write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lmc.models.adapters import CONFIG, WEIGHTS

PLAIN: dict[str, Any] = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "bias": "none",
    "target_modules": ["q_proj"], "auto_mapping": None, "rank_pattern": {}, "use_dora": False,
    "base_model_name_or_path": "some/model", "init_lora_weights": True,
}  # fmt: skip
TENSOR = "base_model.model.layers.0.q_proj.lora_A.weight"
F32 = 4  # bytes


def safetensors(tensors: Mapping[str, Any], data: bytes = b"weights" + bytes(25)) -> bytes:
    """A file with tensors of float32, given as their shapes or as what the header says of each."""
    header, place = {}, 0
    for name, given in tensors.items():
        size = 0 if isinstance(given, dict) else F32 * math.prod(given)
        own = {"dtype": "F32", "shape": given, "data_offsets": [place, place + size]}
        header[name] = given if isinstance(given, dict) else own
        place += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def adapter_files(**config: Any) -> dict[str, bytes]:
    """The files, with some settings changed."""
    return {
        CONFIG: json.dumps(PLAIN | config).encode(),
        WEIGHTS: safetensors({TENSOR: [2, 4]}),
    }
