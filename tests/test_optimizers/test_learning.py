"""Whole recipes learn: a model that is right seven times of ten becomes better on rows unseen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

import lmc
from tests.learners import save_learner

pytest.importorskip("peft")

PROGRAM = 'generate main(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 }\n'
LABELS = {
    **dict.fromkeys(("red", "sun", "fox", "oak"), "W"),
    **dict.fromkeys(("ice", "sea", "fog", "owl"), "C"),
}
OTHER = {"W": "C", "C": "W"}
RIGHT = 0.7  # share of right answers at the start
TRAINING = "epochs=10, rate=0.005, rank=8"


@dataclass(frozen=True)
class World:
    """A program, the model that answers it, and rows."""

    program: Path
    model: str
    rows: list[dict[str, str]]


def label_rows(count: int) -> list[dict[str, str]]:
    rng, found = Random(1), {}
    while len(found) < count:
        word = rng.choice(list(LABELS))
        text = f"{word} {rng.randrange(1000)}"
        found[text] = {"text": text, "label": LABELS[word]}
    return list(found.values())


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder, rows = tmp_path_factory.mktemp("labels"), label_rows(160)
    program = folder / "it.lmp"
    program.write_text(PROGRAM)
    asked = [("main", {"text": row["text"]}) for row in rows]

    def says(_: str, inputs: dict[str, str]) -> dict[str, float]:
        right = LABELS[inputs["text"].split()[0]]
        return {right: RIGHT, OTHER[right]: 1 - RIGHT}

    return World(program, save_learner(folder / "model", program, "main", asked, says), rows)


QUICK = ["dpo(samples=4, {})", "scpo(samples=6, {})", "grpo(samples=4, {})"]
LONGER = [
    "nft(samples=4, {})",
    "kto(samples=4, {})",
    "spin(samples=2, {})",
    "rest_em(samples=4, rounds=1, temperature=1.0, {})",
    "lmsi(samples=6, temperature=1.0, {})",
    'train(select="right", loss="simpo", samples=4, {})',
]


@pytest.mark.parametrize(
    "step", [*QUICK, *(pytest.param(step, marks=pytest.mark.slow) for step in LONGER)]
)
def test_a_recipe_raises_the_score_on_rows_that_it_has_not_seen(
    step: str, labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    result = lmc.compile(
        labels.program, metric="accuracy", data=labels.rows, optimizer=step.format(TRAINING),
        model=labels.model, cache=False, accept="better",
    )  # fmt: skip
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()
