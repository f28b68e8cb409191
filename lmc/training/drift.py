"""How far an adapter has moved a model: the divergence of its answers from another adapter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lmc.models.adapters import Adapter
from lmc.models.engine.pretrained import context_of, pretrained
from lmc.training.encoding import encode_rows
from lmc.training.rows import Row
from lmc.training.steps import costs_for, reference_logps


def drift(source: str, rows: Sequence[Row], start: Adapter | None, now: Adapter) -> float:
    """The Kullback-Leibler divergence of answers that `now` sampled from `start`, in nats a token.

    `start` is an adapter, or None for the model itself. It is estimated by the mean difference of
    log-probabilities, and is at least 0. Estimators with less variance for near models (Schulman
    2020, "Approximating KL divergence", k3) have far more where an answer has become rare.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    model = pretrained(AutoModelForCausalLM, source, dtype=torch.float32)
    if torch.cuda.is_available():
        model.to("cuda")
    context = context_of(model.config)
    pad = tokenizer.pad_token_id or 0
    data = encode_rows(tokenizer, rows, context)
    costs = costs_for(model, [row for example in data for row in example.rows], pad)

    def logps(of: Any) -> torch.Tensor:
        found = reference_logps(of, data, costs, pad)
        return torch.tensor([value for e in found for row in e.reference for value in row])

    before = logps(model) if start is None else None
    with warnings.catch_warnings():  # peft uses deprecated parts of transformers
        warnings.simplefilter("ignore", FutureWarning)
        both = PeftModel.from_pretrained(model, str(now.folder), adapter_name="now")
        if start is not None:
            both.load_adapter(str(start.folder), adapter_name="start")
    after = logps(both)
    if before is None:
        both.set_adapter("start")
        before = logps(both)
    return max(0.0, float((after - before).mean())) if len(after) else 0.0
