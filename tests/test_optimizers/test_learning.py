"""Whole recipes learn: a model that is right seven times of ten becomes better on rows unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.models import registry as models
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.source import Source
from lmc.traces.store import Filter, TraceStore
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


@pytest.fixture
def judge() -> Iterator[str]:
    """The name of a model that judges and mends answers to `PROGRAM`, right nine times of ten."""

    def right(text: str) -> tuple[str, bool]:
        word, number = next(
            found for found in re.findall(r"([a-z]{3}) (\d+)", text) if found[0] in LABELS
        )
        return LABELS[word], int(number) % 10 > 0

    def reply(request: Request) -> str:
        text = "\n".join(message["content"] for message in request.messages)
        label, sure = right(text)
        label = label if sure else OTHER[label]
        if "Which one does the task better" in text:
            return "first" if label == re.findall(r"\b[WC]\b", text)[-2] else "second"
        if "fall short" in text:
            return f"It should be {label}."
        return OTHER[label] if "make one small error" in text else label

    models.register("judge/", lambda name, settings: Scripted(reply))
    yield "judge/warm"
    models.unregister("judge/")


@pytest.mark.parametrize(
    "step",
    [
        'rise(samples=4, judge="judge/warm", {})',
        'constitutional(samples=2, judge="judge/warm", {})',
        pytest.param('self_rewarding(samples=4, judge="judge/warm", {})', marks=pytest.mark.slow),
        pytest.param('sppo(samples=4, judge="judge/warm", {})', marks=pytest.mark.slow),
    ],
)
def test_recipes_that_ask_another_model_raise_the_score(
    step: str, judge: str, labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compiled(step, labels, tmp_path, monkeypatch)
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()


@pytest.mark.parametrize(
    "step",
    [
        "rest_em(rounds=1, samples=3, adapt=true, diverse=true, keep=1, {})",
        "lmsi(samples=4, temperature=1.0, entropy=1.0, {})",
    ],
)
def test_recipes_say_what_they_saw_and_end_with_an_honest_figure(
    step: str, labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    result = lmc.compile(
        labels.program, metric="accuracy", data=labels.rows, optimizer=step.format(TRAINING),
        model=labels.model, cache=False, accept="better",
    )  # fmt: skip
    said = "\n".join(result.notes)
    assert "accepted" in said
    assert "separation" in said
    assert ("temperature" in said) == ("adapt" in step)
    assert ("agree enough" in said) == step.startswith("lmsi")
    assert result.test is not None
    assert result.test.after.mean >= result.test.before.mean - 0.1


# --- runs of another graph, on rows that the program makes ---

GAME = '''
record Seed { word: str }
record Row { text: str, label: str }
record Played { said: str, right: bool }
record Rewards { solve: float }
generate solve(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 }
pipeline main(text: str) -> str { return solve(text) }
pipeline label_of(word: str) -> str {
  return if word in ["red", "sun", "fox", "oak"] then "W" else "C"
}
pipeline invent(word: str) -> list[Row] {
  return [Row(text=f"{word} {100 * n}", label=label_of(word)) for n in range(12)]
}
pipeline valid(row: Row) -> bool { return len(row.text) > 5 }
pipeline game(text: str, label: str) -> Played {
  let said = solve(text)
  return Played(said=said, right=said == label)
}
metric edge(gold: Row, pred: Played) -> Rewards {
  return Rewards(solve=if pred.right then 1.0 else 0.0)
}
dataset seeds: Seed { source: "seeds.jsonl" }
dataset made: Row { from: invent(word) over: seeds where: valid n: 60 }
optimize main { steps: [train(from=game, rows=made, reward=edge, loss="pg", samples=4)] }
'''


def test_another_graph_teaches_on_made_rows_what_the_program_is_then_measured_by(
    labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    Path("game.lmp").write_text(GAME)
    Path("seeds.jsonl").write_text("".join(f'{{"word": "{word}"}}\n' for word in LABELS))
    known = {"text": "RED  300", "label": "W"}  # which `invent` makes too
    rows = [known, *labels.rows[:120]]
    step = f'train(from="game", rows="made", reward="edge", loss="pg", samples=4, {TRAINING})'
    result = lmc.compile(
        "game.lmp", target="main", metric="accuracy", data=rows, optimizer=step,
        model=labels.model, cache=False, accept="better",
    )  # fmt: skip
    assert "60 rows of `made` were made" in result.notes
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()
    runs = list(TraceStore().runs(Filter(job=result.job)))
    played = {run.row: run for run in runs if run.target == "game"}
    made = {run.row for run in runs if run.target == "invent"}
    assert len(played) == 60
    assert {name.rpartition("/")[2] for name in played} <= made  # each says what it was made of
    assert all(run.rewards.keys() == {"solve"} for run in played.values())
    asked = {run.values["text"] for run in played.values()}
    assert len(asked) == 60
    assert "red 300" not in asked
    assert not asked & {row["text"] for row in rows}
    assert all(len(text) > 5 for text in asked)
    assert {run.target for run in runs if run.stage in ("confirming", "final test")} == {"main"}


def test_a_step_names_declarations_without_quotes() -> None:
    program, found = check_program(Source("t.lmp", GAME))
    assert program is not None, found
    (step,) = program.optimizes[0].steps
    named = {name: step.kwargs[name] for name in ("from", "rows", "reward")}
    assert named == {"from": "game", "rows": "made", "reward": "edge"}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ('train(rows="seeds")', "bad-made-rows"),
        ('train(rows="nothing")', "unknown-dataset"),
        ('train(from="nothing")', "unknown-target"),
        ('train(from="game")', "missing-column"),
        ('train(reward="nothing")', "unknown-metric"),
        ('train(vary="invent")', "unknown-target"),
        ("train(propose=true)", "bad-option"),
        ("critic()", "bad-option"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_model_is_asked(
    step: str, code: str, labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("game.lmp").write_text(GAME)
    Path("seeds.jsonl").write_text('{"word": "red"}\n')
    rows = [{"text": row["text"], "answer": row["label"]} for row in labels.rows[:80]]
    with pytest.raises(LmcError, match=code):
        lmc.compile(
            "game.lmp", target="main", metric="accuracy", data=rows, optimizer=step,
            model=labels.model, cache=False,
        )  # fmt: skip
    assert TraceStore().jobs() == []


# --- several modules ---

TEAM = '''
record Row { text: str, label: str }
generate draft(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 adapter: one }
critique judge(text: str, said: str) -> bool {
  """Right?"""
  subject: said
  temperature: 1.0
  layout: "chat"
  max_tokens: 6
}
refine main(text: str) -> str {
  """Mend."""
  draft: draft(text)
  check: judge(text, draft)
  until: check
  rounds: 1
  temperature: 1.0
  max_tokens: 3
  adapter: one
}
'''
TWICE = TEAM.replace("until: check", "until: false")


def team_world(folder: Path, wrong: dict[str, str], steps: int) -> World:
    """Drafts are right six times of ten; verdicts and revisions are too, whatever they see.

    `wrong` has the wrong answer for each label.
    """
    rows, program = label_rows(160), folder / "team.lmp"
    program.write_text(TEAM)

    def says(module: str, inputs: dict[str, str]) -> dict[object, float]:
        label = LABELS[inputs["text"].split()[0]]
        if module == "judge":
            ok = inputs["said"] == label
            return {ok: 0.6, not ok: 0.4}
        return {label: 0.6, wrong[label]: 0.4}

    drafts = [(r["text"], said) for r in rows for said in (r["label"], wrong[r["label"]])]
    asked = [("draft", {"text": row["text"]}) for row in rows]
    asked += [("judge", {"text": text, "said": said}) for text, said in drafts]
    asked += [("main", {"text": text, "draft": said}) for text, said in drafts]
    model = save_learner(folder / "model", program, "main", asked, says, steps=steps)
    return World(program, model, rows)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Only who knows the answer can tell right from wrong: its verdicts are worth nothing."""
    return team_world(tmp_path_factory.mktemp("team"), OTHER, 250)


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A wrong answer looks wrong, so that verdicts can become better."""
    return team_world(tmp_path_factory.mktemp("flawed"), dict.fromkeys(OTHER, "X"), 150)


def compiled(
    step: str, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = ""
) -> lmc.CompileResult:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LMC_CACHE_DIR", str(folder / "cache"))
    Path("it.lmp").write_text(text or world.program.read_text())
    return lmc.compile(
        "it.lmp", target="main", metric="accuracy", data=world.rows,
        optimizer=step.format(TRAINING), model=world.model, cache=False, accept="better",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("score(samples=6, {})", TWICE),
        ("spar(samples=4, {})", TWICE),
    ],
)
def test_recipes_over_several_modules_raise_the_score(
    step: str, text: str, team: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compiled(step, team, tmp_path, monkeypatch, text)
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()


@pytest.mark.parametrize(
    "step",
    [
        "critic(samples=2, {})",
        pytest.param("critic(samples=4)", marks=pytest.mark.slow),
    ],
)
def test_a_trained_critic_tells_more_and_its_refine_gains_more(
    step: str, flawed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compiled(step, flawed, tmp_path, monkeypatch)
    told = [note for note in result.notes if note.startswith(("before", "after"))]
    areas = [float(re.findall(r"AUC ([\d.]+)", note)[0]) for note in told]
    assert areas[1] >= areas[0] + 0.1, result.notes
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()


@pytest.mark.slow
def test_inputs_are_routed_to_the_adapter_that_learnt_their_kind(
    labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    for name, words in (("one", "red sun ice sea"), ("two", "fox oak fog owl")):
        known = [row["text"].split()[0] in words.split() for row in labels.rows]
        lmc.compile(  # each learns the opposite of what the other one knows
            labels.program, metric="accuracy", model=labels.model, cache=False, accept="better",
            data=[
                row if good else {**row, "label": OTHER[row["label"]]}
                for row, good in zip(labels.rows, known, strict=True)
            ],
            optimizer=f"lora({TRAINING})", out=f"{name}.lmpc",
        )  # fmt: skip
    step = 'route_adapters(artifacts="one.lmpc, two.lmpc")'
    result = compiled(step, labels, tmp_path, monkeypatch)
    assert result.test is not None
    assert result.test.difference.mean >= 0.15, result.summary()
    assert len(result.artifact.parameters.modules["main"].gates) == 3, result.summary()


DEBATE = '''
generate one(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 adapter: shared }
generate two(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 adapter: shared }
record Count { answer: str, votes: int }
record Said { answer: str }
pipeline main(text: str) -> str {
  let room = [Said(answer=a) for a in [one(text) for 3] + [two(text) for 5]]
  let counts = [Count(answer=g.key, votes=len(g.items)) for g in group_by(room, .answer)]
  return first(sort_by(counts, .votes, true))?.answer ?? ""
}
'''


@pytest.mark.slow
def test_roles_of_a_debate_learn_from_its_results_without_labels(
    labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compiled("multiagent(samples=4, {})", labels, tmp_path, monkeypatch, DEBATE)
    assert result.test is not None
    assert result.test.difference.mean >= 0.05, result.summary()
    adapters = {m.adapter for m in result.artifact.parameters.modules.values()}
    assert len(adapters) == 2  # though the source lets the roles share one


PLAY = '''
record Seed { word: str }
record Row { text: str, label: str }
generate solve(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 }
generate guess(word: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 }
pipeline main(text: str) -> str { return solve(text) }
pipeline invent(word: str) -> list[Row] {
  let said = guess(word)
  return [Row(text=f"{word} {n}{said}", label=label_of(word)) for n in range(6)]
}
pipeline label_of(word: str) -> str {
  return if word in ["red", "sun", "fox", "oak"] then "W" else "C"
}
dataset seeds: Seed { source: "seeds.jsonl" }
dataset made: Row { from: invent(word) over: seeds n: 60 }
'''


@pytest.mark.slow
def test_maker_and_solver_of_rows_are_trained_together(
    labels: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeds.jsonl").write_text("".join(f'{{"word": "{w}"}}\n' for w in LABELS))
    step = 'self_play(rows="made", samples=4, {})'
    result = compiled(step, labels, tmp_path, monkeypatch, PLAY)
    assert any("proposals earn" in note for note in result.notes)
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()
    trained = {n for n, m in result.artifact.parameters.modules.items() if m.adapter}
    assert "solve" in trained
