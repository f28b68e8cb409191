"""A process of a test that trains steps of a model which is split over two processes."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from lmc.training.bases import Quantize, load_base, split_rest
from lmc.training.lora import LoraSettings, TrainingJob, _with_lora
from lmc.training.losses import LossSettings
from lmc.training.packing import Costs
from lmc.training.shares import ALONE, Shares
from lmc.training.steps import reference_logps, step_gradients
from tests.test_training.shared_step import examples

# Costs, and a number of examples, by which one of two processes has more packs than the other.
UNEVEN = (
    (Costs(share=False, most_padded=16), 9),
    (Costs(most_packed=48, most_padded=48), 9),
    (Costs(share=False, most_padded=32), 3),
)
LOSSES = (LossSettings(), LossSettings("dpo"))


def gradients(base: Path, quantize: Quantize | None, shares: Shares = ALONE) -> list[torch.Tensor]:
    """Log-probabilities, losses and gradients of some steps of an adapter that has been moved."""
    model = load_base(str(base), quantize, shares)
    torch.manual_seed(0)
    learner = _with_lora(model, TrainingJob("", "", (), LoraSettings(rank=2)))
    split_rest(model, learner, shares)
    trained = [weights for weights in learner.parameters() if weights.requires_grad]
    with torch.no_grad():
        for weights in trained:
            weights.add_(torch.randn_like(weights) / 10)
    before = reference_logps(learner, examples(), UNEVEN[0][0], 0)
    found = [torch.tensor([value for e in before for row in e.reference for value in row])]
    learner.train()
    for costs, count in UNEVEN:
        for loss in LOSSES:
            learner.zero_grad()
            found.append(step_gradients(learner, before[:count], costs, 0, loss, shares=shares))
            found += [weights.grad.clone() for weights in trained]
    return found


if __name__ == "__main__":
    from torch import distributed

    folder, base, rank = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    meeting = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    torch.save(gradients(base, sys.argv[4] or None, Shares(rank, 2, True)), folder / f"of-{rank}")
    distributed.destroy_process_group()
