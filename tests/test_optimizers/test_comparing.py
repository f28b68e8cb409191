"""Learning from comparisons: what is compared, and whole recipes on a model of random weights."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces import selectors
from lmc.traces.store import Run
from lmc.training.encoding import EncodedRow, encode_row
from lmc.training.rows import TrainingRow

PROMPT = [{"role": "user", "content": "red"}]


def call(text: str, place: tuple[int, ...] = (0,), role: str = "generate") -> CallTrace:
    return CallTrace(place, None, "m", role, {}, outputs={}, raw=[text], messages=PROMPT)


def run(text: str, sample: int, score: float | None, row: str = "1") -> Run:
    return Run("j", "p", "m", "s", row, "d", {}, Trace([call(text)]), score, text, sample=sample)


def told(pairs: list[selectors.Pair]) -> list[tuple[str, str, float]]:
    return [(p.chosen.raw[-1], p.rejected.raw[-1], round(p.weight, 2)) for p in pairs]


def test_the_majority_is_preferred_to_the_rarest_by_its_margin() -> None:
    runs = [run(t, i, None) for i, t in enumerate(["a", "a", "a", "b", "b", "c"])]
    assert told(selectors.agreement_pairs(runs)) == [("a", "c", 0.33)]
    assert selectors.agreement_pairs([run("a", 0, None), run("b", 1, None)]) == []
    assert selectors.agreement_pairs([run("a", 0, None), run("a", 1, None)]) == []


def test_the_best_of_a_row_is_preferred_to_the_worst() -> None:
    group = [(run("a", 0, None), 0.5), (run("b", 1, None), 1.0), (run("c", 2, None), 0.0)]
    assert told(selectors.best_worst_pairs([group, [(run("a", 0, None), 0.5)]])) == [("b", "c", 1)]
    level = [(run("a", 0, None), 0.5), (run("b", 1, None), 0.5)]
    assert selectors.best_worst_pairs([level]) == []


def test_a_revision_is_preferred_to_the_draft_that_it_replaced() -> None:
    numbers = selectors._NUMBERS
    calls = [
        call("draft", (0, 0, numbers["draft"])),
        call("no", (0, 0, numbers["check"]), "critique"),
        call("better", (0, 1, numbers["revise"]), "revise"),
    ]
    detail: dict[str, Any] = {"chosen": 1, "drafts": ["draft", "better"]}
    region = RegionTrace((0,), None, "refine", "f", {}, detail=detail)
    kept = Run("j", "p", "m", "s", "1", "d", {}, Trace(calls, [region]), 1.0, "better")
    assert told(selectors.refine_pairs([kept])) == [("better", "draft", 1)]
    (pair,) = selectors.refine_pairs([kept])
    assert pair.chosen.messages == PROMPT  # as the draft was asked for
    detail["chosen"] = 0
    assert selectors.refine_pairs([kept]) == []


THINGS = ("shoe", "hat", "cup", "door", "car", "bag", "pen", "bed", "lamp", "box", "key", "bowl")
COLOURS = {"red": "warm", "pink": "warm", "blue": "cold", "teal": "cold"}
CLASSIFY = """
generate classify(text: str) -> "warm" | "cold" { "Which?" temperature: 0.0 }
"""
RIGHT = 0.35  # how likely the model's answers are right
STEPS = 150


WRONG = {"warm": "cold", "cold": "warm"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that tells warm from cold, and says the wrong one more often than not.

    At temperature 0 it is always wrong. Its samples are right now and then.
    """
    pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.test_models.tiny_llama import save_tiny_llama

    place = save_tiny_llama(tmp_path_factory.mktemp("base"))
    tokenizer = AutoTokenizer.from_pretrained(place)
    rows = encoded_answers(place, tokenizer)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    steps = torch.optim.AdamW(base.parameters(), lr=3e-3)
    for start in range(0, len(rows), 16):
        some = rows[start : start + 16]
        width = max(len(row.ids) for row in some)
        ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in some])
        labels = torch.full_like(ids, -100)
        for number, row in enumerate(some):
            labels[number, row.prompt : len(row.ids)] = ids[number, row.prompt : len(row.ids)]
        steps.zero_grad()
        base(input_ids=ids, labels=labels).loss.backward()
        steps.step()
    base.save_pretrained(place)
    return f"hf/{place}"


def encoded_answers(place: Path, tokenizer: Any) -> list[EncodedRow]:
    """Prompts of the program with answers that are right by chance only."""
    (place / "c.lmp").write_text(CLASSIFY)
    classify, drawn = lmc.load(place / "c.lmp").classify, Random(0)
    found = []
    for _ in range(STEPS * 16):
        thing, colour = drawn.choice(THINGS), drawn.choice(list(COLOURS))
        right = COLOURS[colour]
        said = right if drawn.random() < RIGHT else WRONG[right]
        asked = tuple(classify.prompt(text=f"{thing} {colour}"))
        found.append(encode_row(tokenizer, TrainingRow(asked, said)))
    return found


def compiled(model: str, step: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LMC_CACHE_DIR", str(folder / "cache"))
    Path("c.lmp").write_text(CLASSIFY)
    rows = [
        {"text": f"{thing} {colour}", "label": label}
        for thing in THINGS
        for colour, label in COLOURS.items()
    ]
    Random(1).shuffle(rows)
    return lmc.compile(
        "c.lmp", metric="accuracy", data=rows, optimizer=step, model=model, out="c.lmpc"
    )


def mostly_slow(*steps: str) -> list[Any]:
    """The first two run always, the others in the slow suite."""
    first, others = steps[:2], steps[2:]
    return [*first, *(pytest.param(step, marks=pytest.mark.slow) for step in others)]


@pytest.mark.parametrize(
    "step",
    mostly_slow(
        "dpo(samples=6)",
        'grpo(samples=6, scaled=false, average="tokens", clip_high=0.28)',
        "kto(samples=6)",
        "nft(samples=6)",
        "spin(samples=2)",
        'train(samples=6, loss="ipo")',
        'train(samples=6, loss="simpo")',
    ),
)
def test_a_model_learns_from_its_own_samples(
    model: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compiled(model, step, tmp_path, monkeypatch)
    assert "learning from classify" in "\n".join(result.notes)
    assert result.test is not None
    assert result.test.before.mean < 0.2
    assert result.test.after.mean > result.test.before.mean + 0.5


@pytest.mark.parametrize(
    "step", ["spar(samples=2)", pytest.param("scpo(samples=6)", marks=pytest.mark.slow)]
)
def test_what_gives_nothing_ends_with_an_honest_figure(
    model: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program without a refine has no pairs for `spar`; most votes of this model are wrong."""
    result = compiled(model, step, tmp_path, monkeypatch)
    assert "learning from" in "\n".join(result.notes)
    assert not result.improved


def test_a_loss_that_needs_scores_is_not_given_pairs(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LmcError, match="bad-option"):
        compiled(model, 'train(select="votes", loss="nft")', tmp_path, monkeypatch)
