"""Tokens are drawn from the inverse cumulative distribution, never one of probability 0."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")

import torch

from lmc.models.engine.sampling import draw


@pytest.mark.parametrize("vocabulary", [5, 256, 1000, 49_152])
@pytest.mark.parametrize("top_p", [None, 0.9])
def test_a_draw_is_where_the_cumulative_probability_passes_the_number(
    vocabulary: int, top_p: float | None
) -> None:
    generator = torch.Generator().manual_seed(vocabulary)
    logits = 3 * torch.randn(2, vocabulary, generator=generator)
    logits[:, ::3] = float("-inf")
    rng = random.Random(vocabulary)
    numbers = [[rng.random() for _ in range(40)], [0.0, 1 - 2**-53]]
    drawn = draw(logits, [0.8, 1.5], [top_p, top_p], numbers)
    assert [len(tokens) for tokens in drawn] == [40, 2]
    for row, temperature, tokens, at in zip(logits, [0.8, 1.5], drawn, numbers):
        probs = (row / temperature).softmax(-1).double()
        if top_p is not None:
            ordered, order = probs.sort(descending=True)
            probs[order[ordered.cumsum(0) - ordered >= top_p]] = 0.0
        ends = probs.cumsum(0)
        for token, number in zip(tokens, at):
            assert probs[token] > 0
            assert ends[token] - probs[token] - 1e-9 <= number * ends[-1] <= ends[token] + 1e-9
