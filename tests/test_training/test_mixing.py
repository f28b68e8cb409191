"""Adapters are mixed by weights, drift is measured, and kinds run in the engine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from safetensors.torch import load, save

from lmc.diagnostics import LmcError
from lmc.models.adapter_files import require_plain
from lmc.models.adapters import CONFIG, WEIGHTS, Adapter, AdapterStore
from lmc.optimizers.lessons import weights
from lmc.optimizers.lessons.groups import Group
from lmc.training.drift import drift
from lmc.training.lora import LoraSettings, TrainingJob, train_adapter
from lmc.training.mixing import mix
from lmc.training.rows import ScoredRow, TrainingRow
from tests.test_models.tiny_llama import save_tiny_llama

ROWS = tuple(
    TrainingRow(({"role": "user", "content": word},), ("warm", "cold")[i % 2])
    for i, word in enumerate(("red", "green", "blue", "brown"))
)
Trained = tuple[str, AdapterStore, Adapter, Adapter]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A model with a LoRA and an rsLoRA adapter of other ranks."""
    base = str(save_tiny_llama(tmp_path_factory.mktemp("base")))
    store = AdapterStore(tmp_path_factory.mktemp("store"))
    found = []
    for kind, rank in (("lora", 4), ("rslora", 2)):
        settings: Any = LoraSettings(rank, epochs=3, batch_rows=4, rate=0.02, kind=kind)  # type: ignore[arg-type]
        job = TrainingJob(base, "base", ROWS, settings)
        found.append(train_adapter(job, tmp_path_factory.mktemp(kind), store))
    return base, store, found[0], found[1]


def changes(adapter: Adapter) -> dict[str, Any]:
    """The change of each matrix."""
    files = adapter.files()
    require_plain(files)
    config, tensors = json.loads(files[CONFIG]), load(files[WEIGHTS])
    root = config["r"] ** (0.5 if config.get("use_rslora") else 1.0)
    return {
        name: tensors[name.replace("lora_A", "lora_B")] @ down * (config["lora_alpha"] / root)
        for name, down in tensors.items()
        if "lora_A" in name
    }


def test_a_mix_is_the_weighted_sum(trained: Trained) -> None:
    _, store, one, other = trained
    assert json.loads(other.files()[CONFIG])["use_rslora"] is True
    mixed = changes(mix([(one, 1.5), (other, -0.5)], store, 8))
    first, second = changes(one), changes(other)
    assert mixed.keys() == first.keys()
    assert max(float(change.abs().max()) for change in first.values()) > 1e-3
    for name, change in mixed.items():
        torch.testing.assert_close(
            change, 1.5 * first[name] - 0.5 * second[name], atol=1e-5, rtol=1e-4
        )


def test_a_mix_of_low_rank_is_the_closest_one(trained: Trained) -> None:
    _, store, one, other = trained
    low = mix([(one, 0.5), (other, 0.5)], store, 2)
    first, second = changes(one), changes(other)
    for name, change in changes(low).items():
        whole = 0.5 * first[name] + 0.5 * second[name]
        left = torch.linalg.svdvals(whole)[2:].square().sum().sqrt()
        assert float((whole - change).norm()) == pytest.approx(float(left), abs=1e-4)
    assert json.loads(low.files()[CONFIG])["r"] == 2
    assert mix([(one, 0.5), (other, 0.5)], store, 2) == low


def test_adapters_of_other_models_do_not_mix(trained: Trained, tmp_path: Path) -> None:
    _, store, one, _ = trained
    wide = {
        name: t.repeat(1, 2) if "lora_A" in name else t
        for name, t in load(one.files()[WEIGHTS]).items()
    }
    other = store.add_files({CONFIG: one.files()[CONFIG], WEIGHTS: save(wide)})
    with pytest.raises(LmcError, match="not for one model"):
        mix([(one, 0.5), (other, 0.5)], store, 4)


def test_drift_is_none_at_the_start_and_grows(trained: Trained) -> None:
    base, store, one, other = trained
    rows = [ScoredRow(row.messages, row.answer, 1.0, 0.0) for row in ROWS]
    assert drift(base, rows, one, one) == pytest.approx(0.0, abs=1e-6)
    near = mix([(one, 0.3)], store, 4)
    assert 0 < drift(base, rows, None, near) < drift(base, rows, None, one)
    # these answers are not samples, so that one of the two fits them better
    assert max(drift(base, rows, other, one), drift(base, rows, one, other)) > 0


async def test_momentum_goes_on_from_the_round_before(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, store, new, old = trained
    monkeypatch.setattr(weights, "train_adapter", lambda *_: new)
    monkeypatch.setattr(weights, "adapter_store", lambda: store)
    backend = SimpleNamespace(source=base, endpoint="base")
    request = SimpleNamespace(adapter=old.id)
    slots, spec = SimpleNamespace(module="m"), SimpleNamespace(outputs=())
    bound = SimpleNamespace(backend=backend)
    call: Any = SimpleNamespace(slots=slots, spec=spec, bound=bound, request=request)
    context: Any = SimpleNamespace(seed=0, folder=tmp_path)
    lessons = {"m": ROWS * 2}
    group = Group("m", (call,))
    for resume, momentum, wanted in (
        (True, 0.5, mix([(new, 1.5), (old, -0.5)], store, 4)),
        (True, 0.0, new),
        (False, 0.5, new),  # there is no round before
    ):
        update = weights.Update(LoraSettings(rank=4), resume=resume, momentum=momentum)
        assert await weights.train_group(group, context, lessons, update) == wanted.id
