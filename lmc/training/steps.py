"""A step of the Trainer over packs: the loss of answers, and their gradients pack by pack."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lmc.training.encoding import EncodedRow
from lmc.training.packing import IGNORED, Costs, Pack, plan_packs, shared_tokens

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4  # between the logits of packed and of separate rows, relative to the largest
GPU_TOKENS = 8192  # in a pack; a CPU is busy with fewer


def answer_losses(
    model: Any, inputs: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each answer token of a pack (N,), and the weight of its row (N,)."""
    import torch

    labels = inputs["labels"]
    counted = labels != IGNORED  # (B, K)
    logits = _logits(model, inputs)[counted].float()  # (N, V)
    losses = torch.nn.functional.cross_entropy(logits, labels[counted], reduction="none")
    return losses, inputs["weight"][counted]


def _logits(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The logits that predict the answers, (B, K, V). The model's head skips other places."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    accepted = inspect.signature(base.forward).parameters
    keep = inputs["keep"]
    names = ("input_ids", "attention_mask", "position_ids")
    given = {name: inputs[name] for name in names if name in inputs and name in accepted}
    if "logits_to_keep" in accepted:
        return model(**given, use_cache=False, logits_to_keep=keep).logits
    return model(**given, use_cache=False).logits[:, keep]


def costs_for(model: Any, rows: Sequence[EncodedRow], pad: int) -> Costs:
    """The costs of a model on this machine. Beginnings are shared if it computes them rightly."""
    config = model.config
    size = model.num_parameters(exclude_embeddings=True)
    layers = int(getattr(config, "num_hidden_layers", 0))
    width = int(getattr(config, "hidden_size", 0))
    # A token through a matrix costs 2 operations for each of its numbers, forward and backward. A
    # token that looks at another one costs 4 for each number of the width, and 2.5 times that back.
    attention = 3.5 * layers * width / max(1, size)
    share = shares_beginnings(model, rows, pad)
    if model.device.type == "cpu":
        return Costs(attention, share=share)
    return Costs(attention, most_packed=GPU_TOKENS, most_padded=GPU_TOKENS, share=share)


def shares_beginnings(model: Any, rows: Sequence[EncodedRow], pad: int) -> bool:
    """Whether packed rows give the logits that separate rows give.

    It is tried on the longest neighbours, so that a window of attention shows. Models that know no
    mask for each pair of tokens (state spaces, some schemes of positions) differ or refuse.
    """
    import torch

    pack = _longest_pair(rows)
    if pack is None:
        return False
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            packed = _answers(model, pack, pad)
            plain = torch.cat([_answers(model, Pack((row,)), pad) for row in pack.rows])
    except Exception:  # whatever a model raises when it is given a mask that it does not know
        return False
    finally:
        model.train(training)
    return bool((packed - plain).abs().max() <= TOLERANCE * plain.abs().max())


def _longest_pair(rows: Sequence[EncodedRow]) -> Pack | None:
    """The longest two rows that stand together in the order of tokens and begin alike."""
    order = sorted(rows, key=lambda row: row.ids)
    pairs = [Pack(pair, shared_tokens(pair)) for pair in pairwise(order)]
    alike = [pair for pair in pairs if pair.shared]
    return max(alike, key=lambda pair: pair.tokens, default=None)


def _answers(model: Any, pack: Pack, pad: int) -> torch.Tensor:
    """The logits of all answer tokens of a pack, (N, V)."""
    inputs = {name: value.to(model.device) for name, value in pack.tensors(pad).items()}
    return _logits(model, inputs)[inputs["labels"] != IGNORED]


def packed_trainer(costs: Costs, pad: int) -> type:
    """The Trainer of transformers, with steps over packs.

    The loss is the mean over the step's answer tokens, each with the weight of its row. Gradients
    of packs add up to those of the whole step. Dropout is drawn once for what rows share.
    """
    import torch
    from transformers import Trainer

    class PackedTrainer(Trainer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, data_collator=list)

        def training_step(self, _: Any, inputs: Any, *__: Any, **___: Any) -> torch.Tensor:
            model = self.model  # not spread over devices: a pack cannot be split
            model.train()
            packs = [self._prepare_inputs(pack.tensors(pad)) for pack in plan_packs(inputs, costs)]
            total = sum(float((p["weight"] * (p["labels"] != IGNORED)).sum()) for p in packs)
            step = torch.zeros((), device=self.args.device)
            for pack in packs:
                with self.compute_loss_context_manager():
                    losses, weight = answer_losses(model, pack)
                    loss = (losses * weight).sum() / max(total, 1e-6)
                self.accelerator.backward(loss)
                step += loss.detach()
            return step

    return PackedTrainer
