"""Runs on workers: the same results, budgets and answers paid once, whatever happens to workers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.cluster import checkpoints
from lmc.cluster.crew import MOST_TRIES, Crew
from lmc.cluster.far import FarBackend
from lmc.cluster.worker import RowWorker
from lmc.diagnostics import LmcError
from lmc.program.program import Program, load
from lmc.tasks.loop import event_loop, run_sync
from tests.far_workers import FarModel, Loopback, loopback_crew

PROGRAM = """
model m { name: "far/m", retry: {max: 2, backoff: 0.01}, concurrency: LIMIT }
default { model: m }
generate answer(question: str) -> str { \"\"\"Answer.\"\"\" }
generate judge(question: str, draft: str) -> str { \"\"\"Judge.\"\"\" }
pipeline main(question: str) -> str {
  let draft = answer(question)
  return judge(question, draft)
}
"""


@pytest.fixture
def crew(folder: Path) -> Iterator[tuple[Crew, list[Loopback]]]:
    crew, started = loopback_crew(3, silence_s=1.0)
    yield crew, started
    run_sync(crew.close())


@pytest.fixture(params=[64, 1024], ids=["asked", "leased"])
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The driver is asked for each call, or leases: all must hold both ways."""
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "p.lmp").write_text(PROGRAM.replace("LIMIT", str(request.param)))
    return tmp_path


def opened(folder: Path, crew: Crew | None, **options: Any) -> Program:
    program = load(folder / "p.lmp", **options)
    if crew is not None:
        program.__dict__["crew"] = crew
    return program


def rows(count: int = 40) -> list[dict[str, Any]]:
    made = [{"question": f"question {'x' * (i % 9)} {i}", "answer": "80"} for i in range(count)]
    made[7]["question"] = "this one fails"
    return made


def measured(program: Program, count: int = 40, **options: Any) -> list[bytes]:
    found = lmc.evaluate(program, rows(count), "accuracy", **options)
    return [row.line() for row in found.results]


def test_results_are_those_of_one_process(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    here = measured(opened(folder, None, cache=False))
    asked, model.asked = model.asked, Counter()
    there = measured(opened(folder, crew[0], cache=False))
    assert there == here and model.asked == asked
    assert all(way.worker.link._number for way in crew[1])  # each of them had something to do


def test_traces_come_back(folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]) -> None:
    question = {"question": "why"}
    _, here = opened(folder, None, cache=False).main.run_traced(question)
    _, there = opened(folder, crew[0], cache=False).main.run_traced(question)
    for trace in (here, there):
        for call in trace.calls:
            call.latency_ms = 0.0
    assert here.calls == there.calls and here.regions == there.regions
    assert [call.module for call in there.calls] == ["answer", "judge"]


def test_a_budget_is_never_passed(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    program = opened(folder, crew[0], cache=False)
    with pytest.raises(LmcError, match="budget of 31 calls"):
        measured(program, budget={"calls": 31})
    assert sum(model.asked.values()) <= 31
    assert len(measured(program, 10, budget={"calls": 20})) == 10  # just enough


def test_a_worker_that_dies_loses_nothing(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    here = measured(opened(folder, None, cache=False))
    model.asked.clear()
    kills = iter((20, 45))
    at = next(kills)

    def wait(prompt: str) -> Any:
        nonlocal at
        if sum(model.asked.values()) == at:
            at = next(kills, -1)
            return asyncio.ensure_future(crew[1][-1].kill())
        return asyncio.sleep(0.01)

    model.wait = wait
    assert measured(opened(folder, crew[0])) == here
    assert crew[0].lost == 2
    while len(crew[1]) < 5:  # who did nothing before it was lost is replaced after a pause
        run_sync(asyncio.sleep(0.02))
    again = sum(model.asked.values()) - len(model.asked)
    assert 0 < again <= 2 * 40  # what was in flight; the cache had everything else


def test_a_worker_that_is_cut_off_is_replaced(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    here = measured(opened(folder, None, cache=False))
    model.asked.clear()

    def wait(prompt: str) -> Any:
        if sum(model.asked.values()) == 30:
            crew[1][0].stopped = True
        return asyncio.sleep(0.01)

    model.wait = wait
    assert measured(opened(folder, crew[0])) == here
    assert crew[0].lost == 1
    before = sum(model.asked.values())
    crew[1][0].stopped = False  # it is back, but it was told to end
    run_sync(asyncio.sleep(0.05))
    assert sum(model.asked.values()) == before


def test_a_row_that_kills_workers_fails_alone(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    def wait(prompt: str) -> Any:
        if "question x 1" in prompt:
            way = next(w for w in crew[1] if w.worker.link._serving and not w._gone.is_set())
            return asyncio.ensure_future(way.kill())
        return None

    model.wait = wait
    given = [{"question": "question x 1", "answer": "a"}]
    program = opened(folder, crew[0], cache=False)
    found = lmc.evaluate(program, given, "accuracy")
    assert found.results[0].failed == "infrastructure"
    assert f"{MOST_TRIES} workers were lost" in str(found.results[0].error)
    model.wait = None
    assert len(measured(program)) == 40  # the others took their places


def test_equal_questions_are_asked_once(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]]
) -> None:
    model.wait = lambda prompt: asyncio.sleep(0.02)
    given = [{"question": "the same", "answer": str(i)} for i in range(20)]
    lmc.evaluate(opened(folder, crew[0]), given, "accuracy")
    assert sum(model.asked.values()) == 2


def test_a_backend_of_the_caller_stays_with_him(
    folder: Path, crew: tuple[Crew, list[Loopback]]
) -> None:
    from lmc.models.scripted import Scripted

    mine = Scripted(lambda request: "mine")
    program = opened(folder, crew[0], cache=False, backend=mine)
    assert program.main(question="whose?") == "mine"
    assert len(mine.requests) == 2 and crew[1]


def test_keys_go_to_workers(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]], monkeypatch: Any
) -> None:
    from lmc.cluster.far import environment

    monkeypatch.setenv("OPENAI_API_KEY", "key-of-openai")
    monkeypatch.setenv("MINE", "key-of-mine")
    monkeypatch.setenv("GROQ_API_KEY", "key-of-groq")
    found = environment(["openai/gpt"], {"api_key_env": "MINE"}, {})
    assert found == {"OPENAI_API_KEY": "key-of-openai", "MINE": "key-of-mine"}


def test_a_compilation_ends_the_same(
    folder: Path, model: FarModel, crew: tuple[Crew, list[Loopback]], monkeypatch: Any
) -> None:
    monkeypatch.chdir(folder)
    data = [{"question": f"q {'x' * (i % 9)} {i}", "answer": str(i % 3)} for i in range(40)]
    made = []
    for name, used in (("here", None), ("there", crew[0])):
        program = opened(folder, used, cache=False)
        more: dict[str, Any] = {"out": f"{name}.lmpc", "run_dir": folder / name}
        steps = "bootstrap(candidates=2, rounds=1)"
        lmc.compile(program, data=data, metric="accuracy", optimizer=steps, accept="better", **more)
        made.append((folder / f"{name}.lmpc").read_bytes())
    assert made[0] == made[1]
    assert crew[1] and json.loads((folder / "there" / "run.json").read_text())


def test_a_training_goes_to_a_worker(
    folder: Path, crew: tuple[Crew, list[Loopback]], monkeypatch: Any
) -> None:
    from lmc.cluster.far import opening
    from lmc.models.adapters import FILES, Adapter, AdapterStore
    from lmc.training.lora import TrainingJob, TrainingProgress

    seen: list[TrainingJob] = []

    def train(
        job: TrainingJob, place: Path, store: AdapterStore, report: Any, stop: Any
    ) -> Adapter:
        seen.append(job)
        report(TrainingProgress(1, 1, 0.5, 10.0, 0.0))
        return store.add_files(dict.fromkeys(FILES, b"weights"))

    monkeypatch.setattr("lmc.training.lora.train_adapter", train)
    backend, _ = opening(crew[0])("lmc/tiny", {})
    assert isinstance(backend, FarBackend)
    told: list[TrainingProgress] = []
    job = TrainingJob("a folder of the driver only", "base", ())
    made = run_sync(backend.train_elsewhere(job, folder / "far", told.append))
    assert made.files() == dict.fromkeys(FILES, b"weights")
    assert seen[0].source == backend.source and seen[0].key == job.key
    run_sync(asyncio.sleep(0.1))
    assert [now.loss for now in told] == [0.5]
    assert run_sync(backend.train_elsewhere(job, folder / "far", told.append)) == made
    assert len(seen) == 1  # it is known now


def test_a_checkpoint_replaces_older_ones_if_it_can_be_read(tmp_path: Path) -> None:
    good, broken = {"trainer_state.json": b"{}"}, {"trainer_state.json": b"{"}
    for step, files in ((5, good), (15, good), (10, good), (20, broken)):
        checkpoints.write(tmp_path, f"checkpoint-{step}", files)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["checkpoint-10", "checkpoint-15", "checkpoint-20"]
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.name == "checkpoint-15"


@pytest.mark.parametrize(
    ("name", "file", "size"),
    [
        ("checkpoint-1/../x", "weights", 1), ("other", "weights", 1),
        ("checkpoint-1", "../weights", 1), ("checkpoint-1", ".weights", 1),
        ("checkpoint-1", "weights", checkpoints.MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_strange_and_large_checkpoints_are_refused(
    tmp_path: Path, name: str, file: str, size: int
) -> None:
    with pytest.raises(ValueError, match=r"checkpoint|other"):
        checkpoints.write(tmp_path, name, {file: bytes(size)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("own", [None, 5])
def test_a_training_goes_on_from_the_checkpoint_of_a_lost_worker(
    own: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers share no folder with the driver, nor with each other.

    `own`: an older checkpoint that the second machine has.
    """
    from lmc.cluster.far import opening
    from lmc.models.adapters import FILES, Adapter, AdapterStore
    from lmc.training.lora import TrainingJob, TrainingProgress, last_checkpoint

    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    crew, started = loopback_crew(1)
    begun: list[str | None] = []

    def save(place: Path, step: int) -> Path:
        made = place / f"checkpoint-{step}"
        made.mkdir(parents=True)
        (made / "weights").write_bytes(b"of step %d" % step)
        (made / "trainer_state.json").write_text("{}")
        return made

    def train(
        job: TrainingJob, place: Path, store: AdapterStore, report: Any, stop: Any
    ) -> Adapter:
        begun.append(last_checkpoint(place / job.key))
        step = 10 * len(begun)
        made = save(place / job.key, step)
        report(TrainingProgress(step, 20, 0.5, 10.0, 0.0))
        kept = tmp_path / "far" / job.key / made.name / "weights"
        while not kept.exists():
            time.sleep(0.01)
        if len(begun) == 1:
            asyncio.run_coroutine_threadsafe(started[0].kill(), event_loop()).result()
        return store.add_files(dict.fromkeys(FILES, b"weights"))

    monkeypatch.setattr("lmc.training.lora.train_adapter", train)
    init = RowWorker.__init__

    def own_home(self: RowWorker, ready: Any) -> None:
        init(self, ready)
        place = tmp_path / f"machine-{len(started)}"
        self.home = lambda folder: place

    monkeypatch.setattr(RowWorker, "__init__", own_home)
    backend, _ = opening(crew)("lmc/tiny", {})
    assert isinstance(backend, FarBackend)
    job = TrainingJob("a folder of the driver only", "base", ())
    if own is not None:
        save(tmp_path / "machine-1" / job.key, own)
    made = run_sync(backend.train_elsewhere(job, tmp_path / "far", lambda now: None))
    assert made.files() == dict.fromkeys(FILES, b"weights")
    assert begun[0] is None and begun[1] is not None and begun[1].endswith("checkpoint-10")
    kept = [path.name for path in (tmp_path / "far" / job.key).iterdir()]
    assert kept == []  # those of a training that is over are not kept
    run_sync(crew.close())


@pytest.mark.slow
def test_a_worker_trains_the_same_weights(folder: Path) -> None:
    from lmc.cluster.far import opening
    from lmc.models.adapters import AdapterStore
    from lmc.training.lora import LoraSettings, TrainingJob, TrainingProgress, train_adapter
    from lmc.training.rows import TrainingRow
    from tests.test_models.tiny_llama import save_tiny_llama

    base = save_tiny_llama(folder / "base")
    crew, _ = loopback_crew(2)
    backend, _ = opening(crew)("hf/base", {"base_dir": folder})
    prompts = [({"role": "user", "content": word},) for word in ("red", "blue", "grey", "pink")]
    rows = tuple(TrainingRow(prompt, ("warm", "cold")[i % 2]) for i, prompt in enumerate(prompts))
    settings = LoraSettings(rank=2, epochs=2, batch_rows=2)
    here = TrainingJob(str(base), backend.endpoint, rows, settings)
    made = train_adapter(here, folder / "jobs", AdapterStore(folder / "mine"))
    told: list[TrainingProgress] = []
    there = TrainingJob("a folder of the driver only", backend.endpoint, rows, settings)
    assert isinstance(backend, FarBackend)
    far = run_sync(backend.train_elsewhere(there, folder / "far", told.append))
    assert far.id == made.id
    assert told and told[-1].step == told[-1].steps
    run_sync(crew.close())
