"""The whole way: improve, confirm, test, write; within the budget, the same again, and honest."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.base import Request
from lmc.optimizers import events
from lmc.optimizers.compilation.result import CompileResult
from lmc.program.artifact import Artifact
from tests.test_optimizers.worlds import (
    COLOURS,
    MANY,
    ONE,
    colour_of,
    colour_rows,
    learner,
    lucky,
    scripted,
    team,
)


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(
    text: str = ONE, *, rows: int = 120, backend: Any = None, **options: Any
) -> CompileResult:
    path = Path("colours.lmp")
    path.write_text(text)
    options = {
        "metric": "accuracy",
        "optimizer": "bootstrap()",
        "data": colour_rows(rows),
        "cache": False,
        "out": "colours.lmpc",
    } | options
    return lmc.compile(path, backend=backend or scripted(), **options)


def test_demonstrations_are_found_and_confirmed() -> None:
    result = improve()
    assert result.improved
    assert result.test is not None
    assert result.test.before.mean < 0.5
    assert result.test.after.mean == 1.0
    assert result.test.difference.low > 0
    shown = result.artifact.parameters.modules["classify"].demos or ()
    assert {d.outputs["result"] for d in shown} == set(COLOURS.values())
    assert "test rows that no step saw" in result.summary()


def test_the_artifact_is_as_good_as_was_said() -> None:
    improve()
    backend = scripted()
    program = lmc.load("colours.lmpc", backend=backend, cache=False)
    for row in colour_rows(8):
        assert program.main(text=row["text"]) == row["label"]
    Path("colours.lmp").unlink()
    assert Artifact.read(Path("colours.lmpc")).sources == {"colours.lmp": ONE}


def test_no_gain_keeps_the_program_as_written() -> None:
    result = improve(backend=scripted(lambda request: ["KIP"] * request.n, "constant"))
    assert not result.improved
    assert result.artifact.parameters.modules == {}
    assert "no significant gain" in result.summary()
    assert result.test is not None
    assert result.test.before == result.test.after


def test_luck_does_not_pass_the_gate() -> None:
    """Every prompt is as good as any other; the best of sixteen looks better than it is."""

    def coin(request: Request) -> list[str]:
        text = request.messages[-1]["content"]
        right = lucky(repr(request.messages), 0, 0.5)
        return [COLOURS[colour_of(text)] if right else "WRONG"] * request.n

    accepted = sum(improve(backend=scripted(coin, "coin"), seed=seed).improved for seed in range(3))
    assert accepted <= 1


def test_every_module_gets_demonstrations() -> None:
    result = improve(MANY, rows=160, backend=scripted(team, "team"))
    assert result.improved
    modules = result.artifact.parameters.modules
    assert set(modules) == {"draft", "judge", "fixed"}
    for name, module in modules.items():
        assert module.demos, name
    verdicts = [d.outputs["ok"] for d in modules["judge"].demos or ()]
    assert {True, False} == set(verdicts)
    assert all(("row" in d.origin) for m in modules.values() for d in m.demos or ())


def test_demonstrations_come_from_train_rows_only() -> None:
    seen: dict[str, set[str]] = {}
    result = improve()
    from lmc.measure.rows import Row, split_rows
    from lmc.optimizers.compilation.job import RowParts  # the same parts again

    rows = [Row(f"{i}", r) for i, r in enumerate(colour_rows(120), start=1)]
    parts = RowParts.of(split_rows(rows, seed=0, inputs=["text"]), 0)
    for name in ("train", "select", "confirm", "test"):
        seen[name] = {row.values["text"] for row in getattr(parts, name)}
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 120
    shown = {d.inputs["text"] for d in result.artifact.parameters.modules["classify"].demos or ()}
    assert shown <= seen["train"]


@pytest.mark.parametrize("calls", [1, 10, 100, 400, 1000])
def test_the_budget_is_never_passed(calls: int) -> None:
    backend = scripted()
    result = improve(backend=backend, budget={"calls": calls})
    assert sum(request.n for request in backend.requests) <= calls
    assert Artifact.read(Path("colours.lmpc")).parameters == result.artifact.parameters
    if calls >= 400:
        assert result.improved


@pytest.mark.parametrize("calls", [1, 10, 100, 1000])
def test_the_budget_of_a_program_with_many_calls_is_never_passed(calls: int) -> None:
    backend = scripted(team, "team")
    improve(MANY, backend=backend, budget={"calls": calls})
    assert sum(request.n for request in backend.requests) <= calls


@pytest.mark.parametrize("limits", [{"tokens": 4000}, {"tokens": 40}, {"minutes": 0.0}])
def test_other_limits_end_in_a_valid_artifact(limits: dict[str, float]) -> None:
    result = improve(budget=limits)
    assert (result.artifact.manifest.tokens or 0) <= limits.get("tokens", 10**9)
    assert Artifact.read(Path("colours.lmpc")).parameters == result.artifact.parameters


def test_a_second_run_asks_nothing_and_writes_the_same_bytes() -> None:
    improve()
    first, again = Path("colours.lmpc").read_bytes(), scripted()
    improve(backend=again)
    assert again.requests == []
    assert Path("colours.lmpc").read_bytes() == first


def test_the_seed_alone_decides() -> None:
    improve(run_dir="a", out="a.lmpc", seed=3)
    improve(run_dir="b", out="b.lmpc", seed=3)
    improve(run_dir="c", out="c.lmpc", seed=4)
    assert Path("a.lmpc").read_bytes() == Path("b.lmpc").read_bytes()
    assert Path("a.lmpc").read_bytes() != Path("c.lmpc").read_bytes()


@pytest.mark.parametrize("budget", [None, {"calls": 1500}])
def test_who_answers_first_does_not_matter(budget: dict[str, float] | None) -> None:
    early = MANY.replace("n: 3", "n: 3, stop_early: true")

    def late(seed: int) -> Any:
        rng = random.Random(seed)

        async def answer(request: Request) -> list[str]:
            await asyncio.sleep(rng.random() * 0.01)
            return team(request)

        return scripted(answer, "team")

    for name, seed in (("a", 1), ("b", 2)):
        improve(early, backend=late(seed), run_dir=name, out=f"{name}.lmpc", budget=budget)
    assert Path("a.lmpc").read_bytes() == Path("b.lmpc").read_bytes()


@pytest.mark.parametrize("usd", [0.0001, 0.01, 0.1])
def test_the_money_is_never_passed(usd: float) -> None:
    priced = """
    model m { name: "scripted/none", max_tokens: 8, price: {input: 10.0, output: 10.0} }
    default { model: m }
    """
    result = improve(priced + ONE, budget={"usd": usd})
    assert result.used.cost_usd <= usd
    assert result.used.cost_usd == pytest.approx(result.used.tokens * 10 / 1e6)
    assert result.artifact.manifest.cost_usd == pytest.approx(result.used.cost_usd)


def test_a_fresh_run_asks_again() -> None:
    improve()
    again = scripted()
    improve(backend=again, resume=False)
    assert again.requests


def test_the_folder_of_another_run_is_not_taken_over() -> None:
    improve(run_dir="run")
    with pytest.raises(lmc.LmcError) as caught:
        improve(run_dir="run", seed=9)
    assert caught.value.code == "other-run"


def test_lost_rows_count_for_nobody_and_are_shown() -> None:
    from lmc.models.base import ModelFailure

    def flaky(request: Request) -> Any:
        number = int(request.messages[-1]["content"].split()[2])
        if number % 10 == 3:
            return ModelFailure("bad_request", "no", retryable=False)
        return learner(request)

    result = improve(backend=scripted(flaky, "flaky"))
    assert result.test is not None
    assert result.test.before.failed > 0
    assert result.test.after.mean == 1.0
    assert "failed" in result.table()[-1][-1]


def test_models_that_cannot_be_reached_end_the_run_early() -> None:
    from lmc.models.base import ModelFailure

    down = scripted(lambda request: ModelFailure("connection", "refused", retryable=False), "down")
    with pytest.raises(lmc.LmcError, match="refused") as caught:
        improve(backend=down)
    assert caught.value.code == "no-answers"
    assert len(down.requests) <= 16
    assert Artifact.read(Path("colours.lmpc")).manifest.status == "stopped"
    assert improve().improved  # and the same run goes on


def test_an_artifact_can_be_improved_further() -> None:
    improve(optimizer="labeled(demos=2)")
    options: dict[str, Any] = {"metric": "accuracy", "data": colour_rows(120), "cache": False}
    again = lmc.compile("colours.lmpc", backend=scripted(), out="better.lmpc", **options)
    assert again.test is not None
    assert again.artifact.sources == {"colours.lmp": ONE}
    shown = again.artifact.parameters.modules["classify"].demos or ()
    assert len(shown) >= 2


def test_steps_follow_one_another_and_the_figures_are_those_of_the_start() -> None:
    result = improve(optimizer="labeled(demos=2) >> bootstrap(demos=4, candidates=6, rounds=1)")
    assert result.artifact.manifest.steps[0] == "labeled(demos=2)"
    assert result.dev is not None
    assert result.test is not None
    assert abs(result.dev.before.mean - result.test.before.mean) < 0.3
    assert result.test.after.mean == 1.0


def test_progress_is_told() -> None:
    heard: list[events.Event] = []
    improve(progress=heard.append)
    kinds = [type(event) for event in heard]
    assert kinds[0] is events.RunStarted
    assert kinds[-1] is events.RunFinished
    assert {events.LeaderChanged, events.GateDecided, events.CandidateScored} <= set(kinds)
    calls = [event.totals.calls for event in heard]
    assert calls == sorted(calls)


def test_every_candidate_is_on_record() -> None:
    result = improve()
    lines = (result.run_dir / "history.jsonl").read_text().splitlines()
    found = [line for line in map(json.loads, lines) if line["event"] == "candidate"]
    assert result.artifact.parameters.to_json() in [line["parameters"] for line in found]
    assert {"start", "1.labeled"} <= {c["name"] for c in found}
    assert result.summary() in (result.run_dir / "summary.txt").read_text()


def test_labelled_rows_alone_may_do() -> None:
    backend = scripted()
    result = improve(optimizer="labeled(demos=8)", backend=backend)
    assert result.improved
    assert result.test is not None
    assert result.test.after.mean == 1.0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"optimizer": "bootstrp"}, "unknown-optimizer"),
        ({"data": None}, "no-data"),
        ({"data": "none.jsonl"}, "cannot-read"),
        ({"data": colour_rows(50)}, "too-few-rows"),
        ({"target": "mian"}, "unknown-target"),
    ],
)
def test_mistakes_are_found_before_the_first_call(options: dict[str, Any], code: str) -> None:
    backend = scripted()
    with pytest.raises(lmc.LmcError) as caught:
        improve(backend=backend, **options)
    assert caught.value.code == code
    assert backend.requests == []


def test_a_program_that_no_artifact_can_hold_is_refused_before_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lmc.program.artifact.MOST_NODES", 1)
    backend = scripted()
    with pytest.raises(lmc.LmcError, match=r"artifact-too-large.*nodes, more than 1"):
        improve(backend=backend)
    assert backend.requests == []


def test_a_missing_key_is_found_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = Path("keyed.lmp")
    path.write_text(ONE + 'default { model: m }\nmodel m { name: "openai/gpt-4o-mini" }\n')
    with pytest.raises(lmc.LmcError) as caught:
        lmc.compile(path, metric="accuracy", data=colour_rows(100), cache=False)
    assert caught.value.code == "missing-key"


def test_what_is_seen_but_not_proven_passes_only_when_told() -> None:
    """A gain of a few rows: real, and too small to be proven on so few."""

    def slightly(request: Request) -> list[str]:
        luck = 0.55 if len(request.messages) > 2 else 0.42
        colour = colour_of(request.messages[-1]["content"])
        right = lucky(request.messages[-1]["content"], 0, luck)
        return [COLOURS[colour] if right else "WRONG" for _ in range(request.n)]

    options: dict[str, Any] = {"optimizer": "labeled(demos=4)", "backend": scripted(slightly)}
    assert not improve(rows=100, **options).improved
    told = improve(rows=100, accept="better", **options)
    assert told.improved
