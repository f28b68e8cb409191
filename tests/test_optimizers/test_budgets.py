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
PROMPTERS = sorted(set(BY_NAME) - TRAINERS)


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

    Path("it.lmp").write_text(PROGRAM)
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
    Path("it.lmp").write_text('generate main(text: str) -> str { """Label.""" max_tokens: 4 }')
    result = lmc.compile(
        "it.lmp", data=rows(120), metric="accuracy", optimizer=f"{optimizer}()", model="lmc/tiny",
        cache=False, budget={"calls": calls},
    )  # fmt: skip
    assert result.used.calls <= calls
    assert not result.improved
