"""Live training: steps in the engine, whose weights answer at once, and that survive a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import lmc
from lmc.diagnostics import LmcError
from lmc.models.adapters import Adapter, AdapterStore, adapter_store
from lmc.models.base import Request, Sampling
from lmc.models.engine.decoding import Engine
from lmc.models.transformers_local import Transformers
from lmc.traces.store import Filter, TraceStore
from lmc.training.live import train_live
from lmc.training.lora import LoraSettings, TrainingJob, TrainingStopped
from lmc.training.losses import LossSettings
from lmc.training.rows import ScoredRow
from tests.learners import save_learner
from tests.test_models.tiny_llama import save_tiny_llama

WORDS = ("red", "blue", "pink", "green")
SETTINGS = LoraSettings(rank=4, rate=0.01)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))


def turn(word: str) -> dict[str, Any]:
    return {"role": "user", "content": word}


def job_of(base: Path, number: int, start: Adapter | None, after: str) -> TrainingJob:
    rows = tuple(
        ScoredRow((turn(f"{word} {number}"),), answer, float(answer == "warm"), 0.5)
        for word in WORDS
        for answer in ("warm", "cold")
    )
    loss = LossSettings("pg")
    return TrainingJob(str(base), "b", rows, SETTINGS, start=start, loss=loss, after=after)


def _made(
    engine: Engine, job: TrainingJob, folder: Path, store: AdapterStore, *, stop: bool = False
) -> Adapter:
    return train_live(engine, job, folder, store, lambda _: None, lambda: stop)


async def steps(
    backend: Transformers, base: Path, count: int, folder: Path, store: AdapterStore
) -> list[Adapter]:
    """Make steps that go on from each other."""
    made: list[Adapter] = []
    key = ""
    for number in range(count):
        job = job_of(base, number, made[-1] if made else None, key)

        step = partial(_made, job=job, folder=folder, store=store)
        made.append(await backend.with_engine(step))
        key = job.key
    return made


async def asked(backend: Transformers, adapter: str | None) -> list[tuple[float, ...]]:
    sampling = Sampling(temperature=0.0, max_tokens=4)
    request = Request("", (turn("red 0"),), sampling, adapter=adapter, logprobs=True)
    return [answer.logprobs or () for answer in await backend.generate(request)]


async def test_new_weights_answer_without_being_read_from_disk(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    read: list[str] = []
    from lmc.models.engine import lora_switch

    whole = lora_switch.plain_adapter
    monkeypatch.setattr(lora_switch, "plain_adapter", lambda id: read.append(id) or whole(id))
    backend, other = Transformers(str(base)), Transformers(str(base), identity="another engine")
    try:
        before = await asked(backend, None)
        weights = await backend.with_engine(
            lambda e: [p.data_ptr() for p in e.lora.model.parameters()]
        )
        made = await steps(backend, base, 3, tmp_path / "jobs", adapter_store())
        after = await asked(backend, made[-1].id)
        assert read == []
        assert after != before
        assert await asked(backend, None) == before  # the model itself is as it was
        loaded = await asked(other, made[-1].id)
        assert read == [made[-1].id]
        assert loaded[0] == pytest.approx(after[0], abs=1e-4)
        assert await asked(backend, made[0].id) != after  # older weights come from disk again
        assert read == [made[-1].id, made[0].id]
        now = await backend.with_engine(lambda e: {p.data_ptr() for p in e.lora.model.parameters()})
        assert set(weights) <= now  # one copy of the model, which both use
    finally:
        await backend.close()
        await other.close()


async def test_a_step_learns_and_requests_that_come_meanwhile_wait(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    backend = Transformers(str(base))
    try:
        training = asyncio.ensure_future(
            steps(backend, base, 12, tmp_path / "jobs", adapter_store())
        )
        answers = await asyncio.gather(*(asked(backend, None) for _ in range(20)))
        assert all(answer == answers[0] for answer in answers)
        made = await training

        def worth(adapter: str | None) -> Callable[[Engine], float]:
            def measure(engine: Engine) -> float:
                import torch

                from lmc.training.encoding import encode_rows
                from lmc.training.packing import Costs
                from lmc.training.steps import reference_logps

                rows = [ScoredRow((turn("red 0"),), text, 1.0) for text in ("warm", "cold")]
                examples = encode_rows(engine.tokenizer, rows, 64)
                engine.lora.options([adapter])
                with torch.no_grad():
                    found = reference_logps(engine.lora.model, examples, Costs(share=False), 0)
                warm, cold = (sum(e.reference[0]) for e in found)
                return warm - cold

            return measure

        gain = await backend.with_engine(worth(made[-1].id)) - await backend.with_engine(
            worth(None)
        )
        assert gain > 1.0
    finally:
        await backend.close()


async def test_steps_that_were_made_are_recalled_and_the_optimizer_goes_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    whole, cut = AdapterStore(tmp_path / "whole"), AdapterStore(tmp_path / "cut")
    for number, (count, store) in enumerate([(5, whole), (3, cut), (5, cut)]):
        backend = Transformers(str(base), identity=f"engine {number}")  # each loads anew
        try:
            folder = tmp_path / f"jobs of {store.root.name}"
            made = await steps(backend, base, count, folder, store)
            if number == 0:
                expected = [one.id for one in made]
            else:
                assert [one.id for one in made] == expected[:count]
        finally:
            await backend.close()
    left = [path.name for path in (tmp_path / "jobs of cut").iterdir()]
    assert len(left) == 1  # of each chain, the optimizer of the last step only
    lost = AdapterStore(tmp_path / "lost")
    backend = Transformers(str(base), identity="an engine whose optimizer is lost")
    try:
        await steps(backend, base, 3, tmp_path / "jobs of lost", lost)
    finally:
        await backend.close()
    for path in (tmp_path / "jobs of lost").glob("*/*"):
        path.unlink()
    backend = Transformers(str(base), identity="another such engine")
    try:
        made = await steps(backend, base, 4, tmp_path / "jobs of lost", lost)
        assert made[3].id != expected[3]  # so the moments matter
    finally:
        await backend.close()


async def test_a_stopped_step_leaves_the_chain_as_it_was(base: Path, tmp_path: Path) -> None:
    backend, store = Transformers(str(base)), AdapterStore(tmp_path / "store")
    try:
        job = job_of(base, 0, None, "")
        step = partial(_made, job=job, folder=tmp_path, store=store)
        with pytest.raises(TrainingStopped):
            await backend.with_engine(partial(step, stop=True))
        assert store.recall(job.key) is None
        await backend.with_engine(step)
        empty = replace(job, rows=())
        nothing = partial(_made, job=empty, folder=tmp_path, store=store)
        with pytest.raises(LmcError, match="no-training-rows"):
            await backend.with_engine(nothing)
    finally:
        await backend.close()


# --- the whole recipe ---

PROGRAM = 'generate main(text: str) -> str { """Warm?""" temperature: 1.0 max_tokens: 3 }\n'
RIGHT = {"red": "W", "sun": "W", "fox": "W", "ice": "C", "sea": "C", "fog": "C"}
STEP = "grpo(samples=4, step_rows=8, rate=0.01, rank=8)"


def rows() -> list[dict[str, str]]:
    return [{"text": f"{w} {i}", "label": RIGHT[w]} for i in range(22) for w in RIGHT]


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("learner")
    (folder / "it.lmp").write_text(PROGRAM)
    asked = [("main", {"text": row["text"]}) for row in rows()]

    def says(_: str, inputs: dict[str, str]) -> dict[str, float]:
        label = RIGHT[inputs["text"].split()[0]]
        return {label: 0.7, {"W": "C", "C": "W"}[label]: 0.3}

    save_learner(folder / "model", folder / "it.lmp", "main", asked, says, steps=80)
    return folder


def compiled(learner: Path, **more: Any) -> lmc.CompileResult:
    return lmc.compile(
        learner / "it.lmp", metric="accuracy", data=rows(), optimizer=STEP,
        model=f"hf/{learner / 'model'}", cache=False, accept="better", out="it.lmpc", **more,
    )  # fmt: skip


def test_samples_and_steps_alternate_and_raise_the_score_on_rows_unseen(
    learner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    result = compiled(learner)
    assert result.test is not None
    assert result.test.difference.mean >= 0.1, result.summary()
    runs = [run for run in TraceStore().runs(Filter(job=result.job)) if run.training]
    weights = {call.adapter for run in runs for call in run.trace.calls}
    assert len(weights) >= 4  # the steps sampled from their own weights, each few rows
    by_weights = {w: {r.row for r in runs if r.trace.calls[0].adapter == w} for w in weights}
    assert all(len(ids) <= 16 for ids in by_weights.values())
    assert any("steps; samples scored" in note for note in result.notes)


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ('train(loss="sft", step_rows=8)', "bad-option"),
        ('train(loss="pg", step_rows=8, momentum=0.5)', "bad-option"),
        ('train(loss="pg", step_rows=8, quantize="nf4")', "bad-option"),
    ],
)
def test_what_cannot_go_step_by_step_is_refused(
    step: str, code: str, learner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LmcError, match=code):
        lmc.compile(
            learner / "it.lmp", metric="accuracy", data=rows(), optimizer=step,
            model=f"hf/{learner / 'model'}", cache=False,
        )  # fmt: skip


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from lmc.models.engine.decoding import Engine
from tests.test_training.test_live import compiled

whole = Engine.admit
def counted(engine, job):
    with open("asked", "a") as file:
        file.write("x" * job.request.n)
    whole(engine, job)
Engine.admit = counted
print(compiled(Path(sys.argv[1])).artifact.parameters.modules["main"].adapter)
"""


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_with_the_same_weights_and_asks_nothing_twice(
    learner: Path, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]

    def start(place: Path) -> subprocess.Popen[str]:
        place.mkdir(exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(learner), str(root)], cwd=place, text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "LMC_CACHE_DIR": str(place / "cache")},
        )  # fmt: skip

    undisturbed = start(tmp_path / "whole")
    expected, _ = undisturbed.communicate(timeout=300)
    place = tmp_path / "killed"
    running = start(place)
    try:
        while len(list((place / "cache").glob("adapters/*.trained"))) < 3:
            assert running.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
    finally:
        running.send_signal(signal.SIGKILL)
        running.communicate()
    made = len(list((place / "cache").glob("adapters/*.trained")))
    again = start(place)
    found, _ = again.communicate(timeout=300)
    assert again.returncode == 0
    assert found == expected
    assert found.strip() not in ("", "None")
    assert made < len(list((place / "cache").glob("adapters/*.trained")))
    twice, once = ((folder / "asked").stat().st_size for folder in (place, tmp_path / "whole"))
    assert once <= twice <= once + 32  # of the step that was killed, at most
