"""Retrieved demonstrations, from the race to the artifact."""

import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.models.base import Answer, Capabilities
from lmc.models.embedding import encoded
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


class Meaning:
    """An embedding model that knows which words mean the same: numbers equal modulo 12."""

    endpoint, capabilities, price = "meaning", Capabilities(), None

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def generate(self, request: Any) -> list[Answer]:
        text = request.messages[0]["content"]
        self.texts.append(text)
        return [Answer(encoded([2.0 * (int(text[4:]) % 12 == i) for i in range(12)]), 3)]

    async def close(self) -> None:
        pass


def same_meaning(request: Any) -> list[str]:
    """Right where a word of the same meaning stands in a demonstration."""
    *asked, last = (int(m["content"].split("word")[1]) % 12 for m in request.messages[1::2])
    answers = [m["content"] for m in request.messages[2::2]]
    return [dict(zip(asked, answers)).get(last, "unknown") for _ in range(request.n)]


def test_an_embedding_model_finds_what_words_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(PROGRAM)
    meaning = Meaning()
    backends = {"*": Scripted(same_meaning, name="words"), "embed/x": meaning}
    rows = [{"text": f"word{i}", "label": f"L{i % 12}"} for i in range(180)]
    options: dict[str, Any] = {"data": rows, "metric": "accuracy", "backend": backends}
    knn = 'knn(demos=2, pool=200, embedder="embed/x")'
    result = lmc.compile("it.lmp", optimizer=knn, cache=False, out="it.lmpc", **options)
    assert result.test is not None
    assert result.test.after.mean == 1.0
    assert result.artifact.parameters.modules["main"].embedder == "embed/x"
    meaning.texts.clear()
    program = lmc.load("it.lmpc", backend=backends, cache=False)
    assert [program.main(text=f"word{n}") for n in (1007, 1003)] == ["L11", "L7"]
    assert meaning.texts.count("word1007") == 1
    assert len(meaning.texts) == len(set(meaning.texts))  # each demonstration is asked for once


@pytest.mark.parametrize("here", [True, False])
def test_vectors_that_are_computed_here_leave_the_budget_to_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(PROGRAM)
    meaning = Meaning()
    meaning.capabilities = Capabilities(local=here, embeds=True)  # type: ignore[misc]
    backends = {"*": Scripted(same_meaning, name="words"), "embed/x": meaning}
    rows = [{"text": f"word{i}", "label": f"L{i % 12}"} for i in range(400)]
    knn = 'knn(demos=2, pool=200, embedder="embed/x")'
    result = lmc.compile(
        "it.lmp", optimizer=knn, cache=False, data=rows, metric="accuracy", backend=backends,
        budget={"calls": 700},
    )  # fmt: skip
    asked = len(backends["*"].requests)  # type: ignore[attr-defined]
    if here:
        assert result.used.calls - result.used.cached_calls == asked
        assert result.test is not None
        assert result.test.after.mean == 1.0
    else:
        assert result.used.calls > asked


def test_a_model_that_gives_no_embeddings_is_refused_before_anything_is_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.lmp").write_text(PROGRAM)
    backend = Scripted(same_meaning, name="words")
    with pytest.raises(lmc.LmcError, match="write `embed/openai/x`"):
        lmc.compile(
            "it.lmp", optimizer='knn(embedder="openai/x")', data=ROWS, metric="accuracy",
            backend=backend, cache=False,
        )  # fmt: skip
    assert not backend.requests
