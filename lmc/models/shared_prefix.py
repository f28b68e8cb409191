"""Attention of many rows to one prefix whose keys and values are kept, and read, once.

Prompts of one module begin alike (instruction, demonstrations), and samples of one prompt are alike
to the end. With a cache for each row the same keys are copied and read once a row; here the shared
part is one matrix product for all rows, joined with each row's own part under one softmax.
Source: the idea of Hydragen (Juravsky et al. 2024, 2402.05099); differs in: one softmax, no merge.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "lmc_shared_prefix"
Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values (K, P, D) of each layer

_MOST_SCORES = 1 << 24  # at one time
_current = threading.local()


def install(model: Any) -> bool:
    """Have a model attend through here; False where its attention is not of the plain kind."""
    config = model.config
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    softcap = getattr(config, "attn_logit_softcapping", None)
    if layers != {"full_attention"} or window or softcap:
        return False
    if not getattr(model, "_supports_attention_backend", False):
        return False
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


@contextmanager
def in_use(prefix: Prefix | None) -> Iterator[None]:
    """Put a prefix before all rows that the model of this thread is run over."""
    _current.prefix = prefix
    try:
        yield
    finally:
        _current.prefix = None


def attend(
    module: Any,
    query: torch.Tensor,  # (B, H, Q, D)
    key: torch.Tensor,  # (B, K, S, D), K heads of keys
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (B or 1, 1, Q, S), True where it may look
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefix in use and to each row's own keys; the result is (B, Q, H, D)."""
    prefix: Prefix | None = getattr(_current, "prefix", None)
    if prefix is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return out, None
    rows, heads, length, depth = query.shape
    shared = prefix[module.layer_idx]
    mask = _causal(query, key) if attention_mask is None and length > 1 else attention_mask
    scaled = query * (depth**-0.5 if scaling is None else scaling)
    row_scores = heads * length * (shared[0].shape[1] + key.shape[2])
    step = max(1, _MOST_SCORES // row_scores)
    parts = [
        _attend(
            scaled[i : i + step],
            key[i : i + step],
            value[i : i + step],
            _rows(mask, i, step),
            shared,
        )
        for i in range(0, rows, step)
    ]
    return torch.cat(parts).transpose(1, 2), None


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    shared: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    rows, heads, length, depth = query.shape
    key_heads, own = key.shape[1], key.shape[2]
    prefix_key, prefix_value = shared
    grouped = query.reshape(rows, key_heads, -1, depth)  # (B, K, GQ, D), G = H / K
    by_head = grouped.transpose(0, 1).reshape(key_heads, -1, depth)  # (K, BGQ, D)
    far = (by_head @ prefix_key.transpose(1, 2)).view(key_heads, rows, -1, prefix_key.shape[1])
    near = grouped @ key.transpose(2, 3)  # (B, K, GQ, S)
    if mask is not None:
        split = near.view(rows, key_heads, -1, length, own)
        near = split.masked_fill(~mask[:, :, None], float("-inf")).view(near.shape)
    scores = torch.cat([far.transpose(0, 1), near], -1)  # (B, K, GQ, P + S)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    far, near = weights.split([prefix_key.shape[1], own], -1)
    by_head = far.transpose(0, 1).reshape(key_heads, -1, prefix_key.shape[1]) @ prefix_value
    out = near @ value + by_head.view(key_heads, rows, -1, depth).transpose(0, 1)
    return out.reshape(rows, heads, length, depth)


def _causal(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    length, own = query.shape[2], key.shape[2]
    mask = torch.ones(length, own, dtype=torch.bool, device=query.device)
    return mask.tril(own - length)[None, None]


def _rows(mask: torch.Tensor | None, start: int, count: int) -> torch.Tensor | None:
    return mask if mask is None or mask.shape[0] == 1 else mask[start : start + count]
