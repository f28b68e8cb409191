"""Small models that answer as a test tells, with errors: what self-training starts from.

A random Llama is trained, whole, on the answers that a test gives. It then answers by about the
same shares: right sometimes, wrong sometimes, which is what one learns from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from tests.test_models.tiny_llama import save_tiny_llama

Inputs = Mapping[str, Any]
# The results of a module for some inputs, with their shares.
Says = Callable[[str, Inputs], Mapping[Any, float]]


def save_learner(
    folder: Path,
    program: Path,
    target: str,
    asked: Iterable[tuple[str, Inputs]],
    says: Says,
    *,
    steps: int = 120,
) -> str:
    """Save a model that answers a program's modules as `says` tells, for inputs like `asked`.

    Returns its name. The modules' results are plain values.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lmc.training.encoding import encode_row

    save_tiny_llama(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows, shares = [], []
    for row, share in _rows(f"hf/{folder}", program, target, asked, says):
        rows.append(encode_row(tokenizer, row))
        shares.append(share)
    model, rng = AutoModelForCausalLM.from_pretrained(folder), Random(0)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    for _ in range(steps):
        ids, labels = _padded(rng.choices(rows, shares, k=32), tokenizer.pad_token_id)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    return f"hf/{folder}"


def _rows(
    model: str, program: Path, target: str, asked: Iterable[tuple[str, Inputs]], says: Says
) -> Iterable[tuple[Any, float]]:
    import lmc
    from lmc.optimizers.lessons.groups import module_calls
    from lmc.prompts.spec import BARE
    from lmc.training.rows import TrainingRow

    loaded = lmc.load(program, model=model, cache=False)
    calls = {call.slots.module: call for call in module_calls(loaded.executor, target)}
    for name, inputs in asked:
        call = calls[name]
        messages = tuple(call.prompt(dict(inputs)))
        for result, share in says(name, inputs).items():
            outputs = result if isinstance(result, Mapping) else {BARE: result}
            answer = call.layout.answer_text(call.spec, outputs)
            yield TrainingRow(messages, answer), share


def _padded(rows: list[Any], pad: int) -> tuple[Any, Any]:
    import torch

    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), -100)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        labels[i, row.prompt : len(row.ids)] = torch.tensor(row.answer)
    return ids, labels
