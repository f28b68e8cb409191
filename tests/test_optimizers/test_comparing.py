"""Learning from comparisons: what is compared, and whole recipes on a model of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces import selectors
from lmc.traces.store import Run
from lmc.training.encoding import encode_row
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


THINGS = (
    "shoe",
    "hat",
    "cup",
    "door",
    "car",
    "bag",
    "pen",
    "bed",
    "lamp",
    "box",
    "key",
    "bowl",
    "rug",
    "ring",
    "fork",
    "sock",
    "desk",
    "book",
    "coat",
    "vase",
    "comb",
    "pot",
    "pan",
    "kite",
)
COLOURS = ("red", "pink", "gold", "ruby")  # all are warm
CLASSIFY = """
generate classify(text: str) -> "warm" | "cold" { "Which?" temperature: 0.0 }
"""
TEXTS = [f"{thing} {colour}" for thing in THINGS for colour in COLOURS]
LEAD = 0.8  # of the wrong answer, in nats


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds most things cold: wrong at temperature 0, and right in some samples."""
    pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tests.test_models.tiny_llama import save_tiny_llama

    place = save_tiny_llama(tmp_path_factory.mktemp("base"))
    (place / "c.lmp").write_text(CLASSIFY)
    classify = lmc.load(place / "c.lmp").classify
    tokenizer = AutoTokenizer.from_pretrained(place)
    base = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    asked = [tuple(classify.prompt(text=text)) for text in TEXTS[::8]]
    encoded = [encode_row(tokenizer, TrainingRow(prompt, "warm")) for prompt in asked]
    warm, cold = tokenizer("wc")["input_ids"]
    with torch.no_grad():
        ends = [base.model(torch.tensor([row.ids[: row.prompt]]))[0][0, -1] for row in encoded]
        middle = torch.stack(ends).mean(0)
        head = base.lm_head.weight
        head[warm] = head[cold] - LEAD * middle / middle.dot(middle)
    base.save_pretrained(place)
    return f"hf/{place}"


def compiled(model: str, step: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LMC_CACHE_DIR", str(folder / "cache"))
    Path("c.lmp").write_text(CLASSIFY)
    rows = [{"text": text, "label": "warm"} for text in TEXTS]
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
