"""Models that are in 4 bits, or split over processes, or both: gradients, weights and refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from lmc.diagnostics import LmcError
from lmc.models.adapters import AdapterStore
from lmc.training.bases import Quantize, load_base
from lmc.training.drift import drift
from lmc.training.encoding import EncodedRow, Example, without_old
from lmc.training.lora import LoraSettings, TrainingJob, TrainingStopped, train_adapter
from lmc.training.packing import plan_packs
from lmc.training.processes import SPLIT, VARIABLE, splits_model
from lmc.training.rows import ScoredRow, TrainingRow
from lmc.training.shares import ALONE, Shares
from tests.test_models.tiny_llama import save_tiny_llama
from tests.test_training.shared_step import examples
from tests.test_training.split_step import UNEVEN, gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # those of bitsandbytes and of peft
needs_quantizer = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="no bitsandbytes")
WORDS = ("red", "blue", "grey", "pink")
ROWS = tuple(
    TrainingRow(({"role": "user", "content": f"{word} is"},), ("warm", "cold")[i % 2])
    for i, word in enumerate(WORDS)
)
EITHER: Any = pytest.mark.parametrize(
    "quantize", [None, pytest.param("nf4", marks=needs_quantizer)]
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))


@EITHER
def test_a_split_model_has_the_gradients_of_a_whole_one(
    tmp_path: Path, base: Path, quantize: Quantize | None
) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.test_training.split_step", str(tmp_path), str(base)]
    started = [
        subprocess.Popen([*command, str(rank), quantize or ""], env=env) for rank in range(2)
    ]
    assert [process.wait(600) for process in started] == [0, 0]
    for costs, count in UNEVEN:
        rows = [row for example in examples()[:count] for row in example.rows]
        one, other = (len(plan_packs(part, costs)) for part in Shares(0, 2).parts(rows))
        assert one != other
    whole = gradients(base, quantize)
    assert len(whole) == 1 + 6 * (1 + 2 * 14)  # of 7 matrices in 2 layers
    assert all(value.abs().max() > 0 for value in whole)
    for rank in range(2):
        for mine, alone in zip(torch.load(tmp_path / f"of-{rank}"), whole, strict=True):
            assert torch.allclose(mine, alone, rtol=1e-4, atol=1e-5)


@needs_quantizer
def test_gradients_in_4_bits_are_those_on_the_weights_that_4_bits_stand_for(
    tmp_path: Path, base: Path
) -> None:
    from bitsandbytes.functional import dequantize_4bit

    model, plain = load_base(str(base), "nf4", ALONE), load_base(str(base), None, ALONE)
    changed = 0.0
    for name, weights in model.named_parameters():
        if type(weights).__name__ == "Params4bit":
            meant = dequantize_4bit(weights.data, weights.quant_state)
            target = plain.get_parameter(name)
            changed = max(changed, float((target - meant).abs().max()))
            target.data.copy_(meant)
    plain.save_pretrained(tmp_path / "rounded")
    assert changed > 0.01
    for mine, meant in zip(gradients(base, "nf4"), gradients(tmp_path / "rounded", None)):
        assert torch.allclose(mine, meant, rtol=1e-4, atol=1e-5)


def trained(job: TrainingJob, folder: Path, **more: Any) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    made = train_adapter(job, folder, AdapterStore(folder / "made"), **more)
    return load_file(made.folder / "adapter_model.safetensors")


@pytest.mark.slow
@EITHER
def test_a_split_training_has_the_weights_of_a_whole_one_and_goes_on_after_a_stop(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, quantize: Quantize | None
) -> None:
    settings = LoraSettings(rank=2, epochs=10, batch_rows=2, quantize=quantize)
    job = TrainingJob(str(base), "base", ROWS, settings)
    alone = trained(job, tmp_path / "one")
    monkeypatch.setenv(VARIABLE, "2")
    monkeypatch.setenv(SPLIT, "1")
    seen: list[int] = []
    with pytest.raises(TrainingStopped):
        trained(
            job, tmp_path / "two", report=lambda now: seen.append(now.step),
            stop=lambda: len(seen) > 3,
        )  # fmt: skip
    saved = list((tmp_path / "two" / job.key).glob("checkpoint-*/adapter_model.safetensors"))
    assert saved and all(path.stat().st_size < 40_000 for path in saved)  # nothing of the model
    first = len(seen)
    together = trained(job, tmp_path / "two", report=lambda now: seen.append(now.step))
    assert seen[first] > seen[first - 1]
    for name, value in alone.items():
        assert torch.allclose(value, together[name], atol=2e-3)


@needs_quantizer
def test_an_adapter_of_4_bits_is_another_one_and_goes_on_from_one_of_32(
    tmp_path: Path, base: Path
) -> None:
    settings = LoraSettings(rank=2, epochs=2, batch_rows=4, rate=0.05)
    plain = TrainingJob(str(base), "base", ROWS, settings)
    rounded = replace(plain, settings=replace(settings, quantize="nf4"))
    assert plain.key != rounded.key
    store = AdapterStore(tmp_path / "made")
    one = train_adapter(plain, tmp_path, store)
    other = train_adapter(rounded, tmp_path, store)
    assert one.id != other.id
    dora = replace(rounded, settings=replace(rounded.settings, kind="dora"))
    after = replace(rounded, start=one)
    assert 0 < drift(str(base), ROWS, None, other, "nf4") != drift(str(base), ROWS, None, other)
    more = [train_adapter(job, tmp_path, store) for job in (dora, after)]
    assert len({adapter.id for adapter in (one, other, *more)}) == 4


def test_the_probabilities_of_sampling_are_not_those_of_4_bits() -> None:
    row = EncodedRow((1, 2, 3), 2, 0.5, old=(-1.0,))
    (example,) = without_old([Example((row,), score=1.0)])
    assert example == Example((replace(row, old=()),), score=1.0)


def test_a_missing_package_is_told_with_the_command(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmc.training.bases.find_spec", lambda name: None)
    job = TrainingJob(str(base), "base", ROWS, LoraSettings(quantize="nf4"))
    with pytest.raises(LmcError, match="missing-extra") as failure:
        train_adapter(job, tmp_path, AdapterStore(tmp_path))
    assert failure.value.diagnostics[0].help == 'pip install "lmc-lang[qlora]"'


def test_splitting_is_refused_where_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not splits_model()
    for processes, given, told in (("2", "yes", "LMC_TRAINING_SHARD=1"), ("1", "1", "=2, or more")):
        monkeypatch.setenv(VARIABLE, processes)
        monkeypatch.setenv(SPLIT, given)
        with pytest.raises(LmcError, match="LMC_TRAINING_SHARD") as failure:
            splits_model()
        assert told in (failure.value.diagnostics[0].help or "")
    monkeypatch.setenv(VARIABLE, "2")
    row = ScoredRow(({"role": "user", "content": "red"},), "warm", 1.0)
    job = TrainingJob("nowhere", "base", (row,), LoraSettings(kind="dora"))
    with pytest.raises(LmcError, match="dora do not go together"):
        train_adapter(job, tmp_path, AdapterStore(tmp_path))
