"""The state of a running batch: keys and values, masks, positions, next logits.

Rows are padded on the left. They join and leave between any two tokens.
Shapes: B rows, T positions behind the shared prefixes, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import pad
from transformers import DynamicCache

_TRIM_AT = 32  # unused columns are cut off from this number


@dataclass(slots=True)
class State:
    """The state of a batch, without the shared prefixes (see `shared_prefix`)."""

    cache: DynamicCache  # of the tokens behind the prefixes
    mask: torch.Tensor  # (B, T), 0 at padding
    positions: torch.Tensor  # of the next tokens: (B, T) before the prefill, then (B, 1)
    logits: torch.Tensor  # (B, V) of the last tokens

    def select(self, places: Sequence[int]) -> None:
        """Keep the rows at these places, in this order. A place may repeat."""
        index = torch.tensor(places, device=self.mask.device)
        self.cache.batch_select_indices(index)
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.logits = self.logits[index]
        self._trim()

    def join(self, other: State) -> None:
        """Append the rows of another batch."""
        length = max(self.mask.shape[1], other.mask.shape[1])
        mine, theirs = length - self.mask.shape[1], length - other.mask.shape[1]
        for ours, new in zip(self.cache.layers, other.cache.layers):
            ours.keys = torch.cat([_longer(ours.keys, mine), _longer(new.keys, theirs)])
            ours.values = torch.cat([_longer(ours.values, mine), _longer(new.values, theirs)])
        masks = pad(self.mask, (mine, 0)), pad(other.mask, (theirs, 0))
        self.mask = torch.cat(masks)
        self.positions = torch.cat([self.positions, other.positions])
        self.logits = torch.cat([self.logits, other.logits])

    def _trim(self) -> None:
        """Cut off the columns that are padding in all rows."""
        unused = int(self.mask.any(0).int().argmax())
        if unused < _TRIM_AT:
            return
        self.mask = self.mask[:, unused:]
        for layer in self.cache.layers:
            layer.keys = layer.keys[:, :, unused:]
            layer.values = layer.values[:, :, unused:]


def _longer(tensor: torch.Tensor, by: int) -> torch.Tensor:
    return pad(tensor, (0, 0, by, 0)) if by else tensor
