"""The losses are those of TRL, computed by its own trainers on the same tokens and weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("datasets")
pytest.importorskip("trl")

import torch

from lmc.training.encoding import EncodedRow, Example
from lmc.training.losses import LossSettings, step_loss
from lmc.training.packing import Costs, plan_packs
from lmc.training.steps import answer_logps, reference_logps, step_batch
from tests.test_models.tiny_llama import save_tiny_llama

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = [("red?", "warm", "very cold"), ("blue sky?", "cold", "w"), ("pink?", "hot", "warm!")]
SCORES = (1.5, -0.5, 0.25, -1.25)
SEEN = Costs(1e-4, start=1.0)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Any, Any, Any]:
    """A model, the same before a change of its weights, and the tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = save_tiny_llama(tmp_path / "base")
    reference, model = (
        AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval() for _ in range(2)
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.01)
    return model, reference, AutoTokenizer.from_pretrained(place)


def dataset(rows: list[dict[str, str]]) -> Any:
    import pyarrow
    from datasets import Dataset

    return Dataset(pyarrow.Table.from_pylist(rows), fingerprint="rows")  # a name; none is computed


def our_loss(
    model: Any, reference: Any, examples: Sequence[Example], settings: LossSettings
) -> float:
    examples = reference_logps(reference, examples, SEEN, 0)
    packs = plan_packs([row for example in examples for row in example.rows], SEEN)
    with torch.no_grad():
        logps = torch.cat([answer_logps(model, pack.tensors(0))[0] for pack in packs])
        return float(step_loss(settings, step_batch(examples, packs, logps)))


@pytest.mark.parametrize(("name", "theirs"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_losses_of_pairs(models: Any, tmp_path: Path, name: Any, theirs: str) -> None:
    from trl import DPOConfig, DPOTrainer

    model, reference, tokenizer = models
    data = dataset([dict(zip(("prompt", "chosen", "rejected"), row)) for row in ROWS])
    options = DPOConfig(
        output_dir=str(tmp_path), loss_type=[theirs], beta=0.1, use_cpu=True, report_to=[],
        per_device_train_batch_size=len(ROWS), bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = DPOTrainer(
            model, reference, args=options, train_dataset=data, processing_class=tokenizer
        )
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.model.eval()
        with torch.no_grad():
            expected = float(trainer.compute_loss(trainer.model, batch))
    rows = [
        EncodedRow(tuple(ids[seen.bool()].tolist()), int(answer[seen.bool()].int().argmax()))
        for ids, seen, answer in zip(
            batch["input_ids"], batch["attention_mask"], batch["completion_mask"]
        )
    ]
    pairs = [Example(pair) for pair in zip(rows[: len(ROWS)], rows[len(ROWS) :])]
    assert our_loss(model, reference, pairs, LossSettings(name, beta=0.1)) == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize(
    ("theirs", "average"), [("grpo", "sequence"), ("dapo", "tokens"), ("dr_grpo", "constant")]
)
def test_policy_gradients(models: Any, tmp_path: Path, theirs: str, average: Any) -> None:
    from trl import GRPOConfig, GRPOTrainer

    model, reference, tokenizer = models
    options = GRPOConfig(
        output_dir=str(tmp_path), loss_type=theirs, beta=0.05, epsilon=0.2, epsilon_high=0.28,
        num_generations=4, per_device_train_batch_size=4, max_completion_length=256,
        use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False,
        use_bias_correction_kl=False,  # as in the paper; TRL's default is DeepSeek-V3.2's
    )  # fmt: skip
    prompt = tokenizer("Which?")["input_ids"]
    answers = [tokenizer(text)["input_ids"] for text in ("warm", "cold!!", "hot", "very cold")]
    scored = [
        Example((EncodedRow((*prompt, *answer), len(prompt)),), score)
        for answer, score in zip(answers, SCORES)
    ]
    before = [row.reference[0] for row in reference_logps(reference, scored, SEEN, 0)]
    longest = max(map(len, answers))

    def padded(values: Sequence[Sequence[float]], kind: Any) -> torch.Tensor:
        return torch.tensor([[*own, *[0] * (longest - len(own))] for own in values], dtype=kind)

    inputs = {
        "prompt_ids": torch.tensor([prompt] * 4),
        "prompt_mask": torch.ones(4, len(prompt), dtype=torch.long),
        "completion_ids": padded(answers, torch.long),
        "completion_mask": padded([[1] * len(answer) for answer in answers], torch.long),
        "advantages": torch.tensor(SCORES),
        "old_per_token_logps": padded(before, torch.float32),
        "ref_per_token_logps": padded(before, torch.float32),
        "num_items_in_batch": torch.tensor(sum(map(len, answers))),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = GRPOTrainer(
            model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=options,
            train_dataset=dataset([{"prompt": "Which?"}] * 4),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.model.eval()
        with torch.no_grad():
            expected = float(trainer._compute_loss(trainer.model, inputs))
    settings = LossSettings("pg", clip=0.2, clip_high=0.28, kl=0.05, average=average, constant=256)
    assert our_loss(model, reference, scored, settings) == pytest.approx(expected, abs=1e-4)
    assert abs(expected) > 1e-3 or average == "constant"
