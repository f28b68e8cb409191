"""The state of a running batch: keys and values of each row, and the logits of its next token.

The rows may have any lengths. A row's tokens fill its first columns, so no token is padding. Rows
join and leave between any two tokens.
Shapes: B rows, K heads of keys, S columns, D depth, N packed tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import Cache

from lmc.models.engine.shared_prefix import Prefix

_COLUMNS = 32  # columns are added and removed in such steps


class RowCache(Cache):  # type: ignore[misc]
    """Keys and values (B, K, S, D) of each layer, as transformers' models fill them."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []  # of each layer
        self._rows, self._columns = torch.empty(0), torch.empty(0)
        self._shape, self._first = (0, 0), 0

    def place(
        self, rows: torch.Tensor, columns: torch.Tensor, first: int, shape: tuple[int, int]
    ) -> None:
        """Say to which row and column each of N packed tokens belongs, and how many there are.

        `first` is the first of the columns.
        """
        self._rows, self._columns, self._first, self._shape = rows, columns, first, shape
        self.resize(shape[1])

    def resize(self, columns: int) -> None:
        """Have room for at least so many columns, and not for many more."""
        columns = _rounded(columns)
        if self.pairs and self.pairs[0][0].shape[2] != columns:
            more = columns - self.pairs[0][0].shape[2]  # a negative pad cuts
            self.pairs = [
                (pad(keys, (0, 0, 0, more)), pad(values, (0, 0, 0, more)))
                for keys, values in self.pairs
            ]

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the packed keys and values of one layer, and return those of all rows."""
        if layer_idx == len(self.pairs):
            self.pairs.append((self._new(key_states), self._new(value_states)))
        for kept, new in zip(self.pairs[layer_idx], (key_states, value_states)):
            if len(kept) == len(new) == 1:
                kept[:, :, self._first : self._first + new.shape[2]] = new
            else:
                kept[self._rows, :, self._columns] = new.transpose(1, 2).flatten(0, 1)  # (N, K, D)
        return self.pairs[layer_idx]

    def _new(self, states: torch.Tensor) -> torch.Tensor:
        rows, columns = self._shape
        # Zeros, because hidden columns are multiplied by weights of zero, and may not be NaN.
        return states.new_zeros(rows, states.shape[1], _rounded(columns), states.shape[3])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Nothing depends on one length here: callers pass positions and masks."""
        return 0


@dataclass(slots=True)
class State:
    """The state of a batch, without the shared prefixes (see `shared_prefix`)."""

    lengths: list[int]  # of the rows, in tokens behind their prefixes
    cache: RowCache = field(default_factory=RowCache)
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))  # (B, V)

    def beginning(self, place: int, tokens: int) -> Prefix:
        """A copy of the keys and values of the first tokens of a row."""
        rows = [
            (keys[place, :, :tokens], values[place, :, :tokens])
            for keys, values in self.cache.pairs
        ]
        return [(keys.contiguous(), values.contiguous()) for keys, values in rows]

    def select(self, places: Sequence[int]) -> None:
        """Keep the rows at these places, in this order. A place may repeat."""
        if list(places) == list(range(len(self.lengths))):
            return
        index = torch.tensor(places, device=self.logits.device)
        self.lengths = [self.lengths[place] for place in places]
        used = _rounded(max(self.lengths))
        self.cache.pairs = [
            (keys[:, :, :used][index], values[:, :, :used][index])
            for keys, values in self.cache.pairs
        ]
        self.logits = self.logits[index]

    def join(self, other: State) -> None:
        """Append the rows of another batch."""
        longest = max(self.lengths + other.lengths)
        for cache in (self.cache, other.cache):
            cache.resize(longest)
        self.cache.pairs = [
            (torch.cat([keys, new_keys]), torch.cat([values, new_values]))
            for (keys, values), (new_keys, new_values) in zip(self.cache.pairs, other.cache.pairs)
        ]
        self.lengths += other.lengths
        self.logits = torch.cat([self.logits, other.logits])


def _rounded(columns: int) -> int:
    return -(-columns // _COLUMNS) * _COLUMNS
