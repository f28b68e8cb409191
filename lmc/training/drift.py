"""How far an adapter has moved a model, and whether it prefers what labels prefer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lmc.models.adapters import Adapter
from lmc.models.engine.pretrained import context_of
from lmc.training.bases import Quantize, load_base
from lmc.training.encoding import Example, encode_rows
from lmc.training.rows import PairRow, Row
from lmc.training.shares import ALONE
from lmc.training.steps import costs_for, reference_logps


def drift(
    source: str,
    rows: Sequence[Row],
    start: Adapter | None,
    now: Adapter,
    quantize: Quantize | None = None,
) -> float:
    """The Kullback-Leibler divergence of answers that `now` sampled from `start`, in nats a token.

    `start` is an adapter, or None for the model itself. It is estimated by the mean difference of
    log-probabilities, and is at least 0. Estimators with less variance for near models (Schulman
    2020, "Approximating KL divergence", k3) have far more where an answer has become rare.
    """
    before, after = _before_and_after(source, rows, start, now, quantize)
    moved = [
        new - old
        for one, other in zip(before, after, strict=True)
        for known, found in zip(one.reference, other.reference, strict=True)
        for old, new in zip(known, found, strict=True)
    ]
    return max(0.0, sum(moved) / len(moved)) if moved else 0.0


def agreement(
    source: str,
    pairs: Sequence[PairRow],
    start: Adapter | None,
    now: Adapter,
    quantize: Quantize | None = None,
) -> float:
    """The share of pairs whose better answer gained more from `start` to `now` than the worse one.

    What an answer gained is the reward that the weights `now` imply (DPO, Rafailov et al. 2023,
    arXiv 2305.18290, section 5). So this is the consistency rate of CREAM, Wang et al. 2024, arXiv
    2410.12735, (tau + 1) / 2, of the rewards of the round before with new labels. Pairs that gained
    alike count as half.
    """
    before, after = _before_and_after(source, pairs, start, now, quantize)
    agreed = []
    for one, other in zip(before, after, strict=True):
        better, worse = (
            sum(new) - sum(old) for old, new in zip(one.reference, other.reference, strict=True)
        )
        agreed.append(0.5 if better == worse else float(better > worse))
    return sum(agreed) / len(agreed)


def _before_and_after(
    source: str,
    rows: Sequence[Row],
    start: Adapter | None,
    now: Adapter,
    quantize: Quantize | None,
) -> tuple[list[Example], list[Example]]:
    """The rows with their log-probabilities under two adapters of a model."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    model = load_base(source, quantize, ALONE)
    pad = tokenizer.pad_token_id or 0
    data = encode_rows(tokenizer, rows, context_of(model.config))
    costs = costs_for(model, [row for example in data for row in example.rows], pad)

    def logps(of: Any) -> list[Example]:
        return reference_logps(of, data, costs, pad)

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
    return before, after
