"""Tokens of many rows as one packed sequence, and how attention finds each row in it again.

Rows have different numbers of new tokens. Packed, only real tokens go through the layers of the
model. Attention alone needs the rows, and takes them in blocks of about equal length.
Shapes: b rows of a block, W its most new tokens, S its columns, N packed tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch

from lmc.frozen import frozen
from lmc.models.engine.shared_prefix import Prefix, RowBlock

_PADDED_FREELY = 64  # so much padding in a block costs less than another block


@frozen
class Stretch:
    """A number of adjacent rows of a batch with the same prefix."""

    rows: int
    prefix: Prefix | None


@frozen
class Packing:
    """Where each packed token belongs. Rows without new tokens are passed over."""

    counts: Sequence[int]  # of new tokens of each row
    lengths: Sequence[int]  # of the tokens that each row has already, behind its prefix
    ahead: Sequence[int]  # tokens of the prefix of each row
    guessed: Sequence[int] = ()  # so many of the new tokens are guesses; none if empty

    @property
    def after(self) -> list[int]:
        """The lengths of the rows after this pass."""
        return [have + new for have, new in zip(self.lengths, self.counts)]

    @property
    def rows(self) -> list[int]:
        """The row of each packed token."""
        return [row for row, count in enumerate(self.counts) for _ in range(count)]

    @property
    def columns(self) -> list[int]:
        """The column of each packed token in its row."""
        return [i for have, end in zip(self.lengths, self.after) for i in range(have, end)]

    @property
    def positions(self) -> list[int]:
        """The position of each packed token in its text."""
        return [self.ahead[row] + column for row, column in zip(self.rows, self.columns)]

    @property
    def ends(self) -> list[int]:
        """The places of the last token of each row that has new tokens, and of its guesses."""
        guessed = self.guessed or [0] * len(self.counts)
        ends = accumulate(self.counts)
        return [
            place
            for end, count, more in zip(ends, self.counts, guessed)
            if count
            for place in range(end - 1 - more, end)
        ]

    def blocks(self, stretches: Sequence[Stretch], like: torch.Tensor) -> list[RowBlock]:
        """The rows in blocks for attention. A block has one prefix and little padding.

        `like` has the type and the device of the model.
        """
        starts = accumulate((stretch.rows for stretch in stretches), initial=0)
        return [
            self._block(rows, stretch.prefix, like)
            for start, stretch in zip(starts, stretches)
            for rows in _runs(self.counts, range(start, start + stretch.rows))
        ]

    def _block(self, rows: range, prefix: Prefix | None, like: torch.Tensor) -> RowBlock:
        counts = self.counts[rows.start : rows.stop]
        first, width = sum(self.counts[: rows.start]), max(counts)
        tokens = range(first, first + sum(counts))
        before = self.lengths[rows.start : rows.stop]
        columns = max(self.after[rows.start : rows.stop])
        fresh = prefix is None and not any(before)
        places = None
        if min(counts) < width:
            begins = accumulate(counts, initial=0)
            last = len(tokens) - 1
            places = torch.tensor(
                [[min(begin + i, last) for i in range(width)] for begin, _ in zip(begins, counts)],
                device=like.device,
            )
        real = [row * width + i for row, count in enumerate(counts) for i in range(count)]
        return RowBlock(
            rows,
            tokens,
            width,
            places,
            None if places is None else torch.tensor(real, device=like.device),
            columns,
            "causal" if fresh else _hiding(before, width, columns, like),
            prefix,
        )


def _runs(counts: Sequence[int], rows: range) -> Iterator[range]:
    """Split adjacent rows where padding them to one length would waste more than it saves."""
    start, most, real = rows.start, 0, 0
    for row in rows:
        if not real:
            start = row  # rows without new tokens need no block
        most_now, real_now = max(most, counts[row]), real + counts[row]
        padding = (row + 1 - start) * most_now - real_now
        if real and padding > max(_PADDED_FREELY, real_now):
            yield range(start, row)
            start, most_now, real_now = row, counts[row], counts[row]
        most, real = most_now, real_now
    if real:
        yield range(start, rows.stop)


def _hiding(
    before: Sequence[int], width: int, columns: int, like: torch.Tensor
) -> torch.Tensor | None:
    """A mask (b or 1, 1, W, S) of -inf at each column behind the token's own; None without any."""
    same = len(set(before)) == 1
    if same and width == 1:
        return None
    have = torch.tensor(before[:1] if same else before, device=like.device)
    own = have[:, None] + torch.arange(width, device=like.device)  # (b, W)
    behind = (torch.arange(columns, device=like.device) > own[..., None])[:, None]
    return like.new_zeros(behind.shape).masked_fill(behind, float("-inf"))
