"""Choose tokens, greedily or by a row's own random numbers, so the batch makes no difference.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import torch

from lmc.models.base import Request

_DEFAULT_TEMPERATURE = 0.7  # of further samples without a given temperature


def noise(request: Request, prompt: Sequence[int], index: int) -> random.Random:
    """Random numbers that depend on seed, prompt and sample index only."""
    text = f"{request.sampling.seed or 0} {index} {tuple(prompt)}"
    return random.Random(hashlib.sha256(text.encode()).digest())


def temperature(request: Request, index: int) -> float:
    """The temperature of one sample. 0 is greedy."""
    given = request.sampling.temperature
    if given is None:
        return 0.0 if index == 0 else _DEFAULT_TEMPERATURE
    return given if given > 1e-4 else 0.0


def draw(
    logits: torch.Tensor,
    temperatures: Sequence[float],
    top_p: Sequence[float | None],
    numbers: Sequence[Sequence[float]],
) -> list[list[int]]:
    """The tokens of each row, from its inverse cumulative distribution at numbers below 1."""
    scaled = logits / logits.new_tensor(temperatures)[:, None]
    probs = scaled.softmax(-1).double()  # (B, V)
    if any(p is not None and p < 1 for p in top_p):
        bound = probs.new_tensor([1.0 if p is None else p for p in top_p])[:, None]
        probs = _nucleus(probs, bound)
    mass = probs.cumsum(-1)
    most = max(map(len, numbers))
    padded = [[*some, *[0.0] * (most - len(some))] for some in numbers]
    drawn = torch.searchsorted(mass, probs.new_tensor(padded) * mass[:, -1:], right=True)
    tokens = drawn.clamp(max=logits.shape[-1] - 1).tolist()
    return [row[: len(some)] for row, some in zip(tokens, numbers)]


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
