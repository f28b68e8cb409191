"""Run a model over further tokens of the rows of a batch.

Shapes: B rows, N packed tokens, V vocabulary.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Generic, Protocol, TypeVar

import torch
from transformers import DynamicCache

from lmc.models.engine.batch_state import State
from lmc.models.engine.lora_switch import LoraSwitch
from lmc.models.engine.packing import Packing, Stretch
from lmc.models.engine.padded_state import PaddedState
from lmc.models.engine.sample_rows import BatchRow
from lmc.models.engine.shared_prefix import Lane, Prefix, in_use

Tokens = Sequence[Sequence[int]]  # new ones of each row; none for a row that needs none
Lanes = Mapping[Lane, Prefix | None]


class RowStates(Protocol):
    """What a batch keeps of its rows between two tokens."""

    logits: torch.Tensor  # (B, V) of the last tokens

    def select(self, places: Sequence[int]) -> None:
        """Keep the rows at these places, in this order. A place may repeat."""
        ...


S = TypeVar("S", bound=RowStates)


class Forward(ABC, Generic[S]):
    """A model with its adapters. It continues the rows of a batch."""

    def __init__(self, model: Any) -> None:
        self.lora = LoraSwitch(model)
        self._like = next(model.parameters()).new_empty(0)  # of the model's type and device
        self._config, self._cache_name = model.config, _cache_name(model)

    @abstractmethod
    def prefill(self, rows: Sequence[BatchRow], lanes: Lanes) -> S:
        """Compute the known tokens behind the prefix of each row. Rows of a lane are adjacent."""

    @abstractmethod
    def advance(self, state: S, rows: Sequence[BatchRow], tokens: Tokens, lanes: Lanes) -> None:
        """Compute further tokens of the rows. Rows without tokens have no logits after it."""

    def prefix(self, lane: Lane) -> Prefix:
        """The keys and values of the prefix that the rows of a lane share."""
        adapter, ids = lane
        cache = DynamicCache(config=self._config)
        self._call(self._tensor(ids)[None], cache, logits_to_keep=1, **self.lora.options([adapter]))
        return [(layer.keys[0], layer.values[0]) for layer in cache.layers]

    def _call(self, ids: torch.Tensor, cache: Any, **options: Any) -> torch.Tensor:
        named = {self._cache_name: cache}
        return self.lora.model(ids, use_cache=True, **named, **options).logits

    def _tensor(self, numbers: Sequence[int]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self._like.device)


class PackedForward(Forward[State]):
    """A model whose attention finds packed rows by `shared_prefix`. Only real tokens are run."""

    def prefill(self, rows: Sequence[BatchRow], lanes: Lanes) -> State:
        """Compute the known tokens behind the prefix of each row. Adjacent rows share a lane."""
        state: State | None = None
        for _, group in groupby(rows, key=lambda row: row.request.adapter):
            some = list(group)
            new = State([0] * len(some))
            self.advance(new, some, [row.known[row.shared :] for row in some], lanes)
            if state is None:
                state = new
            else:
                state.join(new)
        assert state is not None
        return state

    def advance(self, state: State, rows: Sequence[BatchRow], tokens: Tokens, lanes: Lanes) -> None:
        """Compute further tokens of the rows, packed into one sequence."""
        counts = [len(some) for some in tokens]
        logits = self._advance(state, rows, tokens, lanes, ())
        if all(counts):
            state.logits = logits
        else:
            run = [row for row, count in enumerate(counts) if count]
            state.logits = logits.new_zeros(len(rows), logits.shape[-1])
            state.logits[run] = logits

    def try_out(
        self,
        state: State,
        rows: Sequence[BatchRow],
        tokens: Tokens,
        guesses: Tokens,
        lanes: Lanes,
    ) -> list[torch.Tensor]:
        """Compute further tokens of the rows and then guessed ones.

        Returns the logits (1 + guesses, V) of each row: behind its tokens, then behind each guess.
        The state has all of them until `keep` says how many were right.
        """
        both = [[*some, *more] for some, more in zip(tokens, guesses)]
        guessed = [len(more) for more in guesses]
        found = self._advance(state, rows, both, lanes, guessed)
        sizes = [1 + more if some else 0 for some, more in zip(tokens, guessed)]
        return list(found.split(sizes))

    @staticmethod
    def keep(state: State, wrong: Sequence[int], logits: Sequence[torch.Tensor]) -> None:
        """Forget so many last tokens of each row, and go on with the logits (V) of each."""
        # Their keys stay in the columns behind the row, which nothing sees until they are replaced.
        state.lengths = [length - less for length, less in zip(state.lengths, wrong)]
        state.logits = torch.stack(list(logits))

    def _advance(
        self,
        state: State,
        rows: Sequence[BatchRow],
        tokens: Tokens,
        lanes: Lanes,
        guessed: Sequence[int],
    ) -> torch.Tensor:
        """The logits of the last token of each row with new tokens, and of its guesses."""
        counts = [len(some) for some in tokens]
        packing = Packing(counts, state.lengths, [row.shared for row in rows], guessed)
        stretches = [
            Stretch(sum(1 for _ in group), lanes[lane])
            for lane, group in groupby(rows, key=lambda row: row.lane)
        ]
        after = packing.after
        columns = packing.columns
        places = self._tensor(packing.rows), self._tensor(columns)
        state.cache.place(*places, first=columns[0], shape=(len(rows), max(after)))
        adapters = [rows[i].request.adapter for i in packing.rows]
        ids = [token for some in tokens for token in some]
        with in_use(packing.blocks(stretches, self._like)):
            logits = self._run(state, ids, packing, adapters)
        state.lengths = after
        return logits

    def _run(
        self, state: State, ids: Sequence[int], packing: Packing, adapters: Sequence[str | None]
    ) -> torch.Tensor:
        """The logits at the ends of the packing."""
        alike = len(set(adapters)) == 1
        # One sequence of N tokens, or N sequences of one token, since peft switches by sequence.
        shape = (1, -1) if alike else (-1, 1)
        ends = self._tensor(packing.ends)
        logits = self._call(
            self._tensor(ids).view(shape),
            state.cache,
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._like.device),
            position_ids=self._tensor(packing.positions).view(shape),
            logits_to_keep=ends if alike else 1,
            **self.lora.options(adapters[:1] if alike else adapters),
        )
        return logits[0] if alike else logits[ends, 0]


class PaddedForward(Forward[PaddedState]):
    """A model with another attention, for which rows are padded to one length on the left."""

    def prefill(self, rows: Sequence[BatchRow], lanes: Lanes) -> PaddedState:
        """Compute the known tokens of each row."""
        longest = max(len(row.known) for row in rows)
        pads = [longest - len(row.known) for row in rows]
        mask = torch.stack([self._tensor([0] * p + [1] * (longest - p)) for p in pads])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)  # (B, T)
        state = PaddedState(DynamicCache(config=self._config), mask, positions)
        self._padded(state, rows, [[0] * p + [*row.known] for p, row in zip(pads, rows)])
        return state

    def advance(
        self, state: PaddedState, rows: Sequence[BatchRow], tokens: Tokens, lanes: Lanes
    ) -> None:
        """Compute the next token of each row, or of any token where a row has none."""
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(rows), 1)], dim=1)
        self._padded(state, rows, [[*some, 0][:1] for some in tokens])

    def _padded(self, state: PaddedState, rows: Sequence[BatchRow], ids: Tokens) -> None:
        logits = self._call(
            torch.stack([self._tensor(some) for some in ids]),
            state.cache,
            attention_mask=state.mask,
            position_ids=state.positions,
            logits_to_keep=1,
            **self.lora.options([row.request.adapter for row in rows]),
        )
        state.positions = state.positions[:, -1:] + 1
        state.logits = logits[:, -1]


def _cache_name(model: Any) -> str:
    """What the model calls its key-value cache; the name changed in transformers 5.24."""
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"
