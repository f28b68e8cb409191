"""A step of the Trainer over packs: the loss of answers, and their gradients pack by pack."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from lmc.training.encoding import EncodedRow, Example
from lmc.training.losses import (
    ADDED_UP,
    SUPERVISED,
    LossSettings,
    StepBatch,
    divergences,
    joined_choices,
    step_loss,
)
from lmc.training.packing import IGNORED, Costs, Pack, plan_packs, shared_tokens
from lmc.training.shares import ALONE, Shares

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-4  # between the logits of packed and of separate rows, relative to the largest
GPU_TOKENS = 8192  # in a pack; a CPU is busy with fewer


def answer_logps(
    model: Any, inputs: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probability of each answer token of a pack (N,), and the weight of its row (N,).

    The tokens are in the order of the pack's rows.
    """
    return -_surprise(answer_logits(model, inputs), inputs), _weights(inputs)


def answer_logits(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The logits that predict the answer tokens of a pack, (N, V), in the order of its rows."""
    return _logits(model, inputs)[inputs["labels"] != IGNORED].float()


def _surprise(logits: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    import torch

    labels = inputs["labels"]
    said = labels[labels != IGNORED]
    return torch.nn.functional.cross_entropy(logits, said, reduction="none")


def _weights(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return inputs["weight"][inputs["labels"] != IGNORED]


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
    return answer_logits(model, on_device(model, pack.tensors(pad)))


def with_reference(
    model: Any, examples: Sequence[Example], costs: Costs, pad: int, loss: LossSettings
) -> Sequence[Example]:
    """The examples with their log-probabilities before the first step, if the loss needs them."""
    sampled = all(row.old for example in examples for row in example.rows)
    pulled = any(example.pull for example in examples)
    if not loss.needs_reference(sampled=sampled, pulled=pulled):
        return examples
    return reference_logps(model, examples, costs, pad)


def reference_logps(
    model: Any, examples: Sequence[Example], costs: Costs, pad: int
) -> list[Example]:
    """The examples with the log-probabilities that the model gives to their answers now."""
    import torch

    rows = [row for example in examples for row in example.rows]
    known: dict[int, tuple[float, ...]] = {}
    training = model.training
    model.eval()
    with torch.no_grad():
        for pack in plan_packs(rows, costs):
            logps, _ = answer_logps(model, on_device(model, pack.tensors(pad)))
            for row, own in zip(pack.rows, logps.split([len(r.answer) for r in pack.rows])):
                known[id(row)] = tuple(own.tolist())
    model.train(training)
    return [replace(e, reference=tuple(known[id(row)] for row in e.rows)) for e in examples]


def step_batch(
    examples: Sequence[Example], packs: Sequence[Pack], logps: torch.Tensor
) -> StepBatch:
    """The step as its loss sees it. `logps` (N,) are those of the packs' rows, in their order."""
    import torch

    def tensor(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=logps.dtype, device=logps.device)

    number = {id(row): n for n, row in enumerate(row for e in examples for row in e.rows)}
    owner = [(row, e) for e in examples for row in e.rows]
    computed = {id(row): ref for e in examples for row, ref in zip(e.rows, e.reference)}
    order = [row for pack in packs for row in pack.rows]
    # A loss that needs no reference is not shown any.
    reference = [computed.get(id(row)) or row.old or [0.0] * len(row.answer) for row in order]
    old = [row.old or known for row, known in zip(order, reference)]
    pairs = [[number[id(row)] for row in e.rows] for e in examples if len(e.rows) == 2]
    return StepBatch(
        logps=logps,
        reference=tensor([value for known in reference for value in known]),
        old=tensor([value for known in old for value in known]),
        row=torch.tensor(
            [number[id(row)] for row in order for _ in row.answer], device=logps.device
        ),
        tokens=tensor([len(row.answer) for row, _ in owner]).clamp(min=1),
        weight=tensor([row.weight for row, _ in owner]),
        score=tensor([e.score for _, e in owner]),
        baseline=tensor([e.baseline for _, e in owner]),
        pull=tensor([e.pull for _, e in owner]),
        pairs=torch.tensor(pairs, dtype=torch.long, device=logps.device).reshape(-1, 2),
        doubt=tensor([e.doubt for e in examples if len(e.rows) == 2]),
    )


def step_gradients(
    model: Any,
    examples: Sequence[Example],
    costs: Costs,
    pad: int,
    loss: LossSettings,
    *,
    computing: Callable[[], AbstractContextManager[Any]] = nullcontext,
    backward: Callable[[torch.Tensor], object] = lambda loss: loss.backward(),
    shares: Shares = ALONE,
) -> torch.Tensor:
    """Add the gradients of a step to a model's trained weights. Returns the loss.

    `sft` and `kl` are means over the step's answer tokens, each with the weight of its row. Other
    losses join rows. Where these do not fit in one pack, all are read twice: first the loss is
    found with its gradient by log-probability, and then that is carried on pack by pack.
    Gradients are those of the whole step. Dropout is drawn once for what rows share. `computing`
    surrounds passes. With `shares`, each of several processes reads its share of the packs. Where
    these split the model, one that is done early goes on reading a pack that counts nothing.
    """
    rows = [row for example in examples for row in example.rows]
    planned = [plan_packs(part, costs) if part else () for part in shares.parts(rows)]
    packs = [pack for part in planned for pack in part]
    own = {id(pack) for pack in planned[shares.rank]}
    tensors = [on_device(model, pack.tensors(pad)) if id(pack) in own else None for pack in packs]
    missing = max(map(len, planned)) - len(own) if shares.split else 0
    least = min(packs, key=lambda pack: pack.tokens)
    spare = [on_device(model, least.tensors(pad)) for _ in range(missing)]

    def logps_of(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with computing():
            return answer_logps(model, inputs)[0]

    if loss.name in ADDED_UP:
        losses_of = partial(_token_losses, loss, model, examples)
        total = sum(row.weight * len(row.answer) for row in rows)
        own_packs = [(pack, inputs) for pack, inputs in zip(packs, tensors) if inputs is not None]
        step = _added_up(own_packs, losses_of, computing, backward, total)
        for inputs in spare:
            backward(logps_of(inputs).sum() * 0)
        step = shares.add(step.to(model.device))
    else:
        device = model.device
        step = _joined(loss, examples, packs, tensors, spare, logps_of, backward, shares, device)
    shares.add_gradients(model.parameters())
    return step


def _token_losses(
    loss: LossSettings,
    model: Any,
    examples: Sequence[Example],
    pack: Pack,
    inputs: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """The loss of each answer token of a pack (N,), of a loss that adds them up."""
    logits = answer_logits(model, inputs)
    if loss.name == "sft":
        return _surprise(logits, inputs)
    known = {id(e.rows[0]): e.choices for e in examples}
    losses = divergences(logits, joined_choices([known[id(row)] for row in pack.rows]), loss.jsd)
    return losses + loss.sft * _surprise(logits, inputs) if loss.sft else losses


def _added_up(
    packs: Sequence[tuple[Pack, Mapping[str, torch.Tensor]]],
    losses_of: Callable[[Pack, Mapping[str, torch.Tensor]], torch.Tensor],
    computing: Callable[[], AbstractContextManager[Any]],
    backward: Callable[[torch.Tensor], object],
    total: float,
) -> torch.Tensor:
    import torch

    step = torch.zeros(())
    for pack, inputs in packs:
        with computing():
            losses = losses_of(pack, inputs)
        own = (losses * _weights(inputs)).sum() / max(total, 1e-6)
        backward(own)
        step = step.to(own.device) + own.detach()
    return step


def _joined(
    loss: LossSettings,
    examples: Sequence[Example],
    packs: Sequence[Pack],
    tensors: Sequence[Any],
    spare: Sequence[Any],
    logps_of: Callable[[Any], torch.Tensor],
    backward: Callable[[torch.Tensor], object],
    shares: Shares,
    device: Any,
) -> torch.Tensor:
    import torch

    if len(packs) == 1 and tensors[0] is not None and shares.count == 1:
        whole = step_loss(loss, step_batch(examples, packs, logps_of(tensors[0])))
        backward(whole)
        return whole.detach()
    drawn = []  # the states that dropout is drawn from, once for both readings
    found = []
    with torch.no_grad():
        for pack, inputs in zip(packs, tensors, strict=True):
            drawn.append(torch.get_rng_state())
            tokens = sum(len(row.answer) for row in pack.rows)
            others = torch.zeros(tokens, device=device)
            found.append(others if inputs is None else logps_of(inputs))
        for inputs in spare:
            logps_of(inputs)
    leaves = shares.add(torch.cat(found)).requires_grad_()
    whole = step_loss(loss, step_batch(examples, packs, leaves))
    (gradient,) = torch.autograd.grad(whole, leaves)
    parts = gradient.split([len(own) for own in found])
    for inputs, state, part in zip(tensors, drawn, parts, strict=True):
        if inputs is not None:
            torch.set_rng_state(state)
            backward((logps_of(inputs) * part).sum())
    for inputs in spare:
        backward(logps_of(inputs).sum() * 0)
    return whole.detach()


def packed_trainer(
    costs: Costs, pad: int, loss: LossSettings = SUPERVISED, shares: Shares = ALONE
) -> type:
    """The Trainer of transformers, with steps over packs (see `step_gradients`)."""
    from transformers import Trainer

    class PackedTrainer(Trainer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, data_collator=list)

        def training_step(self, _: Any, inputs: Any, *__: Any, **___: Any) -> torch.Tensor:
            self.model.train()  # not spread over devices: a pack cannot be split
            return step_gradients(
                self.model,
                inputs,
                costs,
                pad,
                loss,
                computing=self.compute_loss_context_manager,
                backward=self.accelerator.backward,
                shares=shares,
            )

        def save_model(self, output_dir: str | None = None, *_: Any, **__: Any) -> None:
            # Without its `state_dict`, peft gathers the whole of a model that is split.
            learnt = {n: each for n, each in self.model.named_parameters() if each.requires_grad}
            self.model.save_pretrained(output_dir or self.args.output_dir, state_dict=learnt)

    return PackedTrainer


def on_device(model: Any, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inputs where the model is."""
    return {name: value.to(model.device) for name, value in inputs.items()}
