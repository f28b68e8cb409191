"""Losses have the values of their papers and of TRL, and a step over packs has their gradients."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from torch.nn.functional import logsigmoid

from lmc.models.adapters import AdapterStore
from lmc.training.drift import agreement
from lmc.training.encoding import EncodedRow, Example, encode_rows
from lmc.training.lora import LoraSettings, TrainingJob, train_adapter
from lmc.training.losses import LossSettings, StepBatch, step_loss
from lmc.training.packing import Costs, plan_packs
from lmc.training.rows import PairRow, ScoredRow, TrainingRow, chat_line
from lmc.training.steps import packed_trainer, reference_logps
from tests.test_models.tiny_llama import TEMPLATE, byte_tokenizer, save_tiny_llama

LENGTHS = (2, 3, 1, 4)
NAMES = ("dpo", "ipo", "simpo", "kto", "sppo", "nft", "pg")


def batch(seed: int = 0, *, paired: bool = False, **changed: Any) -> StepBatch:
    made = torch.Generator().manual_seed(seed)

    def drawn() -> torch.Tensor:
        return -torch.rand(sum(LENGTHS), generator=made, dtype=torch.float64)

    values: dict[str, Any] = {
        "logps": drawn(),
        "reference": drawn(),
        "row": torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS)),
        "tokens": torch.tensor(LENGTHS, dtype=torch.float64),
        "weight": torch.tensor([1.0, 1.0, 2.0, 0.5], dtype=torch.float64),
        "score": torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64),
        "baseline": torch.tensor([0.5, 0.5, 0.25, 0.25], dtype=torch.float64),
        "pull": torch.zeros(4, dtype=torch.float64),
        "pairs": torch.tensor([[0, 1], [2, 3]] if paired else [], dtype=torch.long).reshape(-1, 2),
        "doubt": torch.zeros(2 if paired else 0, dtype=torch.float64),
    }
    given = values | changed
    return StepBatch(**({"old": given["reference"]} | given))


def rows_of(values: torch.Tensor) -> list[torch.Tensor]:
    return list(values.split(LENGTHS))


def test_pairs_have_the_values_of_their_papers() -> None:
    step = batch(paired=True)
    gains = [(a - b).sum() for a, b in zip(rows_of(step.logps), rows_of(step.reference))]
    margins = torch.stack([gains[0] - gains[1], gains[2] - gains[3]])
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64) / 3
    dpo = -(weight * logsigmoid(0.1 * margins)).sum()
    assert float(step_loss(LossSettings("dpo", beta=0.1), step)) == pytest.approx(float(dpo))
    means = [gain / n for gain, n in zip(gains, LENGTHS)]
    apart = torch.stack([means[0] - means[1], means[2] - means[3]])
    ipo = (weight * (apart - 5.0) ** 2).sum()
    assert float(step_loss(LossSettings("ipo", beta=0.1), step)) == pytest.approx(float(ipo))
    likely = [a.mean() for a in rows_of(step.logps)]
    apart = torch.stack([likely[0] - likely[1], likely[2] - likely[3]])
    simpo = -(weight * logsigmoid(2.0 * apart - 0.7)).sum()
    settings = LossSettings("simpo", beta=2.0, margin=0.7)
    assert float(step_loss(settings, step)) == pytest.approx(float(simpo))


@pytest.mark.parametrize("name", ["dpo", "ipo", "simpo"])
def test_softened_labels_are_those_of_a_mixture_of_both_pairs(name: Any) -> None:
    doubt = torch.tensor([0.0, 0.25], dtype=torch.float64)
    step, settings = batch(paired=True), LossSettings(name, beta=0.4)
    ones = torch.ones(4, dtype=torch.float64)

    def of(pair: tuple[int, int]) -> float:
        alone = replace(step, pairs=torch.tensor([pair]), doubt=torch.zeros(1).double())
        return float(step_loss(settings, alone))

    wrong = [0.1, 0.1 * 0.75 + 0.9 * 0.25]  # of two labels that may be wrong, if one is
    expected = [(1 - e) * of(p) + e * of(p[::-1]) for p, e in zip([(0, 1), (2, 3)], wrong)]
    found = step_loss(replace(settings, smoothing=0.1), replace(step, weight=ones, doubt=doubt))
    assert float(found) == pytest.approx(sum(expected) / 2)


def test_smoothed_labels_have_their_best_margin_where_the_chances_are_those_of_the_labels() -> None:
    """With one label of five wrong, the best margin has the odds of four to one, and not more."""
    step, settings = batch(paired=True), LossSettings("dpo", beta=1.0, smoothing=0.2)
    apart = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)  # nats above the reference

    def slope(margin: float) -> float:
        size = torch.tensor(margin, dtype=torch.float64, requires_grad=True)
        moved = step.reference + (size * apart / step.tokens)[step.row]
        (found,) = torch.autograd.grad(step_loss(settings, replace(step, logps=moved)), size)
        return float(found)

    assert slope(math.log(4)) == pytest.approx(0, abs=1e-12)
    assert slope(1.0) < 0 < slope(2.0)


def test_optimism_asks_for_what_the_reference_found_unlikely() -> None:
    step = batch(paired=True)
    gains = [(a - b).sum() for a, b in zip(rows_of(step.logps), rows_of(step.reference))]
    bonus = [(gains[0] + gains[1]) / 2, (gains[2] + gains[3]) / 2]
    plain = LossSettings("dpo", beta=0.2)
    more = step_loss(replace(plain, optimism=0.01), step) - step_loss(plain, step)
    assert float(more) == pytest.approx(0.01 * 0.2 * float((bonus[0] + 2 * bonus[1]) / 3))


def test_an_added_likelihood_is_that_of_the_better_answers() -> None:
    step = batch(paired=True)
    plain = step_loss(LossSettings("dpo"), step)
    more = step_loss(LossSettings("dpo", sft=0.5), step)
    own = [-a.mean() for a in rows_of(step.logps)]
    assert float(more - plain) == pytest.approx(0.5 * float((own[0] + 2 * own[2]) / 3))


def test_policy_gradients_are_clipped_and_averaged_as_asked() -> None:
    step = batch(reference=torch.full((10,), -3.0, dtype=torch.float64))  # ratios far above 1
    ratio = (step.logps - step.reference).exp()
    advantage = (step.score - step.baseline)[step.row]
    losses = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage)
    of_rows = torch.stack([own.mean() for own in rows_of(losses)])
    weight = step.weight / step.weight.sum()
    grpo = LossSettings("pg", clip=0.2, clip_high=0.28)
    assert float(step_loss(grpo, step)) == pytest.approx(float((of_rows * weight).sum()))
    each = step.weight[step.row]
    dapo = float((losses * each).sum() / each.sum())
    assert float(step_loss(replace(grpo, average="tokens"), step)) == pytest.approx(dapo)
    dr = float((losses * each).sum() / (4 * 256))
    assert float(step_loss(replace(grpo, average="constant"), step)) == pytest.approx(dr)


def test_divergence_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    step = batch(score=torch.zeros(4, dtype=torch.float64), baseline=torch.zeros(4).double())
    settings = LossSettings("pg", kl=1.0)
    assert float(step_loss(settings, step)) > 0
    assert float(step_loss(settings, replace(step, logps=step.reference))) == 0


def test_wrong_answers_are_unlearnt_through_what_right_ones_imply() -> None:
    step = batch()
    sure = replace(step, baseline=torch.ones(4, dtype=torch.float64))  # all samples were right
    assert float(step_loss(LossSettings("nft"), sure)) == 0
    step = replace(step, logps=step.reference.clone().requires_grad_())
    (gradient,) = torch.autograd.grad(step_loss(LossSettings("nft"), step), step.logps)
    rows = rows_of(gradient)
    assert all((rows[i] < 0).all() for i in (0, 2))  # a step down the gradient makes them likelier
    assert all((rows[i] > 0).all() for i in (1, 3))


def test_a_rate_of_wins_moves_the_answer_as_far_as_it_should() -> None:
    step = batch()
    target = (step.score - 0.5) / 0.5
    step = replace(step, logps=step.reference + (target / step.tokens)[step.row])
    assert float(step_loss(LossSettings("sppo", beta=0.5), step)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", ["kto", "sppo", "nft", "pg"])
def test_better_answers_become_likelier(name: Any) -> None:
    step = batch()
    step = replace(step, logps=step.reference.clone().requires_grad_())
    (gradient,) = torch.autograd.grad(step_loss(LossSettings(name), step), step.logps)
    assert [bool(own.mean() < 0) for own in rows_of(gradient)] == [True, False, True, False]


def examples(paired: bool) -> list[Example]:
    """Rows with a common beginning, so that packs of several sizes are possible."""
    made = torch.Generator().manual_seed(1)

    def row(i: int) -> EncodedRow:
        size = int(torch.randint(3, 9, (1,), generator=made))
        own = torch.randint(0, 90, (size,), generator=made).tolist()
        return EncodedRow((*range(20), *own), 21, weight=1.0 + i % 2)

    if paired:
        return [Example((row(i), row(i))) for i in range(5)]
    return [Example((row(i),), score=float(i % 2), baseline=0.5) for i in range(6)]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_packs_are_those_of_one_pass(tmp_path: Path, name: Any) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, TrainingArguments

    base = AutoModelForCausalLM.from_pretrained(save_tiny_llama(tmp_path), dtype=torch.float32)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers what is deprecated there
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    loss, wide = LossSettings(name, sft=0.1, kl=0.1), Costs(1e-4, start=1.0)
    given = reference_logps(model, examples(name in NAMES[:3]), wide, 0)
    with torch.no_grad():  # a step away from the reference
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.1)

    def gradients(most: int) -> tuple[float, list[torch.Tensor]]:
        costs = replace(wide, most_packed=most, most_padded=most)
        arguments = TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = packed_trainer(costs, 0, loss)
            trainer = made(model=model, args=arguments, train_dataset=given)
        model.zero_grad()
        value = trainer.training_step(model, given)
        found = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        return float(value), found

    rows = [row for example in given for row in example.rows]
    assert len(plan_packs(rows, replace(wide, most_packed=36, most_padded=36))) > 1
    (one, expected), (several, found) = gradients(10_000), gradients(36)
    assert several == pytest.approx(one, rel=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in expected)
    assert largest > 0
    assert all(
        float((a - b).abs().max()) <= 1e-4 * largest for a, b in zip(found, expected, strict=True)
    )


ASKED = tuple({"role": "user", "content": word} for word in ("red", "green", "blue", "pink"))


@pytest.mark.parametrize("name", NAMES)
def test_training_prefers_the_better_answer(tmp_path: Path, name: Any) -> None:
    """From equal chances, a few steps make the better answer likelier than the worse."""
    base = save_tiny_llama(tmp_path / "base")
    pairs = [PairRow((turn,), "warm", "cold") for turn in ASKED]
    scored = [
        ScoredRow((turn,), answer, float(answer == "warm"), 0.5)
        for turn in ASKED
        for answer in ("warm", "cold")
    ]
    rows: tuple[Any, ...] = tuple(pairs if name in NAMES[:3] else scored)
    settings = LoraSettings(rank=4, epochs=20, batch_rows=4, rate=5e-3)
    job = TrainingJob(str(base), "base", rows, settings, loss=LossSettings(name, beta=0.5))
    told: list[float] = []
    store = AdapterStore(tmp_path / "store")
    adapter = train_adapter(job, tmp_path / "jobs", store, lambda now: told.append(now.loss))
    assert margin(base, adapter.folder) > margin(base, None) + 0.5
    other = replace(job, loss=LossSettings("sft"), rows=(TrainingRow((ASKED[0],), "warm"),))
    assert other.key != job.key
    assert all(map(math.isfinite, told))


def margin(base: Path, adapter: Path | None) -> float:
    """How much likelier "warm" is than "cold" after a word, in nats on the mean."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(model, str(adapter))
    pairs = encode_rows(tokenizer, [PairRow((turn,), "warm", "cold") for turn in ASKED], 512)
    found = reference_logps(model, pairs, Costs(share=False), 0)
    return sum(sum(e.reference[0]) - sum(e.reference[1]) for e in found) / len(found)


def test_weights_agree_with_the_labels_that_they_were_trained_on(tmp_path: Path) -> None:
    base = save_tiny_llama(tmp_path / "base")
    pairs = [PairRow((turn,), "warm", "cold") for turn in ASKED]
    against = [PairRow((turn,), "cold", "warm") for turn in ASKED]
    settings = LoraSettings(rank=4, epochs=20, batch_rows=4, rate=5e-3)
    job = TrainingJob(str(base), "base", tuple(pairs), settings, loss=LossSettings("dpo"))
    adapter = train_adapter(job, tmp_path / "jobs", AdapterStore(tmp_path / "store"))
    source = str(base)
    assert agreement(source, pairs, None, adapter) == 1
    assert agreement(source, against, None, adapter) == 0
    assert agreement(source, [*pairs, *against[:1]], None, adapter) == 0.8
    assert agreement(source, pairs, adapter, adapter) == 0.5  # nothing was gained


def test_sampled_answers_are_learnt_as_they_were_sampled() -> None:
    """The template writes a space before an answer, which a sample has and a label has not."""
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("|>{{", "|> {{")
    sampled = PairRow((ASKED[0],), " warm", " cold")
    labelled = PairRow((ASKED[0],), "warm", " cold", gold=True)
    scored = ScoredRow((ASKED[0],), " cold", 1.0)
    (one, other, third) = encode_rows(tokenizer, [sampled, labelled, scored], 512)
    assert [tokenizer.decode(row.answer) for row in one.rows] == [" warm<|end|>", " cold<|end|>"]
    assert one.rows == other.rows
    assert third.rows == one.rows[1:]


def test_rows_export_in_the_formats_of_trl() -> None:
    (turn, *_), said = ASKED, {"role": "assistant", "content": "warm"}
    assert chat_line(TrainingRow((turn,), "warm")) == {"messages": [turn, said]}
    assert chat_line(PairRow((turn,), "warm", "cold")) == {
        "prompt": [turn],
        "chosen": [said],
        "rejected": [{"role": "assistant", "content": "cold"}],
    }
    scored = chat_line(ScoredRow((turn,), " warm", 1.0, 0.5))
    assert scored == {"prompt": [turn], "completion": [said], "label": True}
