"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024), for the inner matrices.

torch has one too, in bfloat16 and matrix by matrix; on processors without bfloat16 that costs more
than the rest of a step. Here equal shapes go through one batched product, in float32.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch

_A, _B, _C = 3.4445, -4.775, 2.0315  # the quintic of the published iteration


def orthogonal(x: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Give `x`, shape (n, rows, columns), nearly equal singular values, with its vectors kept."""
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Nesterov momentum, made orthogonal, with the update's size matched to AdamW's."""

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.95, weight_decay: float = 0.02
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Update all matrices from their gradients."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                shapes[parameter.shape].append(parameter)
            for shape, parameters in shapes.items():
                self._update(parameters, group, 0.2 * max(shape) ** 0.5)

    def _update(
        self, parameters: list[torch.nn.Parameter], group: dict[str, Any], scale: float
    ) -> None:
        beta = group["momentum"]
        directions = []
        for parameter in parameters:
            assert parameter.grad is not None
            kept = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            kept.lerp_(parameter.grad, 1 - beta)
            directions.append(parameter.grad.lerp(kept, beta))
        for parameter, update in zip(parameters, orthogonal(torch.stack(directions))):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update, alpha=-group["lr"] * scale)
