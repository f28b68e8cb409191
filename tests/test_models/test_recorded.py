import os
from dataclasses import replace

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, ModelFailure, Request, Sampling
from lmc.models.recorded import Recorded
from lmc.models.registry import open_backend
from lmc.models.scripted import Scripted

ANSWER = Answer("ä nswer", 3, 4, 0.5, "length", (-0.5, -1.0))


def ask_for(text="q", **more):
    return Request("m", ({"role": "user", "content": text},), **more)


async def test_what_is_recorded_once_is_replayed(tmp_path):
    inner = Scripted([ANSWER, "second", "third"])
    recorder = Recorded(tmp_path / "r.jsonl", inner)
    first = await recorder.generate(ask_for(n=2))
    assert await recorder.generate(ask_for(n=3)) == [*first, Answer("third", 1, 1)]
    assert len(inner.requests) == 3
    replay = Recorded(tmp_path / "r.jsonl")
    assert (await replay.generate(ask_for(n=2)))[0] == ANSWER
    assert (await replay.generate(ask_for(index=2)))[0].text == "third"
    assert (await replay.generate(ask_for(timeout_s=3.0)))[0] == ANSWER
    assert (await replay.generate(ask_for(grammar='start: "a"')))[0] == ANSWER


async def test_a_miss_shows_where_the_nearest_prompt_differs(tmp_path):
    path = tmp_path / "r.jsonl"
    recorder = Recorded(path, Scripted(lambda r: "a"))
    await recorder.generate(ask_for("What is the capital of France?"))
    await recorder.generate(ask_for("Something else altogether"))
    with pytest.raises(ModelFailure) as failure:
        await Recorded(path).generate(ask_for("What is the capital of Spain?"))
    assert failure.value.kind == "replay_miss" and not failure.value.retryable
    assert "capital of France?" in failure.value.hint and "Spain" in failure.value.message
    other = ask_for("What is the capital of France?", sampling=Sampling(seed=1))
    with pytest.raises(ModelFailure) as failure:
        await Recorded(path).generate(other)
    assert "other sampling" in failure.value.hint


@pytest.mark.parametrize(
    "other",
    [ask_for(index=1), ask_for(schema={}), ask_for(adapter="a"), replace(ask_for(), model="n")],
)
async def test_equal_requests_only(tmp_path, other):
    path = tmp_path / "r.jsonl"
    await Recorded(path, Scripted(lambda r: "a")).generate(ask_for())
    with pytest.raises(ModelFailure):
        await Recorded(path).generate(other)


async def test_what_a_model_said_is_replayed_by_the_name_of_the_file(tmp_path):
    """Whichever model said it, and whatever that one could do."""
    said = Scripted(lambda request: f"{request.model}: {request.index}")
    recorder = Recorded(tmp_path / "r.jsonl", said, "mine/it")
    schema = {"type": "object"}
    answers = await recorder.generate(ask_for(schema=schema, n=2))
    replay, model = open_backend("recorded/r.jsonl", {"base_dir": tmp_path})
    assert model == "r.jsonl"
    assert [a.text for a in await replay.generate(ask_for(n=2))] == [a.text for a in answers]
    with pytest.raises(ModelFailure):
        await replay.generate(ask_for("What is the capital of Spain?"))


def test_broken_lines_are_diagnostics(tmp_path):
    (tmp_path / "r.jsonl").write_text('\n{"request": "x"}\n')
    with pytest.raises(LmcError, match=r"r\.jsonl:2 is not a recorded answer"):
        Recorded(tmp_path / "r.jsonl").open()


async def test_half_a_pair_of_surrogates_is_recorded_and_replayed(tmp_path):
    path, text = tmp_path / "r.jsonl", "half an emoji \ud83d, ä and 日"
    await Recorded(path, Scripted([Answer(text, 1, 1)])).generate(ask_for())
    assert "ä and 日" in path.read_text("utf-8")
    (answer,) = await Recorded(path).generate(ask_for())
    assert answer.text == text


async def test_a_prompt_may_hold_any_end_of_a_line(tmp_path):
    path, text = tmp_path / "r.jsonl", "a\u2028b\u2029c\x85d\ne\rf\x0cg"
    await Recorded(path, Scripted([text])).generate(ask_for(text))
    (answer,) = await Recorded(path).generate(ask_for(text))
    assert answer.text == text


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"request": "\xff"}',
        b'{"request": 1, "prompt": "p", "answer": {"text": "a"}}',
        b'{"request": "1", "prompt": 2, "answer": {"text": "a"}}',
        b'{"request": "1", "prompt": "p", "anyone": [], "answer": {"text": "a"}}',
    ],
)
def test_what_is_no_recording_is_a_diagnostic(tmp_path, data):
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    with pytest.raises(LmcError, match=r"r\.jsonl") as failure:
        Recorded(path).open()
    assert failure.value.code == "recording-invalid"


def test_a_recording_is_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(LmcError, match="cannot read the recording"):
            Recorded(tmp_path / name, Scripted([])).open()
