"""A step of a small model, for a test that runs it in several processes: little is imported."""

from __future__ import annotations

from typing import Any

import torch

from lmc.training.encoding import EncodedRow, Example
from lmc.training.losses import LossSettings
from lmc.training.packing import Costs
from lmc.training.shares import ALONE, Shares
from lmc.training.steps import step_gradients

LOSSES = (LossSettings(), LossSettings("dpo"))


class Small(torch.nn.Module):
    """A model that only knows the token before, as quick as can be."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = torch.nn.Embedding(50, 16)
        self.head = torch.nn.Linear(16, 50)

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Any:
        class Output:
            logits = self.head(torch.tanh(self.table(input_ids)))

        return Output


def examples() -> list[Example]:
    """Pairs of rows of many lengths."""
    made = []
    for i in range(9):
        prompt = tuple(range(3, 5 + i % 4))
        better = EncodedRow((*prompt, *range(9, 12 + i)), len(prompt), weight=1 + i / 4)
        worse = EncodedRow((*prompt, *range(30, 36 + i)), len(prompt))
        reference = tuple((-2.0 - i / 9,) * len(row.answer) for row in (better, worse))
        made.append(Example((better, worse), reference=reference))
    return made


def gradients(shares: Shares = ALONE) -> list[torch.Tensor]:
    """The loss and the gradients of a step, for each loss."""
    found = []
    costs = Costs(share=False, most_padded=64)
    for loss in LOSSES:
        model = Small()
        found.append(step_gradients(model, examples(), costs, 0, loss, shares=shares).cpu())
        found += [weights.grad for weights in model.parameters() if weights.grad is not None]
    return found
