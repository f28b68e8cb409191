"""Check the files of adapters: accept plain LoRA weights as safetensors, and nothing that runs.

peft trusts `adapter_config.json`: some settings name classes to import, other models to load, or
patterns that are matched against every layer. lmc accepts the settings of plain LoRA only. Any
other setting must be off.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.models.adapters import CONFIG, WEIGHTS, Adapter, adapter_store

MOST_RANK, MOST_MODULES, MOST_TENSORS, MOST_SIDE = 512, 256, 100_000, 1 << 20
MOST_CONFIG_BYTES, MOST_HEADER_BYTES = 1 << 16, 16 << 20
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_MODULE = re.compile(r"[A-Za-z0-9_.]{1,200}")
_CAUSAL = re.compile(r"[A-Za-z0-9_]{1,100}(ForCausalLM|LMHeadModel)")
_TENSOR = re.compile(r"[A-Za-z0-9_.]{1,400}\.lora_[AB]\.weight")
_MAGNITUDE = re.compile(r"[A-Za-z0-9_.]{1,400}\.lora_magnitude_vector")  # of DoRA


def plain_adapter(id: str) -> Adapter:
    """An adapter of the store that was checked to be plain LoRA. Engines load no other weights.

    Raises: LmcError[unknown-adapter], NotPlain.
    """
    adapter = adapter_store().find(id)
    require_plain(adapter.files())
    return adapter


def taken_in(folder: Path) -> Adapter:
    """Check a foreign adapter and add it to the store. Raises: LmcError[not-an-adapter]."""
    store = adapter_store()
    adapter = store.add(folder)
    try:
        files = adapter.files()
        if (typed := _typed_config(files[CONFIG])) is not None:
            adapter = store.add_files({**files, CONFIG: typed})
        return plain_adapter(adapter.id)
    except NotPlain as problem:
        message = f"{folder} does not hold plain LoRA weights: {problem}"
        raise LmcError.of("not-an-adapter", message) from None


def _typed_config(data: bytes) -> bytes | None:
    """The configuration of an adapter without `task_type`, with the one that lmc's models have.

    peft then writes the class of the base model instead, for programs that import it from there.
    lmc never does; it only looks whether the name is one of a causal language model. None leaves
    the configuration as it is. Raises: NotPlain.
    """
    if len(data) > MOST_CONFIG_BYTES:
        return None
    config = _object(data, CONFIG)
    mapping = config.get("auto_mapping")
    name = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    if config.get("task_type") is not None or not isinstance(name, str):
        return None
    if not _CAUSAL.fullmatch(name):
        raise NotPlain(f"it is for `{name[:80]}`, which is not a causal language model")
    return json.dumps({**config, "task_type": "CAUSAL_LM", "auto_mapping": None}).encode()


class NotPlain(ValueError):
    """The files are not plain LoRA. The message says why."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000


def _is_number(value: Any, most: float) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(real and 0 <= value <= most)


def _is_names(value: Any) -> bool:
    """Whether it is a list of names. A text would be a pattern, which may take forever."""
    return (
        isinstance(value, list)
        and len(value) <= MOST_MODULES
        and all(isinstance(name, str) and _MODULE.fullmatch(name) for name in value)
    )


# Settings that may be on. Texts among them are not used to find a model or a class.
_ON: Mapping[str, Callable[[Any], bool]] = {
    "peft_type": lambda v: v == "LORA",
    "task_type": lambda v: v == "CAUSAL_LM",
    "r": lambda v: isinstance(v, int) and _is_number(v, MOST_RANK),
    "lora_alpha": lambda v: _is_number(v, 1 << 16),
    "lora_dropout": lambda v: _is_number(v, 1),
    "target_modules": _is_names,
    "bias": lambda v: v == "none",
    "fan_in_fan_out": lambda v: v is True,
    "inference_mode": lambda v: v is True,
    "init_lora_weights": lambda v: v is True,
    "use_rslora": lambda v: v is True,
    "use_dora": lambda v: v is True,
    "base_model_name_or_path": _is_text,
    "revision": _is_text,
    "peft_version": _is_text,
    "megatron_core": lambda v: v == "megatron.core",  # its default; only read with a config
    "qalora_group_size": lambda v: isinstance(v, int) and _is_number(v, 1 << 16),
}


def require_plain(files: Mapping[str, bytes]) -> None:
    """Check that the files of an adapter are plain LoRA. Raises: NotPlain."""
    _check_config(files[CONFIG])
    _check_weights(files[WEIGHTS])


def _check_config(data: bytes) -> None:
    if len(data) > MOST_CONFIG_BYTES:
        raise NotPlain(f"{CONFIG} has {len(data):,} bytes")
    config = _object(data, CONFIG)
    if config.get("peft_type") != "LORA":
        raise NotPlain(f"{CONFIG} is not about LoRA: `peft_type` is {config.get('peft_type')!r}")
    for name, value in config.items():
        allowed = _ON.get(name)
        if value and not (allowed and allowed(value)):
            shown = repr(value)[:80]
            raise NotPlain(f"{CONFIG} has a setting that is not taken: `{name}` is {shown}")


def _check_weights(data: bytes) -> None:
    """Check the header of the safetensors: names, types, shapes and offsets of all tensors."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MOST_HEADER_BYTES, len(data) - 8):
        raise NotPlain(f"{WEIGHTS} is not a safetensors file")
    header = _object(data[8 : 8 + length], WEIGHTS)
    header.pop("__metadata__", None)
    if len(header) > MOST_TENSORS:
        raise NotPlain(f"{WEIGHTS} has {len(header):,} tensors")
    room = len(data) - 8 - length
    for name, tensor in header.items():
        of_dora = _MAGNITUDE.fullmatch(name) is not None
        if not of_dora and not _TENSOR.fullmatch(name):
            raise NotPlain(f"{WEIGHTS} has a tensor that is not one of LoRA: {name[:80]!r}")
        if not (_is_vector(tensor, room) if of_dora else _is_sound(tensor, room)):
            raise NotPlain(f"{WEIGHTS}: the tensor `{name}` has a wrong type, shape or place")


def _is_sound(tensor: Any, room: int) -> bool:
    """Whether a tensor is a matrix of bounded size, with a rank as one side, in its place."""
    sides = _sides(tensor, room)
    return sides is not None and len(sides) == 2 and min(sides) <= MOST_RANK


def _is_vector(tensor: Any, room: int) -> bool:
    """Whether a tensor is a vector of bounded size in its place."""
    sides = _sides(tensor, room)
    return sides is not None and len(sides) == 1


def _sides(tensor: Any, room: int) -> list[int] | None:
    """The sides of a tensor of bounded size in its place; None if it is none."""
    try:
        sides, (start, end) = tensor["shape"], tensor["data_offsets"]
        if not sides or not all(type(n) is int for n in (*sides, start, end)):
            return None
        size = math.prod(sides) * _BYTES[tensor["dtype"]]
        bounded = min(sides) > 0 and max(sides) <= MOST_SIDE
        return sides if bounded and 0 <= start <= end <= room and end - start == size else None
    except (KeyError, TypeError, ValueError):
        return None


def is_dora(adapter: Adapter) -> bool:
    """Whether an adapter is DoRA: LoRA with a magnitude for each row of a matrix."""
    return bool(_object((adapter.folder / CONFIG).read_bytes(), CONFIG).get("use_dora"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object without repeated names, of which two readers may take different values."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _object(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NotPlain(f"{name} cannot be read")
    return value
