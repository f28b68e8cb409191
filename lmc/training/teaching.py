"""What a teacher would choose for each token of the answers, for the loss `kl`.

The teacher reads the answers once, before the first step. Of each token, the likeliest choices are
kept, and the sum of all others counts as one choice more. So memory is bounded, and what is
minimised is at most the divergence over the whole vocabulary.
Source: GKD, Agarwal et al. 2024, arXiv 2306.13649, algorithm 1.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.models.adapters import Adapter
from lmc.models.engine.pretrained import context_of, pretrained
from lmc.training.encoding import Example
from lmc.training.losses import Choices
from lmc.training.packing import plan_packs
from lmc.training.steps import answer_logits, costs_for, on_device

KEPT = 32  # choices of each token, besides the one for all others


@frozen
class Teacher:
    """A model whose probabilities are learnt: its folder or hub name, weights and adapter."""

    source: str
    base: str
    adapter: Adapter | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """What tells teachers apart, whatever folder they are in."""
        return self.base, self.adapter.id if self.adapter else None


def with_choices(
    teacher: Teacher, model: Any, base: str, examples: Sequence[Example], pad: int
) -> list[Example]:
    """The examples with what a teacher would choose, where it has the room to read them.

    `model` is the one with the weights `base`, before anything is trained. It is read in place of
    another copy, and stays as it is. Raises: LmcError[cannot-train] if no example fits.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if teacher.base == base:
        return _through_adapter(teacher.adapter, model, examples, pad, model)
    dtype = torch.float32 if model.device.type == "cpu" else torch.bfloat16
    other = pretrained(AutoModelForCausalLM, teacher.source, dtype=dtype).to(model.device)
    return _through_adapter(teacher.adapter, other, examples, pad, model)


def _through_adapter(
    adapter: Adapter | None, model: Any, examples: Sequence[Example], pad: int, student: Any
) -> list[Example]:
    from peft import PeftModel

    words = _output_size(student)
    if adapter is None:
        return chosen_by(model, examples, pad, words)
    with warnings.catch_warnings():  # peft uses deprecated parts of transformers
        warnings.simplefilter("ignore", FutureWarning)
        reader = PeftModel.from_pretrained(model, str(adapter.folder))
    try:
        return chosen_by(reader, examples, pad, words)
    finally:
        reader.unload()


def chosen_by(
    model: Any, examples: Sequence[Example], pad: int, words: int | None = None
) -> list[Example]:
    """The examples with the likeliest choices of a model, among the first `words` of its own."""
    import torch

    context = context_of(model.config)
    fitting = [e for e in examples if e.taught is not None and len(e.taught.ids) <= context]
    if not fitting:
        message = f"all {len(examples)} training rows are longer than the teacher's context"
        raise LmcError.of("cannot-train", message, help=f"it has {context} tokens")
    rows = [e.taught for e in fitting if e.taught is not None]
    costs = costs_for(model, rows, pad)
    known: dict[int, Choices] = {}
    training = model.training
    model.eval()
    with torch.no_grad():
        for pack in plan_packs(rows, costs):
            logits = answer_logits(model, on_device(model, pack.tensors(pad)))
            known_to_both = logits.log_softmax(-1)[:, :words]
            best = known_to_both.topk(min(KEPT, known_to_both.shape[1]))
            lengths = [len(row.answer) for row in pack.rows]
            parts = zip(best.indices.int().cpu().split(lengths), best.values.cpu().split(lengths))
            for row, (ids, logps) in zip(pack.rows, parts, strict=True):
                known[id(row)] = Choices(ids.clone(), logps.clone())
    model.train(training)
    return [replace(e, choices=known[id(e.taught)]) for e in fitting]


def _output_size(model: Any) -> int:
    """How many tokens a model chooses among. Models of one tokenizer may differ in the padding."""
    return int(model.get_output_embeddings().weight.shape[0])
