"""The rows of one training step, cut into packs. A pack is what one forward pass reads.

Prompts of one module begin alike: instruction, schema, demonstrations. A packed sequence holds this
common beginning once, and the rest of every row after it. No row sees another one: the mask and the
positions are those of separate rows. Losses and gradients are therefore equal to those of separate
rows, up to rounding.
Source: the idea of Prefix Grouper, Liu et al. 2025, arXiv 2506.05433; differs in: one sequence with
a mask instead of two attentions, groups that are found by their tokens, and a cost model that says
which rows share a sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lmc.frozen import frozen
from lmc.training.encoding import EncodedRow

if TYPE_CHECKING:
    import torch

IGNORED = -100  # a label that no loss is taken of


@frozen
class Pack:
    """Rows that are read in one pass. Their first `shared` tokens are equal and are read once.

    If `shared` is 0, the rows stand side by side, padded on the right.
    """

    rows: tuple[EncodedRow, ...]
    shared: int = 0

    @property
    def tokens(self) -> int:
        """The tokens that are computed, with padding."""
        lengths = [len(row.ids) for row in self.rows]
        if self.shared:
            return sum(lengths) - self.shared * (len(lengths) - 1)
        return max(lengths) * len(lengths)

    def tensors(self, pad: int) -> dict[str, torch.Tensor]:
        """The model's inputs, and `keep`, `labels` and `weight`.

        `keep` is the places in a sequence whose logits count: the ones that predict answers.
        """
        return _packed(self) if self.shared else _padded(self, pad)


@frozen
class Costs:
    """What decides how rows are packed. All costs are in tokens: 1 is a token through the layers.

    `attention` is the cost of a token that looks at one more token. `start` is the cost of one
    more pass. `most_packed` and `most_padded` limit the tokens of a pack, and so the memory. A
    packed sequence gains by being longer, and padded rows do not. `share` allows packed sequences.
    """

    attention: float = 0.001
    start: float = 64.0
    most_packed: int = 2048
    most_padded: int = 1024
    share: bool = True

    def of(self, tokens: int, length: int) -> float:
        """The cost of one pass over so many tokens, in sequences of one length."""
        return self.start + tokens * (1 + self.attention * length)


def plan_packs(rows: Sequence[EncodedRow], costs: Costs) -> tuple[Pack, ...]:
    """The cheapest packs that hold all rows. A row that is longer than the limit has its own."""
    alike = sorted(rows, key=lambda row: row.ids)
    of_a_length = sorted(rows, key=lambda row: len(row.ids))
    plans = [_cut(order, costs) for order in (alike, of_a_length)]
    return min(plans, key=lambda plan: plan.cost).packs


@frozen
class _Plan:
    cost: float
    packs: tuple[Pack, ...]


def _cut(rows: Sequence[EncodedRow], costs: Costs) -> _Plan:
    """The cheapest packs of neighbours, by dynamic programming over the places to cut."""
    alike = [0, *(_common(a.ids, b.ids) for a, b in pairwise(rows))]
    best = [(0.0, 0, 0)]  # for so many first rows: cost, where the last pack starts, its `shared`
    for end in range(1, len(rows) + 1):
        found: list[tuple[float, int, int]] = []
        for start, ways in _last_packs(rows, alike, end, costs):
            if not ways:
                break
            found += [(best[start][0] + cost, start, shared) for cost, shared in ways]
        best.append(min(found))
    packs, end = [], len(rows)
    while end:
        _, start, shared = best[end]
        packs.append(Pack(tuple(rows[start:end]), shared))
        end = start
    return _Plan(best[-1][0], tuple(reversed(packs)))


def _last_packs(
    rows: Sequence[EncodedRow], alike: Sequence[int], end: int, costs: Costs
) -> Iterator[tuple[int, list[tuple[float, int]]]]:
    """Packs that end before a row, growing towards the front: start; cost and `shared` of each."""
    total = longest = 0
    common = len(rows[end - 1].ids)
    for start in reversed(range(end)):
        size, count = len(rows[start].ids), end - start
        total, longest = total + size, max(longest, size)
        common = min(common, rows[start].prompt - 1)
        packed, padded = total - (count - 1) * common, longest * count
        ways = []
        if count == 1 or padded <= costs.most_padded:
            ways.append((costs.of(padded, longest), 0))
        if count > 1 and costs.share and common and packed <= costs.most_packed:
            ways.append((costs.of(packed, packed), common))
        yield start, ways
        common = min(common, alike[start])


def shared_tokens(rows: Sequence[EncodedRow]) -> int:
    """How many tokens all prompts have in common at the start, short of a whole prompt."""
    shared = min(row.prompt - 1 for row in rows)
    return min([shared, *(_common(a.ids, b.ids) for a, b in pairwise(rows))])


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens are equal from the start on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _packed(pack: Pack) -> dict[str, torch.Tensor]:
    import torch

    shared, rows = pack.shared, pack.rows
    ids = list(rows[0].ids[:shared])
    positions, owner = list(range(shared)), [0] * shared
    keep: list[int] = []
    labels: list[int] = []
    weight: list[float] = []
    for number, row in enumerate(rows, 1):
        ids += row.ids[shared:]
        positions += range(shared, len(row.ids))
        owner += [number] * (len(row.ids) - shared)
        keep += range(len(ids) - 1 - len(row.answer), len(ids) - 1)
        labels += row.answer
        weight += [row.weight] * len(row.answer)
    of = torch.tensor(owner)
    seen = ((of[:, None] == of) | (of == 0)).tril()  # (T, T)
    mask = torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": mask[None, None],
        "keep": torch.tensor(keep, dtype=torch.long),
        "labels": torch.tensor([labels], dtype=torch.long),
        "weight": torch.tensor([weight], dtype=torch.float32),
    }


def _padded(pack: Pack, pad: int) -> dict[str, torch.Tensor]:
    """Padding is on the right, where no causal model sees it."""
    import torch

    rows = pack.rows
    width = max(len(row.ids) for row in rows)
    first = min(row.prompt for row in rows) - 1  # predicts the first answer token of all

    def tensor(values: Sequence[Sequence[Any]], size: int, filler: Any) -> torch.Tensor:
        return torch.tensor([[*some, *[filler] * (size - len(some))] for some in values])

    def at_answers(values: Sequence[Sequence[Any]], filler: Any) -> torch.Tensor:
        gaps = [[filler] * (row.prompt - 1 - first) for row in rows]
        placed = [[*gap, *some] for gap, some in zip(gaps, values, strict=True)]
        return tensor(placed, width - 1 - first, filler)

    return {
        "input_ids": tensor([row.ids for row in rows], width, pad),
        "attention_mask": tensor([[1] * len(row.ids) for row in rows], width, 0),
        "keep": torch.arange(first, width - 1),
        "labels": at_answers([row.answer for row in rows], IGNORED),
        "weight": at_answers([[row.weight] * len(row.answer) for row in rows], 0.0),
    }
