"""Attention of the new tokens of many rows to a prefix that all share and to each row's own keys.

The prefix is one matrix product for all rows, which is joined with each row's own part.
Source: Hydragen (Juravsky et al. 2024, arXiv 2402.05099).
Shapes: B rows, H heads, K heads of keys, W new tokens a row, P tokens of the prefix, S columns of a
row's own keys, D depth, Q new tokens of all heads that read the same keys.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Literal, TypeAlias

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

# What new tokens see of their row's own keys: all of them (None), those to whose scores a mask
# (b or 1, 1, W, S) adds 0 and not -inf, or, where all keys are new, those up to the token's own.
Seen: TypeAlias = torch.Tensor | Literal["causal"] | None

_TOLERANCE = 1e-4
_LONG = 48  # with more new tokens a row, a fused product over copies of the prefix is faster


def attention(
    query: torch.Tensor,  # (B, H, W, D)
    key: torch.Tensor,  # (B, K, S, D)
    value: torch.Tensor,
    seen: Seen,
    shared: tuple[torch.Tensor, torch.Tensor] | None,  # keys and values (K, P, D) of the prefix
    scale: float,
) -> torch.Tensor:
    """What the new tokens read, (B, H, W, D)."""
    length, group = query.shape[2], query.shape[1] // key.shape[1]
    if isinstance(seen, str):  # all keys are new
        key, value = (x.repeat_interleave(group, 1) if group > 1 else x for x in (key, value))
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)
    if shared is not None and length > _LONG:
        if seen is not None:
            seen = pad(seen, (shared[0].shape[1], 0))
        key, value = (_joined(far, near) for far, near in zip(shared, (key, value)))
        shared = None
    # The heads that read the same keys are rows of one product: (B, K, G * W, D), G = H / K.
    grouped = query.reshape(len(query), key.shape[1], group * length, -1)
    if length > 1 and isinstance(seen, torch.Tensor):
        seen = seen.repeat(1, 1, group, 1)
    if shared is None:
        out = scaled_dot_product_attention(grouped, key, value, attn_mask=seen, scale=scale)
    elif key.device.type == "cpu" and _flash_works():
        out = _merged(grouped, key, value, seen, shared, scale)
    else:
        out = _at_once(grouped, key, value, seen, shared, scale)
    return out.reshape(query.shape)


def _joined(prefix: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The keys or values of a prefix before those of each row: (B, K, P + S, D)."""
    return torch.cat([prefix.expand(own.shape[0], *prefix.shape), own], 2)


def _merged(
    query: torch.Tensor,  # (B, K, Q, D)
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,  # (b or 1, 1, Q, S), added to the scores
    shared: tuple[torch.Tensor, torch.Tensor],
    scale: float,
) -> torch.Tensor:
    """Attention to the prefix and to each row's own keys, by two fused products."""
    rows, heads, count, depth = query.shape
    by_head = query.transpose(0, 1).reshape(1, heads, rows * count, depth)
    far, far_sum = _flash(by_head, shared[0][None], shared[1][None], None, scale)
    near, near_sum = _flash(query, key, value, mask, scale)
    far = far.view(heads, rows, count, depth).transpose(0, 1)
    far_sum = far_sum.view(heads, rows, count).transpose(0, 1)
    share = torch.sigmoid(far_sum - near_sum)[..., None]  # both are logarithms, in float32
    return torch.lerp(near.float(), far.float(), share).to(query.dtype)


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `scaled_dot_product_attention` gives, and the logarithm of its sums (B, K, Q)."""
    operator = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    out, logsumexp = operator(query, key, value, 0.0, False, attn_mask=mask, scale=scale)
    return out, logsumexp


@cache
def _flash_works() -> bool:
    """Whether this torch has the operator, which is none of its documented ones."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, 3, 8, generator=generator) for _ in range(3))
    scores = query @ key.transpose(2, 3)
    with suppress(AttributeError, RuntimeError, TypeError, ValueError):
        out, logsumexp = _flash(query, key, value, None, 1.0)
        wanted = (out, scores.softmax(-1) @ value), (logsumexp, scores.logsumexp(-1))
        return all(torch.allclose(*pair, atol=_TOLERANCE) for pair in wanted)
    return False


def _at_once(
    query: torch.Tensor,  # (B, K, Q, D)
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    shared: tuple[torch.Tensor, torch.Tensor],
    scale: float,
) -> torch.Tensor:
    """The same by one softmax over all scores."""
    rows, heads, count, depth = query.shape
    prefix_key, prefix_value = shared
    by_head = (query * scale).transpose(0, 1).reshape(heads, -1, depth)  # (K, BQ, D)
    far = (by_head @ prefix_key.transpose(1, 2)).view(heads, rows, count, -1).transpose(0, 1)
    near = query * scale @ key.transpose(2, 3)  # (B, K, Q, S)
    if mask is not None:
        near = near + mask
    weights = torch.cat([far, near], -1).softmax(-1)  # which sums in float32, whatever the type
    far, near = weights.split([far.shape[-1], near.shape[-1]], -1)
    by_head = far.transpose(0, 1).reshape(heads, rows * count, -1) @ prefix_value
    return near @ value + by_head.view(heads, rows, count, depth).transpose(0, 1)
