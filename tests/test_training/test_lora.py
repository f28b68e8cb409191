"""Adapters are trained as told, the same twice, and a killed training goes on."""

import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from lmc.diagnostics import LmcError
from lmc.models.adapters import FILES, AdapterStore
from lmc.training.encoding import encode_row
from lmc.training.lora import (
    LoraSettings,
    TrainingJob,
    TrainingProgress,
    TrainingStopped,
    default_rate,
    train_adapter,
)
from lmc.training.rows import TrainingRow
from tests.test_models.tiny_llama import save_tiny_llama
from tests.warm import WarmProcess

WORDS = ("red", "green", "blue", "brown", "black", "white", "grey", "pink")
ROWS = tuple(
    TrainingRow(({"role": "user", "content": word},), ("warm", "cold")[i % 2])
    for i, word in enumerate(WORDS)
)
SETTINGS = LoraSettings(rank=4, epochs=6, batch_rows=4)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))


def job_of(base: Path, rows: tuple[TrainingRow, ...] = ROWS, **settings: object) -> TrainingJob:
    return TrainingJob(str(base), "base", rows, LoraSettings(**{**_plain(SETTINGS), **settings}))


def _plain(settings: LoraSettings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__slots__}


def test_the_loss_falls_and_the_result_is_the_same_twice(base: Path, tmp_path: Path) -> None:
    store, told = AdapterStore(tmp_path / "store"), []
    first = train_adapter(job_of(base, epochs=20), tmp_path / "one", store, told.append)
    again = train_adapter(job_of(base, epochs=20), tmp_path / "two", store)
    assert first == again
    assert told[-1].loss < 0.5 * told[0].loss
    assert told[-1].step == told[-1].steps == 40
    assert [t.left_s >= 0 and t.tokens_per_s > 0 for t in told] == [True] * len(told)
    assert sorted(p.name for p in first.folder.iterdir()) == sorted(FILES)


def test_a_finished_job_is_not_done_again(base: Path, tmp_path: Path) -> None:
    store, told = AdapterStore(tmp_path / "store"), []
    first = train_adapter(job_of(base), tmp_path / "jobs", store)
    assert train_adapter(job_of(base), tmp_path / "jobs", store, told.append) == first
    assert told == []
    other = train_adapter(job_of(base, seed=1), tmp_path / "jobs", store, told.append)
    assert other != first
    assert told


def test_matrices_can_be_multiplied_in_bfloat16(base: Path, tmp_path: Path) -> None:
    told: dict[str, list[TrainingProgress]] = {"float32": [], "bfloat16": []}
    for dtype, losses in told.items():
        job = replace(job_of(base, epochs=20), dtype=dtype, base=dtype)
        train_adapter(job, tmp_path / dtype, AdapterStore(tmp_path / "store"), losses.append)
    exact, rounded = ([now.loss for now in losses] for losses in told.values())
    assert exact != rounded
    assert rounded == pytest.approx(exact, abs=0.2)
    assert rounded[-1] < 0.5 * rounded[0]


def test_rows_without_weight_teach_nothing(base: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    silent = tuple(TrainingRow(row.messages, "nonsense", weight=0.0) for row in ROWS)
    one, other = (
        load_file(
            train_adapter(
                job_of(base, rows, batch_rows=16), tmp_path / name, AdapterStore(tmp_path)
            ).folder
            / "adapter_model.safetensors"
        )
        for name, rows in (("a", (*ROWS, *silent)), ("b", ROWS))
    )
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


def test_prompts_are_those_of_the_engine(base: Path) -> None:
    from transformers import AutoTokenizer

    from lmc.models.base import Request
    from lmc.models.engine.chat_tokens import ChatTokens

    tokenizer = AutoTokenizer.from_pretrained(base)
    chat = ChatTokens(tokenizer, heads=True)
    for row in ROWS:
        encoded = encode_row(tokenizer, row)
        assert encoded.ids[: encoded.prompt] == chat.prompt(Request("m", row.messages))[0]
        assert encoded.ids[-1] == tokenizer.eos_token_id
        assert row.answer in tokenizer.decode(encoded.answer)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from tests.test_training.test_lora import AdapterStore, job_of, train_adapter
base, folder = Path(BASE), Path(FOLDER)
job = job_of(base, epochs=75)
child = os.fork()
if not child:
    train_adapter(job, folder / "jobs", AdapterStore(folder / "store"))
    os._exit(0)
states = folder / "jobs" / job.key
# The state of the second one may be half written; that of the first one is whole.
while len(list(states.glob("checkpoint-*/trainer_state.json"))) < 2:
    assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended before it was killed"
    time.sleep(0.02)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""


def test_a_killed_training_goes_on(base: Path, tmp_path: Path, warm: WarmProcess) -> None:
    code = KILLED.replace("BASE", repr(str(base))).replace("FOLDER", repr(str(tmp_path)))
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = warm.run(code, Path(__file__).parents[2], env, timeout_s=300)
    assert done.returncode == 0, done.stdout
    states = tmp_path / "jobs" / job_of(base, epochs=75).key
    told = []
    train_adapter(
        job_of(base, epochs=75), tmp_path / "jobs", AdapterStore(tmp_path / "store"), told.append
    )
    assert told[0].step > 15  # the first checkpoint is at a tenth of 150 steps
    assert told[-1].step == 150
    assert not list(states.glob("checkpoint-*"))


def test_a_stopped_training_goes_on(base: Path, tmp_path: Path) -> None:
    store, first, second = AdapterStore(tmp_path / "store"), [], []
    with pytest.raises(TrainingStopped):
        train_adapter(
            job_of(base, epochs=30), tmp_path / "jobs", store, first.append, lambda: len(first) > 9
        )
    stopped = first[-1].step
    assert stopped < first[-1].steps
    adapter = train_adapter(job_of(base, epochs=30), tmp_path / "jobs", store, second.append)
    assert second[0].step > stopped
    assert adapter == train_adapter(job_of(base, epochs=30), tmp_path / "undisturbed", store)


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of the adapter of a training that had room."""
    folder = tmp_path_factory.mktemp("whole")
    return train_adapter(job_of(base), folder / "jobs", AdapterStore(folder / "store")).id


@pytest.mark.parametrize("most_bytes", [2_000, 10_000, 30_000])  # each stops another library
def test_a_full_disk_is_said_and_the_training_goes_on(
    base: Path, whole: str, tmp_path: Path, most_bytes: int
) -> None:
    store = AdapterStore(tmp_path / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(LmcError, match="cannot write the checkpoints in") as failure:
            train_adapter(job_of(base), tmp_path / "full", store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failure.value.code == "cannot-write"
    assert "free some disk space" in (failure.value.diagnostics[0].help or "")
    assert train_adapter(job_of(base), tmp_path / "full", store).id == whole


def _told_alike(words: tuple[str, ...], told: str) -> tuple[TrainingRow, ...]:
    instruction = {"role": "system", "content": told}
    return tuple(
        TrainingRow((instruction, {"role": "user", "content": word}), ("warm", "cold")[i % 2])
        for i, word in enumerate(words)
    )


# Two modules that share their weights: two instructions, each the beginning of half the rows.
TWO_MODULES = (
    *_told_alike(WORDS, "Is this colour warm or cold? Say one word only."),
    *_told_alike(WORDS, "Guess whether it is warm or cold, and answer in a word."),
)


def test_dropout_is_the_same_after_a_stop(base: Path, tmp_path: Path) -> None:
    store, told = AdapterStore(tmp_path / "store"), []
    job = job_of(base, TWO_MODULES, epochs=5, dropout=0.3, batch_rows=6)
    with pytest.raises(TrainingStopped):
        train_adapter(job, tmp_path / "jobs", store, told.append, lambda: len(told) > 6)
    adapter = train_adapter(job, tmp_path / "jobs", store)
    undisturbed = AdapterStore(tmp_path / "another")
    assert adapter.id == train_adapter(job, tmp_path / "undisturbed", undisturbed).id
    plain = job_of(base, TWO_MODULES, epochs=5, batch_rows=6)
    assert adapter.id != train_adapter(plain, tmp_path / "jobs", store).id


def test_shared_beginnings_change_no_result(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter, and one that continues it, as rows without a common beginning would give them."""
    import torch
    from safetensors.torch import load_file

    from lmc.training import steps

    def trained(name: str) -> dict[str, torch.Tensor]:
        store = AdapterStore(tmp_path / name)
        first = train_adapter(job_of(base, TWO_MODULES, epochs=2), tmp_path / name, store)
        going_on = replace(job_of(base, TWO_MODULES, epochs=2, seed=1), start=first)
        last = train_adapter(going_on, tmp_path / name, store)
        assert last != first
        return load_file(last.folder / "adapter_model.safetensors")

    shared = trained("shared")
    monkeypatch.setattr(steps, "shares_beginnings", lambda *_: False)
    apart = trained("apart")
    assert shared.keys() == apart.keys()
    assert all(torch.allclose(shared[name], apart[name], atol=1e-4) for name in shared)


def test_what_cannot_be_trained_is_said(base: Path, tmp_path: Path) -> None:
    store = AdapterStore(tmp_path)
    with pytest.raises(LmcError, match="no rows"):
        train_adapter(job_of(base, ()), tmp_path, store)
    long = TrainingRow(({"role": "user", "content": "word " * 5000},), "yes")
    with pytest.raises(LmcError, match="longer than the model's context"):
        train_adapter(job_of(base, (long,)), tmp_path, store)


def test_smaller_models_learn_faster() -> None:
    assert default_rate(500_000) == default_rate(1_000_000) == pytest.approx(5e-3)
    assert default_rate(4_000_000) == pytest.approx(2e-3, rel=0.05)
    assert default_rate(135_000_000) == pytest.approx(1e-3, rel=0.05)
    assert 4e-4 < default_rate(7_000_000_000) < 5e-4
    assert default_rate(10**12) == 2e-4
