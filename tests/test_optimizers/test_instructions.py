"""Searches for instructions on landscapes, where what each prompt is worth is known."""

from pathlib import Path
from typing import Any

import pytest

import lmc
from bench.landscapes import PROGRAM, Landscape, item_of, reply, rows, words_of
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.result import CompileResult
from lmc.optimizers.events import CandidateScored

TEXTS = [row["text"] for row in rows(200)]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def improve(optimizer: str, seed: int = 0, answer: Any = None, **options: Any) -> CompileResult:
    Path("it.lmp").write_text(options.pop("text", PROGRAM))
    backend = Scripted(answer or reply(Landscape(seed)), name=f"landscape {seed}")
    return lmc.compile(
        "it.lmp", data=rows(200), metric="accuracy", optimizer=optimizer, backend=backend,
        cache=False, **options,
    )  # fmt: skip


def worth(result: CompileResult, seed: int) -> float:
    """What the chosen prompt is really worth."""
    module = result.artifact.parameters.modules["main"]
    shown = len(module.demos or ())
    return Landscape(seed).accuracy(words_of(module.instruction or ""), shown, TEXTS)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("optimizer", ["instructions()", "reflect()"])
def test_a_much_better_prompt_is_found(optimizer: str, seed: int) -> None:
    result = improve(optimizer, seed)
    assert result.improved
    assert worth(result, seed) > Landscape(seed).accuracy(set(), 0, TEXTS) + 0.3


@pytest.mark.parametrize("optimizer", ["instructions(trials=12)", "reflect(rounds=3)"])
def test_the_seed_decides_and_a_second_run_asks_nothing(optimizer: str) -> None:
    asked: list[int] = []
    answer = reply(Landscape(0))

    def counted(request: Any) -> Any:
        asked.append(1)
        return answer(request)

    first = improve(optimizer, answer=counted)
    count = len(asked)
    again = improve(optimizer, answer=counted)
    assert len(asked) == count
    assert again.artifact.parameters == first.artifact.parameters
    other = improve(optimizer, answer=counted, run_dir="other")
    assert other.artifact.parameters == first.artifact.parameters


@pytest.mark.parametrize("calls", [1, 10, 100, 300])
@pytest.mark.parametrize("optimizer", ["instructions()", "reflect()"])
def test_the_budget_is_never_passed(optimizer: str, calls: int) -> None:
    result = improve(optimizer, budget={"calls": calls})
    assert result.used.calls <= calls


def test_frozen_instructions_are_left_alone() -> None:
    text = PROGRAM.replace('"""Give the label', 'frozen """Give the label')
    for optimizer in ("instructions(trials=6)", "reflect(rounds=2)"):
        modules = improve(optimizer, text=text).artifact.parameters.modules
        assert all(module.instruction is None for module in modules.values())


def test_lineages_are_merged() -> None:
    """Two modules, each with an instruction of its own to find."""
    text = '''
generate first(text: str) -> str { """Say it.""" }
generate second(text: str, said: str) -> str { """Give the label.""" }
pipeline main(text: str) -> str {
  let said = first(text)
  return second(text, said)
}
'''
    seen: list[CandidateScored] = []
    landscape = Landscape(3)
    plain = reply(landscape)

    def both(request: Any) -> list[str]:
        """The first module repeats its instruction, so that it counts for the second."""
        system, last = request.messages[0]["content"], request.messages[-1]["content"]
        if "instruction alone" in system:
            return list(plain(request))
        if "[[said]]" not in last:
            return [" ".join(sorted(words_of(system))) or "nothing" for _ in range(request.n)]
        item = item_of(last)
        return [landscape.answer(system + last, [], item, i) for i in range(request.n)]

    def note(event: Any) -> None:
        if isinstance(event, CandidateScored):
            seen.append(event)

    result = improve(
        "reflect(rounds=12, width=4)", 3, both, text=text, progress=note, target="main"
    )
    merged = [e for e in seen if e.name.startswith("merge.")]
    assert merged
    assert set(merged[0].parameters.modules) == {"first", "second"}
    assert result.used.calls > 0
