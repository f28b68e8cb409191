"""Retrieved demonstrations, from the race to the artifact."""

import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.scripted import Scripted

PROGRAM = 'generate main(text: str) -> str { """The label of the town.""" }'
TOWNS = {f"town{i}": f"L{i}" for i in range(12)}
ROWS = [
    {"text": f"visit {phrase}{town[4:]}00 to {town} today", "label": label}
    for phrase in range(15)
    for town, label in TOWNS.items()
]


def knows_what_it_is_shown(request: Any) -> list[str]:
    """Right where the same town stands in a demonstration, which no fixed few can do for all."""
    *_, last = request.messages
    turns = [m["content"] for m in request.messages[1:-1]]
    shown = {re.search(r"town\d+", q)[0]: a for q, a in zip(turns[::2], turns[1::2])}  # type: ignore[index]
    town = re.search(r"town\d+", last["content"])[0]  # type: ignore[index]
    return [shown.get(town, "unknown") for _ in range(request.n)]


def test_each_input_gets_its_own_demonstrations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(PROGRAM)
    backend = Scripted(knows_what_it_is_shown, name="towns")
    options: dict[str, Any] = {"data": ROWS, "metric": "accuracy", "backend": backend}
    few = lmc.compile("it.lmp", optimizer="labeled(demos=4)", cache=False, **options)
    result = lmc.compile("it.lmp", optimizer="knn(pool=200)", cache=False, out="it.lmpc", **options)
    assert result.test is not None
    assert few.test is not None
    assert result.test.after.mean > few.test.after.mean + 0.5
    module = result.artifact.parameters.modules["main"]
    assert module.nearest is not None
    assert len(module.demos or ()) > 20
    program = lmc.load("it.lmpc", backend=backend, cache=False)
    assert program.main(text="We saw town7 today") == "L7"
