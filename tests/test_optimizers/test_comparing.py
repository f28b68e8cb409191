"""Learning from comparisons: what is compared."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.optimizers.lessons.comparing import by_refine
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces import selectors
from lmc.traces.store import Run, TraceStore

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
    numbers = selectors.REFINE_BODIES
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


async def test_who_revises_learns_from_revisions_that_ended_right() -> None:
    numbers = selectors.REFINE_BODIES

    def refined(revised: str, score: float) -> Run:
        calls = [
            call("draft", (0, 0, numbers["draft"])),
            call("no", (0, 0, numbers["check"]), "critique"),
            call(revised, (0, 1, numbers["revise"]), "revise"),
        ]
        calls[-1].messages = [{"role": "user", "content": "mend: draft"}]
        detail: dict[str, Any] = {"chosen": 1, "drafts": ["draft", revised]}
        region = RegionTrace((0,), None, "refine", "f", {}, detail=detail)
        return Run("j", "p", "m", "s", "1", "d", {}, Trace(calls, [region]), score, revised)

    scene = SimpleNamespace(alternatives=frozenset)
    recipe = SimpleNamespace(threshold=1.0, loss="dpo", even=None)
    runs = [refined("better", 1.0), refined("worse", 0.0)]
    turn: Any = SimpleNamespace(runs=runs, recipe=recipe, context=scene)
    rows = (await by_refine(turn))["m"]
    told = [(row.messages[0]["content"], row.chosen, row.rejected) for row in rows]  # type: ignore[union-attr]
    assert told == [("red", "better", "draft"), ("mend: draft", "better", "worse")]


def test_a_loss_that_needs_scores_is_refused_before_a_model_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    Path("c.lmp").write_text('generate classify(text: str) -> "warm" | "cold" { "Which?" }\n')
    rows = [{"text": f"word {i}", "label": ("warm", "cold")[i % 2]} for i in range(120)]
    step = 'train(select="votes", loss="nft")'
    with pytest.raises(LmcError, match="bad-option"):
        lmc.compile(
            "c.lmp", metric="accuracy", data=rows, optimizer=step, model="lmc/tiny", cache=False
        )
    assert TraceStore().jobs() == []
