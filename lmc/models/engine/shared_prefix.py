"""Attention of many rows to shared prefixes, whose keys and values are stored and read once.

Prompts of one module begin alike, with its instruction and demonstrations. A cache per row would
copy and read the same keys once per row. Here the shared part is one matrix product for all its
rows, which is joined with each row's own part. Rows with another prefix, or none, are other
segments of the same batch.
Source: Hydragen (Juravsky et al. 2024, arXiv 2402.05099).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from lmc.frozen import frozen
from lmc.models.engine.attention import Seen, attention

NAME = "lmc_shared_prefix"
Lane = tuple[str | None, tuple[int, ...]]  # adapter, and tokens of the shared prefix
Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values (K, P, D) of each layer

_MOST_SCORES = 1 << 24  # computed at once
_current = threading.local()


@frozen
class RowBlock:
    """Adjacent rows of a batch, as attention takes them out of the packed sequence."""

    rows: range
    tokens: range  # of the packed sequence
    width: int  # W, the most new tokens of a row
    places: torch.Tensor | None  # (b, W) in `tokens`; None if each row has W new tokens
    real: torch.Tensor | None  # which of the b * W places are tokens and no padding
    columns: int  # S, of the rows' own keys
    seen: Seen
    prefix: Prefix | None


class PrefixStore:
    """Prefixes by lane. Above a number of tokens, the least recently used ones are dropped."""

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens, self._tokens = most_tokens, 0
        self._kept: OrderedDict[Lane, Prefix] = OrderedDict()

    def get(self, lane: Lane, make: Callable[[], Prefix]) -> Prefix:
        """The prefix of a lane. A missing one is cut from a longer one, or made."""
        if not self.has(lane):
            self.keep(lane, make())
        self._kept.move_to_end(lane)
        return self._kept[lane]

    def has(self, lane: Lane) -> bool:
        """Whether the prefix of a lane is kept, or is the beginning of a longer one."""
        if lane not in self._kept and (part := self._cut(lane)):
            self.keep(lane, part)
        return lane in self._kept

    def keep(self, lane: Lane, prefix: Prefix) -> None:
        """Keep the prefix of a lane that has none."""
        self._kept[lane] = prefix
        self._tokens += _length(prefix)
        while self._tokens > self._most_tokens and len(self._kept) > 1:
            self._tokens -= _length(self._kept.popitem(last=False)[1])

    def _cut(self, lane: Lane) -> Prefix | None:
        """The beginning of a longer prefix, which may have further use."""
        adapter, ids = lane
        size = len(ids)
        for longer, prefix in self._kept.items():
            if longer[0] == adapter and longer[1][:size] == ids:
                return [(k[:, :size].contiguous(), v[:, :size].contiguous()) for k, v in prefix]
        return None


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
def in_use(blocks: Sequence[RowBlock]) -> Iterator[None]:
    """Let this thread's forward passes attend to these blocks of rows."""
    _current.blocks = blocks
    try:
        yield
    finally:
        _current.blocks = None


def attend(
    module: Any,
    query: torch.Tensor,  # (1, H, N, D) or (N, H, 1, D), of N packed tokens
    key: torch.Tensor,  # (B, K, S, D), K heads of keys
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # only used without blocks
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefixes in use and to each row's own keys, to (1, N, H, D) or (N, 1, H, D)."""
    blocks: Sequence[RowBlock] | None = getattr(_current, "blocks", None)
    if blocks is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
        return out, None
    packed, heads = query.shape[0], query.shape[1]
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    tokens = query.transpose(1, 2).flatten(0, 1)  # (N, H, D)
    parts = [part for block in blocks for part in _block(module, tokens, key, value, block, scale)]
    return torch.cat(parts).view(packed, -1, heads, value.shape[-1]), None


def _block(
    module: Any,
    tokens: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    block: RowBlock,
    scale: float,
) -> Iterator[torch.Tensor]:
    """Attention of one block's tokens."""
    some = tokens[block.tokens.start : block.tokens.stop]
    padded = some.unflatten(0, (-1, block.width)) if block.places is None else some[block.places]
    rows = slice(block.rows.start, block.rows.stop)
    own_key, own_value = (x[rows, :, : block.columns] for x in (key, value))
    shared = None if block.prefix is None else block.prefix[module.layer_idx]
    out = _by_parts(padded.transpose(1, 2), own_key, own_value, block.seen, shared, scale)
    flat = torch.cat(list(out)).transpose(1, 2).flatten(0, 1)  # (b * W, H, D)
    yield flat if block.real is None else flat[block.real]


def _by_parts(
    query: torch.Tensor,  # (b, H, W, D)
    key: torch.Tensor,
    value: torch.Tensor,
    seen: Seen,
    shared: tuple[torch.Tensor, torch.Tensor] | None,
    scale: float,
) -> Iterator[torch.Tensor]:
    """The rows, in parts if all scores would need too much memory."""
    ahead = 0 if shared is None else shared[0].shape[1]
    step = max(1, _MOST_SCORES // (query.shape[1] * query.shape[2] * (ahead + key.shape[2])))
    for i in range(0, query.shape[0], step):
        j = i + step
        some = seen[i:j] if isinstance(seen, torch.Tensor) and len(seen) > 1 else seen
        yield attention(query[i:j], key[i:j], value[i:j], some, shared, scale)
