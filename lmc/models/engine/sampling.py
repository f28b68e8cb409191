"""Choose tokens, greedily or by a row's own random numbers, so the batch makes no difference.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import torch
from torch.nn.functional import pad

from lmc.models.base import Request

_BLOCK = 256


def noise(request: Request, prompt: Sequence[int], index: int) -> random.Random:
    """Random numbers that depend on seed, prompt and sample index only."""
    text = f"{request.sampling.seed or 0} {index} {tuple(prompt)}"
    return random.Random(hashlib.sha256(text.encode()).digest())


def draw(
    logits: torch.Tensor,
    temperatures: Sequence[float],
    top_p: Sequence[float | None],
    numbers: Sequence[Sequence[float]],
) -> list[list[int]]:
    """The tokens of each row, from its inverse cumulative distribution at numbers below 1."""
    scaled = logits / logits.new_tensor(temperatures)[:, None]
    probs = scaled.softmax(-1)  # (B, V)
    if any(p is not None and p < 1 for p in top_p):
        bound = probs.new_tensor([1.0 if p is None else p for p in top_p])[:, None]
        probs = _nucleus(probs.double(), bound.double())
    most = max(map(len, numbers))
    padded = [[*some, *[0.0] * (most - len(some))] for some in numbers]
    at = torch.tensor(padded, dtype=torch.float64, device=logits.device)
    tokens = _at(probs, at).tolist()
    return [row[: len(some)] for row, some in zip(tokens, numbers)]


def _at(probs: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The tokens (B, N) at which the cumulative probabilities (B, V) exceed numbers below 1.

    One sum per block of tokens finds the block. Only that block is summed token by token.
    """
    blocks = pad(probs, (0, -probs.shape[-1] % _BLOCK)).unflatten(-1, (-1, _BLOCK))
    mass = blocks.sum(-1, dtype=torch.float64).cumsum(-1)  # (B, V / _BLOCK)
    target = _below(numbers * mass[:, -1:], mass[:, -1:])
    block = torch.searchsorted(mass, target, right=True)  # (B, N)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, _BLOCK)).double().cumsum(-1)
    before = pad(mass, (1, 0)).gather(-1, block)
    rest = _below(target - before, inside[..., -1])[..., None]
    return block * _BLOCK + torch.searchsorted(inside, rest, right=True)[..., 0]


def _below(numbers: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Numbers from 0 to below a bound, so that rounding never leads to a token of probability 0."""
    return torch.minimum(numbers.clamp(min=0), bound.nextafter(torch.zeros_like(bound)))


def certainty(logprobs: torch.Tensor) -> torch.Tensor:
    """The divergence (B) of each distribution from the uniform one, in nats, from logprobs (B, V).

    Source: self-certainty, Kang et al. 2025, arXiv 2502.18581, equation 5. Tokens that a grammar
    excludes do not count.
    """
    allowed = logprobs.isfinite()
    count = allowed.sum(-1)
    mean = logprobs.masked_fill(~allowed, 0.0).sum(-1) / count
    return -mean - count.log()


def _nucleus(probs: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Zero all but the most probable tokens that together reach the bound (at least one)."""
    ordered, order = probs.sort(descending=True, dim=-1)
    outside = ordered.cumsum(-1) - ordered >= bound
    outside[:, 0] = False
    return probs.masked_fill(outside.gather(-1, order.argsort(-1)), 0.0)
