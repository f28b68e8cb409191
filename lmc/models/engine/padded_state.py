"""The state of a batch whose rows are padded on the left, for attention of other kinds.

Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import DynamicCache


@dataclass(slots=True)
class PaddedState:
    """Keys and values, masks, positions and next logits. No row can join later."""

    cache: DynamicCache
    mask: torch.Tensor  # (B, T), 0 at padding
    positions: torch.Tensor  # of the next tokens: (B, T) before the prefill, then (B, 1)
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # (B, V)

    def select(self, places: Sequence[int]) -> None:
        """Keep the rows at these places, in this order. A place may repeat."""
        index = torch.tensor(places, device=self.mask.device)
        self.cache.batch_select_indices(index)
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.logits = self.logits[index]
