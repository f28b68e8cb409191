"""Every row is in one pack, and packs give the losses and gradients of separate rows."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from lmc.tiny import MODEL_DIR
from lmc.training.encoding import EncodedRow
from lmc.training.packing import Costs, Pack, plan_packs
from lmc.training.steps import answer_logps, costs_for, shares_beginnings
from tests.test_models.tiny_llama import save_tiny_llama

SHARING = Costs(attention=1e-4, start=1.0)


@st.composite
def encoded_rows(draw: st.DrawFn) -> list[EncodedRow]:
    beginnings = draw(st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=3))
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        own = draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
        ids = (*draw(st.sampled_from(beginnings)), *own)
        rows.append(EncodedRow(ids, draw(st.integers(1, len(ids)))))
    return rows


@given(rows=encoded_rows(), most=st.integers(1, 200), share=st.booleans())
def test_every_row_is_in_one_pack_within_the_limit(
    rows: list[EncodedRow], most: int, share: bool
) -> None:
    packs = plan_packs(rows, Costs(most_packed=most, most_padded=most // 2, share=share))
    assert sorted((r.ids, r.prompt) for pack in packs for r in pack.rows) == sorted(
        (r.ids, r.prompt) for r in rows
    )
    for pack in packs:
        assert pack.tokens <= (most if pack.shared else most // 2) or len(pack.rows) == 1
        assert share or not pack.shared
        assert all(pack.shared < row.prompt for row in pack.rows if pack.shared)
        assert len({row.ids[: pack.shared] for row in pack.rows}) == 1


@given(rows=encoded_rows())
def test_packs_cost_no_more_than_one_padded_batch(rows: list[EncodedRow]) -> None:
    costs = Costs(most_packed=10_000, most_padded=10_000)
    longest = max(len(row.ids) for row in rows)
    packs = plan_packs(rows, costs)
    lengths = [p.tokens if p.shared else p.tokens // len(p.rows) for p in packs]
    cost = sum(costs.of(p.tokens, n) for p, n in zip(packs, lengths, strict=True))
    assert cost <= costs.of(longest * len(rows), longest) + 1e-6


def test_rows_are_grouped_by_their_beginnings() -> None:
    one, other = tuple(range(100)), tuple(range(100, 200))
    rows = [
        EncodedRow((*(one, other)[i % 2], 300 + i, 1, 2), 101, weight=float(i)) for i in range(8)
    ]
    packs = plan_packs(rows, SHARING)
    assert [(pack.shared, len(pack.rows)) for pack in packs] == [(100, 4), (100, 4)]
    assert [row.weight for row in packs[0].rows] == [0.0, 2.0, 4.0, 6.0]


def test_unlike_rows_are_batched_by_length() -> None:
    rows = [EncodedRow((i, *[9] * (10 if i % 2 else 400)), 2) for i in range(8)]
    packs = plan_packs(rows, SHARING)
    assert sum(pack.tokens for pack in packs) == sum(len(row.ids) for row in rows)


def _rows(vocabulary: int, seed: int = 0) -> list[EncodedRow]:
    """Two beginnings and a row apart; prompts, answers and weights differ."""
    made = torch.Generator().manual_seed(seed)

    def tokens(size: int) -> list[int]:
        return torch.randint(0, vocabulary, (size,), generator=made).tolist()

    beginnings = [tokens(40), tokens(25)]
    rows = []
    for i in range(10):
        own, answer = tokens(1 + i % 4), tokens(1 + i % 5)
        ids = (*beginnings[i % 2], *own, *answer)
        rows.append(EncodedRow(ids, len(ids) - len(answer), 0.25 + i % 3))
    return [*rows, EncodedRow(tuple(tokens(30)), 20, 2.0)]


def _with_adapter(folder: Path, **options: Any) -> Any:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an older way
        adapted = get_peft_model(model, config)
    made = torch.Generator().manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:  # one half starts at 0, which would hide the gradient of the other
            parameter.data.normal_(0, 0.05, generator=made)
    return adapted


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    return found


def _one_by_one(model: Any, rows: list[EncodedRow]) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and its gradients by the definition: each row for itself, with all logits."""
    total, loss = sum(row.weight * len(row.answer) for row in rows), 0.0
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].log_softmax(-1)
        chosen = logits.gather(-1, torch.tensor(row.ids[1:])[:, None])[row.prompt - 1 :]
        part = -chosen.sum() * row.weight / total
        part.backward()
        loss += float(part.detach())
    return loss, _gradients(model)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("most", [2048, 80])
@pytest.mark.parametrize("name", ["llama", "lmc/tiny"])
def test_gradients_are_those_of_separate_rows(
    llama: Path, name: str, most: int, share: bool, attention: str
) -> None:
    folder = llama if name == "llama" else MODEL_DIR
    model = _with_adapter(folder, attn_implementation=attention)
    rows = _rows(model.config.vocab_size)
    packs = plan_packs(
        rows, Costs(1e-4, start=1.0, most_packed=most, most_padded=most, share=share)
    )
    assert any(pack.shared for pack in packs) == share
    loss, expected = _one_by_one(model, rows)
    total, ours = sum(row.weight * len(row.answer) for row in rows), 0.0
    for pack in packs:
        logps, weights = answer_logps(model, pack.tensors(pad=0))
        part = -(logps * weights).sum() / total
        part.backward()
        ours += float(part.detach())
    assert ours == pytest.approx(loss, rel=1e-5)
    found = _gradients(model)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for parameter, gradient in expected.items():
        assert float((found[parameter] - gradient).abs().max()) <= 1e-5 * largest, parameter


def test_a_model_that_takes_the_mask_shares(llama: Path) -> None:
    model = _with_adapter(llama)
    rows = _rows(model.config.vocab_size)
    assert shares_beginnings(model, rows, pad=0)
    assert costs_for(model, rows, pad=0).share
    assert not shares_beginnings(model, rows[:1], pad=0)  # nothing to share


@pytest.mark.parametrize("kind", ["window", "state space", "positions of its own"])
def test_other_models_train_on_plain_rows(kind: str) -> None:
    from transformers import AutoModelForCausalLM, BloomConfig, Mamba2Config, MistralConfig

    torch.manual_seed(0)
    size = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.3}
    config = {
        "window": lambda: MistralConfig(
            **size, intermediate_size=32, num_attention_heads=4, num_key_value_heads=2,
            sliding_window=8,
        ),
        "state space": lambda: Mamba2Config(
            **size, num_heads=4, head_dim=16, state_size=8, n_groups=1
        ),
        "positions of its own": lambda: BloomConfig(
            vocab_size=64, hidden_size=32, n_layer=2, n_head=4
        ),
    }[kind]()  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    rows = _rows(64)
    assert not shares_beginnings(model, rows, pad=0)
    packs = plan_packs(rows, costs_for(model, rows, pad=0))
    assert not any(pack.shared for pack in packs)
    for pack in packs:
        together = answer_logps(model, pack.tensors(0))[0]
        alone = torch.cat([answer_logps(model, Pack((row,)).tensors(0))[0] for row in pack.rows])
        assert torch.allclose(together, alone, atol=1e-5)


def test_packed_rows_do_not_see_each_other(llama: Path) -> None:
    model = _with_adapter(llama).eval()
    begin = tuple(range(20))
    first, second = (EncodedRow((*begin, i, 40 + i), 21) for i in (1, 2))
    other = EncodedRow((*begin, 3, 50), 21)
    with torch.no_grad():
        one, another = (
            answer_logps(model, Pack((row, second), 20).tensors(0))[0][-1] for row in (first, other)
        )
    assert float(one) == pytest.approx(float(another), abs=1e-6)


def test_lengths_in_a_batch_are_padded_alike() -> None:
    rows = EncodedRow((1, 2, 3, 4), 2), EncodedRow((1, 2, 3, 4, 5, 6, 7), 4, weight=2.0)
    inputs = Pack(rows).tensors(pad=0)
    assert inputs["input_ids"].tolist() == [[1, 2, 3, 4, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7]]
    assert inputs["attention_mask"].sum(1).tolist() == [4, 7]
    assert inputs["keep"].tolist() == [1, 2, 3, 4, 5]
    assert inputs["labels"].tolist() == [[3, 4, -100, -100, -100], [-100, -100, 5, 6, 7]]
    assert inputs["weight"].tolist() == [[1.0, 1.0, 0, 0, 0], [0, 0, 2.0, 2.0, 2.0]]
