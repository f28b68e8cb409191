"""Every optimizer keeps within its calls, as the one who answers counts them."""

from pathlib import Path
from typing import Any

import pytest

import lmc
from bench.landscapes import Landscape, reply, rows
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.catalog import BY_NAME

PROGRAM = '''
generate guess(text: str) -> str { """Give the label of the text.""" temperature: tune[0.0, 0.7] }
vote main(text: str) -> str { sample: guess(text), n: tune[1, 3] }
'''
# Optimizers of weights are those with a rank.
TRAINERS = {name for name, entry in BY_NAME.items() if "rank" in entry.signature.options}
TRAINERS.remove("route_adapters")  # it needs artifacts that were trained before
# What only certain programs can do: fill stores, train critiques, propose rows.
KEEPS = (
    PROGRAM.replace("vote main", "vote best")
    + """
store seen: Seen { keep: 20 }
record Seen { text: str }
pipeline main(text: str) -> str {
  let label = best(text)
  keep Seen(text=text) in seen
  return label
}
"""
)
LEARNER = 'generate main(text: str) -> str { """Label.""" max_tokens: 4 }'
REFINES = '''
critique judge(text: str, draft: str) -> Verdict {
  """Is the label right?"""
  subject: draft
  max_tokens: 20
}
generate guess(text: str) -> str { """Label.""" max_tokens: 4 }
refine main(text: str) -> str {
  """Label."""
  draft: guess(text)
  check: judge(text, draft)
  until: check.ok
}
'''
PROPOSES = (
    LEARNER
    + '''
record Row { text: str, label: str }
record Seed { word: str }
generate invent(word: str) -> Row { """Make a row.""" max_tokens: 20 }
dataset seeds: Seed { source: "seeds.jsonl" }
dataset made: Row { from: invent(word), over: seeds, n: 4 }
'''
)
STEPS = {"self_play": 'self_play(rows="made")', "gkd": 'gkd(teacher="lmc/tiny")'}
TAUGHT = {"critic": REFINES, "self_play": PROPOSES}
PROMPTERS = sorted(set(BY_NAME) - TRAINERS - {"route_adapters"})


@pytest.mark.parametrize("calls", [1, 10, 100, 1000])
@pytest.mark.parametrize("optimizer", PROMPTERS)
def test_no_optimizer_passes_its_budget(
    optimizer: str, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[int] = []
    answer = reply(Landscape(1))

    def counted(request: Any) -> Any:
        asked.append(request.n)
        return answer(request)

    Path("it.lmp").write_text(KEEPS if optimizer == "remember" else PROGRAM)
    result = lmc.compile(
        "it.lmp", target="main", data=rows(160), metric="accuracy", optimizer=f"{optimizer}()",
        backend=Scripted(counted, name="counted"), cache=False, budget={"calls": calls},
        out="it.lmpc",
    )  # fmt: skip
    assert sum(asked) <= calls
    assert Path("it.lmpc").exists()
    if calls <= 10:
        assert not result.improved
        assert any("too small" in note for note in result.notes)
        assert "the artifact is the program as written" in result.summary()


@pytest.mark.parametrize("calls", [1, 10])
@pytest.mark.parametrize("optimizer", sorted(TRAINERS))
def test_no_trainer_passes_its_budget(
    optimizer: str, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(TAUGHT.get(optimizer, LEARNER))
    Path("seeds.jsonl").write_text('{"word": "one"}\n')
    result = lmc.compile(
        "it.lmp", target="main", data=rows(120), metric="accuracy",
        optimizer=STEPS.get(optimizer, f"{optimizer}()"), model="lmc/tiny", cache=False,
        budget={"calls": calls},
    )  # fmt: skip
    assert result.used.calls <= calls
    assert not result.improved
