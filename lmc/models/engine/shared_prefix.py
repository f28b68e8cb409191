"""Attention of many rows to shared prefixes, whose keys and values are stored and read once.

Prompts of one module begin alike, with its instruction and demonstrations. A cache per row would
copy and read the same keys once per row. Here the shared part is one matrix product for all its
rows. One softmax joins it with each row's own part. Rows with another prefix, or none, are other
segments of the same batch.
Source: Hydragen (Juravsky et al. 2024, arXiv 2402.05099), but with one softmax instead of a merge.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from lmc.frozen import frozen

NAME = "lmc_shared_prefix"
Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values (K, P, D) of each layer

_MOST_SCORES = 1 << 24  # computed at once
_current = threading.local()


@frozen
class Segment:
    """A number of adjacent rows of a batch with the same prefix."""

    rows: int
    prefix: Prefix | None


class PrefixStore:
    """Prefixes by key. Above a number of tokens, the least recently used ones are dropped."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens, self._tokens = most_tokens, 0
        self._kept: OrderedDict[Hashable, Prefix] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Prefix]) -> Prefix:
        """The prefix of a key. A missing one is made."""
        if key not in self._kept:
            self._kept[key] = made = make()
            self._tokens += _length(made)
            while self._tokens > self._most_tokens and len(self._kept) > 1:
                self._tokens -= _length(self._kept.popitem(last=False)[1])
            return made
        self._kept.move_to_end(key)
        return self._kept[key]


def _length(prefix: Prefix) -> int:
    return int(prefix[0][0].shape[1])


def install(model: Any) -> bool:
    """Make a model attend by this file. False if its attention is of another kind."""
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
def in_use(segments: Sequence[Segment]) -> Iterator[None]:
    """Put prefixes before the rows of this thread's forward passes."""
    _current.segments = segments if any(s.prefix is not None for s in segments) else None
    try:
        yield
    finally:
        _current.segments = None


def attend(
    module: Any,
    query: torch.Tensor,  # (B, H, Q, D)
    key: torch.Tensor,  # (B, K, S, D), K heads of keys
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # (B or 1, 1, Q, S), True if visible
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefixes in use and to each row's own keys. The result is (B, Q, H, D)."""
    segments: Sequence[Segment] | None = getattr(_current, "segments", None)
    if segments is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return out, None
    length, depth = query.shape[2:]
    mask = _causal(query, key) if attention_mask is None and length > 1 else attention_mask
    scaled = query * (depth**-0.5 if scaling is None else scaling)
    parts: list[torch.Tensor] = []
    start = 0
    for segment in segments:
        end = start + segment.rows
        shared = None if segment.prefix is None else segment.prefix[module.layer_idx]
        parts += _segment(scaled, key, value, mask, shared, range(start, end))
        start = end
    return torch.cat(parts).transpose(1, 2), None


def _segment(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    shared: tuple[torch.Tensor, torch.Tensor] | None,
    rows: range,
) -> Iterator[torch.Tensor]:
    """The rows of one segment, in parts if all scores would need too much memory."""
    ahead = 0 if shared is None else shared[0].shape[1]
    step = max(1, _MOST_SCORES // (query.shape[1] * query.shape[2] * (ahead + key.shape[2])))
    for i in range(rows.start, rows.stop, step):
        j = min(i + step, rows.stop)
        some = None if mask is None else mask if mask.shape[0] == 1 else mask[i:j]
        yield _attend(query[i:j], key[i:j], value[i:j], some, shared)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    shared: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    rows, heads, length, depth = query.shape
    key_heads, own = key.shape[1], key.shape[2]
    if shared is None:
        group = heads // key_heads
        key, value = (x.repeat_interleave(group, 1) if group > 1 else x for x in (key, value))
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
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
