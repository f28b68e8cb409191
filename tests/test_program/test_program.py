"""Programs as Python objects: from source text to typed results."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.program.program import lower_file
from lmc.runtime.traces import Trace

SOURCE = '''
enum Mood { glad, sad "in tears" }
record Note { text: str, mood: Mood, tags: list[str] = [] }

generate describe(about: str, words: int(1..9) = 3) -> Note { """Describe it.""" }
generate label(text: str) -> Mood
generate say(text: str) -> str { """Say it.""" }

vote agreed(text: str) -> Mood { sample: label(text) n: 3 }

pipeline moods(texts: list[str]) -> list[Mood] { return [agreed(t) for t in texts] }
pipeline retell(note: Note) -> str { return say(note.text) }
pipeline constant(x: int) -> int { return x + 1 }
'''


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "notes.lmp"
    file.write_text(SOURCE)
    return file


def load(path: Path, script: Any) -> lmc.Program:
    return lmc.load(path, backend=Scripted(script), cache=False)


NOTE = "[[text]] a cat\n[[mood]] sad\n[[tags]] []"


def test_results_are_typed(path: Path) -> None:
    note = load(path, [NOTE]).describe(about="cats")
    assert (note.text, note.mood, note.tags) == ("a cat", "sad", [])
    assert isinstance(note.mood, Enum)


def test_inputs_bind_by_position_and_by_name(path: Path) -> None:
    backend = Scripted([NOTE] * 3)
    program = lmc.load(path, backend=backend, cache=False)
    program.describe("cats", 5)
    program.describe("cats", words=5)
    program.describe("cats")
    asked = [r.messages[-1]["content"] for r in backend.requests]
    assert asked == ["[[about]] cats\n[[words]] 5"] * 2 + ["[[about]] cats\n[[words]] 3"]


def test_a_result_is_an_input_elsewhere(path: Path) -> None:
    program = load(path, [NOTE, "said"])
    assert program.retell(program.describe("cats")) == "said"


def test_plain_values_are_taken_too(path: Path) -> None:
    assert load(path, ["said"]).retell({"text": "a", "mood": "glad"}) == "said"


@pytest.mark.parametrize(
    ("args", "inputs", "message"),
    [
        ((), {}, "missing-input.*`describe` needs an input `about: str`"),
        ((1,), {}, r"invalid-input.*the input `about` does not have the type `str`.*got 1"),
        (
            ("a", 10),
            {},
            r"invalid-input.*`words` does not have the type `int\(1\.\.9\)`.*at most 9, got 10",
        ),
        (("a", 2, 3), {}, "too-many-inputs.*takes 2 inputs, not 3"),
        (("a",), {"about": "b"}, "duplicate-input.*`about` twice"),
        ((), {"abuot": "b"}, "unknown-input.*`abuot`.*did you mean `about`"),
    ],
)
def test_wrong_inputs_are_diagnostics(path: Path, args: Any, inputs: Any, message: str) -> None:
    with pytest.raises(LmcError, match=message):
        load(path, []).describe(*args, **inputs)


def test_modules_are_attributes(path: Path) -> None:
    program = load(path, [])
    assert "agreed" in dir(program)
    assert repr(program.agreed) == "<vote agreed(text: str) -> Mood>"
    assert program.target().graph.name == "constant"
    assert program.target("say").graph.name == "say"
    with pytest.raises(AttributeError, match="no module, pipeline or tool `agred`"):
        program.agred  # noqa: B018
    with pytest.raises(LmcError, match="did you mean `agreed`"):
        program["agred"]


async def test_acall_runs_on_any_loop(path: Path) -> None:
    program = load(path, lambda r: "said")
    assert await asyncio.gather(program.say.acall("a"), program.say.acall(text="b")) == ["said"] * 2


def test_batch_keeps_the_order(path: Path) -> None:
    program = load(path, lambda r: r.messages[-1]["content"][-1].upper())
    assert program.say.batch([{"text": "a"}, "b", {"text": "c"}]) == ["A", "B", "C"]


def fails_on_b(request: Request) -> str:
    if request.messages[-1]["content"].endswith("b"):
        raise ModelFailure("server", "down", retryable=False)
    return "fine"


def test_a_row_that_fails_stops_the_batch_or_stands_in_it(path: Path) -> None:
    program = load(path, fails_on_b)
    with pytest.raises(LmcError, match="down"):
        program.say.batch(["a", "b"])
    first, second = program.say.batch(["a", "b"], return_exceptions=True)
    assert first == "fine"
    assert isinstance(second, LmcError)


def test_prompts_are_shown_without_a_call_and_without_a_key(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path.write_text('model m { name: "openai/x" }\ndefault { model: m }\n' + SOURCE)
    program = lmc.load(path)
    assert program.say.prompt("hi") == [
        {"role": "system", "content": "Say it."},
        {"role": "user", "content": "[[text]] hi"},
    ]
    assert program.moods.prompt(["hi"])[-1]["content"] == "[[text]] hi"
    with pytest.raises(LmcError, match="no-prompt"):
        program.constant.prompt(1)


def test_a_traced_run_has_every_call(path: Path) -> None:
    result, trace = (
        load(path, lambda r: ["glad"] * r.n).target("moods").run_traced({"texts": ["a", "b"]})
    )
    assert result == ["glad", "glad"]
    assert [(call.module, call.sample) for call in trace.calls] == [
        ("label", 0),
        ("label", 1),
        ("label", 2),
    ] * 2


def test_a_trace_is_there_when_the_run_fails(path: Path) -> None:
    trace = Trace()
    with pytest.raises(LmcError, match="call-failed"):
        load(path, ["?", "??"]).label.run_traced({"text": "a"}, trace)
    assert trace.calls[0].raw == ["?", "??"]


def test_models_can_be_replaced(path: Path) -> None:
    program = lmc.load(path, model="scripted/nowhere.json", cache=False)
    with pytest.raises(LmcError, match=r"nowhere\.json"):
        program.say("a")


def test_answers_are_kept_where_the_caller_says(path: Path, tmp_path: Path) -> None:
    asked = []

    def script(request: Request) -> str:
        asked.append(request)
        return "said"

    for _ in range(2):
        program = lmc.load(
            path, backend=Scripted(script, name="kept"), cache=tmp_path / "answers.db"
        )
        assert program.say("a") == "said"
    assert len(asked) == 1


def test_mistakes_in_a_program_are_all_reported(path: Path) -> None:
    path.write_text("generate a(x: strr) -> str\ngenerate b(x: intt) -> str\n")
    with pytest.raises(LmcError) as caught:
        lmc.load(path)
    assert len(caught.value.diagnostics) == 2


def test_files_that_cannot_be_read_are_diagnostics(tmp_path: Path) -> None:
    with pytest.raises(LmcError, match=r"cannot-read.*No such file"):
        lmc.load(tmp_path / "absent.lmp")
    (tmp_path / "latin.lmp").write_bytes(b"\xff\xfe")
    with pytest.raises(LmcError, match=r"cannot-read.*not UTF-8"):
        lmc.load(tmp_path / "latin.lmp")
    with pytest.raises(LmcError, match="cannot-read"):
        lmc.load(tmp_path / "absent.lmpc")


def test_an_artifact_is_loaded_without_its_source(path: Path, tmp_path: Path) -> None:
    from lmc.program.artifact import Artifact, Manifest
    from lmc.runtime.parameters import ModuleParameters, Parameters

    parameters = Parameters({"say": ModuleParameters(instruction="Say it well.")})
    manifest = Manifest(lmc=lmc.__version__, entry="notes.lmp")
    Artifact(manifest, lower_file(path), parameters).write(tmp_path / "notes.lmpc")
    path.unlink()
    program = load(tmp_path / "notes.lmpc", ["said"])
    assert program.say.prompt("a")[0]["content"] == "Say it well."
    assert program.say("a") == "said"


def test_importing_is_light() -> None:
    heavy = ("torch", "transformers", "litellm", "pydantic", "lark", "aiohttp", "asyncio", "jinja2")
    code = f"import lmc, sys; print([m for m in {heavy} if m in sys.modules]); print(dir(lmc))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[]\n")
    assert "load" in done.stdout
    with pytest.raises(AttributeError, match="no attribute `laod`"):
        lmc.laod  # type: ignore[attr-defined]  # noqa: B018
