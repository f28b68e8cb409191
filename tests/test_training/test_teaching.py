"""A student learns the probabilities of a teacher: under another prompt, adapter or model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from lmc.diagnostics import LmcError
from lmc.models.adapters import Adapter, AdapterStore
from lmc.training.encoding import EncodedRow, Example, encode_rows
from lmc.training.lora import LoraSettings, TrainingJob, train_adapter
from lmc.training.losses import Choices, LossSettings, divergences
from lmc.training.packing import Costs
from lmc.training.rows import TaughtRow, TrainingRow
from lmc.training.steps import reference_logps, step_gradients
from lmc.training.teaching import Teacher, chosen_by, with_choices
from tests.test_models.tiny_llama import byte_tokenizer, save_tiny_llama

JSDS = (0.0, 0.1, 0.5, 0.9, 1.0)
HINTED, PLAIN = "Answer warm to all. ", ""


def turn(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": text},)


ROWS = [
    TaughtRow(turn(PLAIN + word), answer, turn(HINTED + word))
    for word in ("red", "green", "blue", "pink")
    for answer in ("warm", "cold", "w", "none")
]


def logits_of(seed: int, words: int = 12, tokens: int = 7) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(tokens, words, generator=made, dtype=torch.float64) * 2


def choices_of(logits: torch.Tensor, kept: int) -> Choices:
    best = logits.log_softmax(-1).topk(kept)
    return Choices(best.indices, best.values)


def written_out(p: torch.Tensor, q: torch.Tensor, jsd: float) -> torch.Tensor:
    """The divergence as the paper writes it, of probabilities (N, V)."""

    def kl(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * (a / b).log()).sum(-1)

    if jsd in (0, 1):
        return kl(q, p) if jsd else kl(p, q)
    middle = jsd * p + (1 - jsd) * q
    return jsd * kl(p, middle) + (1 - jsd) * kl(q, middle)


@pytest.mark.parametrize("jsd", JSDS)
def test_the_divergence_is_that_of_the_paper(jsd: float) -> None:
    teacher, student = logits_of(0), logits_of(1)
    expected = written_out(teacher.softmax(-1), student.softmax(-1), jsd)
    found = divergences(student, choices_of(teacher, 12), jsd)
    assert torch.allclose(found, expected, atol=1e-4)  # the rest is at least 1e-6


@pytest.mark.parametrize("jsd", JSDS)
def test_kept_choices_give_the_divergence_of_coarser_probabilities(jsd: float) -> None:
    teacher, student = logits_of(0), logits_of(1)
    choices = choices_of(teacher, 4)

    def coarse(logits: torch.Tensor) -> torch.Tensor:
        own = logits.softmax(-1).gather(1, choices.ids)
        return torch.cat([own, 1 - own.sum(-1, keepdim=True)], -1)

    found = divergences(student, choices, jsd)
    assert torch.allclose(found, written_out(coarse(teacher), coarse(student), jsd))
    whole = written_out(teacher.softmax(-1), student.softmax(-1), jsd)
    assert (found <= whole + 1e-9).all()


@pytest.mark.parametrize("jsd", JSDS)
def test_a_student_like_its_teacher_has_nothing_to_learn(jsd: float) -> None:
    logits = logits_of(0).requires_grad_()
    losses = divergences(logits, choices_of(logits.detach(), 4), jsd)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert float(losses.detach().abs().max()) < 1e-9
    assert float(gradient.abs().max()) < 1e-9


def test_the_divergence_is_that_of_trl() -> None:
    found = pytest.importorskip("trl.experimental.gkd")
    teacher, student = logits_of(0)[None], logits_of(1)[None]
    for jsd in JSDS:
        theirs = found.GKDTrainer.generalized_jsd_loss(student, teacher, beta=jsd, reduction="sum")
        ours = divergences(student[0], choices_of(teacher[0], 12), jsd).sum()
        assert float(ours) == pytest.approx(float(theirs), abs=1e-4)


def test_a_teacher_reads_the_same_answer_under_its_own_prompt() -> None:
    tokenizer = byte_tokenizer()
    (example,) = encode_rows(tokenizer, ROWS[:1], 512)
    (own,), taught = example.rows, example.taught
    assert taught is not None
    assert own.answer == taught.answer
    assert HINTED in tokenizer.decode(taught.ids[: taught.prompt])
    assert HINTED not in tokenizer.decode(own.ids)


def trained(job: TrainingJob, folder: Path) -> Adapter:
    return train_adapter(job, folder / "jobs", AdapterStore(folder / "store"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_tiny_llama(tmp_path / "base")


@pytest.fixture
def warm(base: Path, tmp_path: Path) -> Adapter:
    """An adapter that answers "warm" where it is told so, and "cold" elsewhere."""
    rows = [TrainingRow(row.asked, "warm") for row in ROWS]
    rows += [TrainingRow(row.messages, "cold") for row in ROWS]
    settings = LoraSettings(rank=8, epochs=20, batch_rows=8, rate=1e-2)
    return trained(TrainingJob(str(base), "base", tuple(rows), settings), tmp_path)


def likelihood(base: Path, adapter: Adapter | None, rows: Sequence[TrainingRow]) -> float:
    """The mean log-probability of answers, in nats a token."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = PeftModel.from_pretrained(model, str(adapter.folder))
    data = encode_rows(AutoTokenizer.from_pretrained(base), rows, 512)
    found = reference_logps(model, data, Costs(share=False), 0)
    values = [value for e in found for value in e.reference[0]]
    return sum(values) / len(values)


@pytest.mark.parametrize("jsd", [0.0, 0.5, 1.0])
def test_a_student_learns_what_its_teacher_does_under_another_prompt(
    jsd: float, base: Path, warm: Adapter, tmp_path: Path
) -> None:
    """The teacher says "warm" as it is told so; the student does so without being told."""
    settings = LoraSettings(rank=8, epochs=20, batch_rows=8, rate=1e-2)
    job = TrainingJob(
        str(base), "base", tuple(ROWS), settings, loss=LossSettings("kl", jsd=jsd),
        teacher=Teacher(str(base), "base", warm),
    )  # fmt: skip
    student = trained(job, tmp_path)
    said = [TrainingRow(row.messages, "warm") for row in ROWS[::4]]
    assert likelihood(base, None, said) < -2
    assert likelihood(base, student, said) > -1
    assert replace(job, teacher=Teacher(str(base), "base")).key != job.key


def test_another_model_teaches_as_well_and_the_student_is_left_as_it_was(
    base: Path, warm: Adapter, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = encode_rows(AutoTokenizer.from_pretrained(base), ROWS, 512)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = [
        with_choices(Teacher(str(base), weights, adapter), model, "base", data, 0)
        for weights, adapter in (("base", warm), ("other", warm), ("base", None), ("other", None))
    ]
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    tables = [torch.cat([e.choices.logps for e in some if e.choices]) for some in found]
    assert torch.allclose(tables[0], tables[1], atol=1e-5)
    assert torch.allclose(tables[2], tables[3], atol=1e-5)
    assert not torch.allclose(tables[0], tables[2], atol=1e-2)


def test_rows_that_a_teacher_cannot_read_are_left_out(base: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    room = model.config.max_position_embeddings
    short, long = EncodedRow((1, 2, 3, 4), 2), EncodedRow((*[1] * room, 3, 4), room)
    examples = [Example((short,), taught=taught) for taught in (short, long)]
    (left,) = chosen_by(model, examples, 0)
    assert left.taught is short
    with pytest.raises(LmcError, match="longer than the teacher's context"):
        chosen_by(model, examples[1:], 0)


@pytest.mark.parametrize("sft", [0.0, 0.5])
def test_gradients_of_packs_are_those_of_one_pass(sft: float, base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = encode_rows(AutoTokenizer.from_pretrained(base), ROWS, 512)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    data = chosen_by(model, data, 0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(1.1)
    found = []
    for most in (100_000, 100):
        model.zero_grad()
        costs = Costs(1e-4, start=1.0, most_packed=most, most_padded=most)
        value = step_gradients(model, data, costs, 0, LossSettings("kl", jsd=0.5, sft=sft))
        found.append((float(value), model.get_input_embeddings().weight.grad.clone()))
    (one, expected), (several, gradient) = found
    assert several == pytest.approx(one, rel=1e-5)
    assert one > 0
    assert torch.allclose(gradient, expected, atol=1e-4 * float(expected.abs().max()))
