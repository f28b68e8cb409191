"""Several processes that train one adapter: each computes the gradients of its share of a step.

Every process has the whole adapter and sees the whole step, so that losses which join rows are
those of one process. It reads only its own rows; log-probabilities and gradients are added up. So
the weights stay equal everywhere, and are those of one process up to rounding.
(DistributedDataParallel would take the mean of losses whose rows differ in number, and cannot join
rows.) The model may be split: then a pass needs all processes, and each makes as many passes as the
busiest one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lmc.frozen import frozen
from lmc.training.encoding import EncodedRow

if TYPE_CHECKING:
    import torch


@frozen
class Shares:
    """The place of this process among all that train. One process has no others.

    If the model is `split`, each process has a part of every matrix.
    """

    rank: int = 0
    count: int = 1
    split: bool = False

    def parts(self, rows: Sequence[EncodedRow]) -> list[list[EncodedRow]]:
        """The rows of each process, with about as many tokens each."""
        if self.count == 1:
            return [list(rows)]
        order = sorted(rows, key=lambda row: row.ids)
        whole = sum(len(row.ids) for row in order)
        parts: list[list[EncodedRow]] = [[] for _ in range(self.count)]
        before = 0
        for row in order:
            middle = before + len(row.ids) / 2
            parts[min(self.count - 1, int(middle * self.count / whole))].append(row)
            before += len(row.ids)
        return parts

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over all processes."""
        if self.count > 1:
            from torch import distributed

            distributed.all_reduce(values)
        return values

    def add_gradients(self, weights: Iterable[Any]) -> None:
        """Replace the gradients of weights by their sums over all processes."""
        if self.count == 1:
            return
        import torch

        trained = [each for each in weights if each.requires_grad]
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in trained]
        whole = self.add(torch.cat([part.reshape(-1) for part in parts]))
        for each, part in zip(trained, whole.split([w.numel() for w in trained])):
            each.grad = part.reshape(each.shape)

    def agreed(self, value: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return value
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return bool(self.add(torch.tensor([float(value)], device=device)).item())


ALONE = Shares()
