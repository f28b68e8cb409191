"""DoRA: the engine computes what peft does, also for rows of several adapters at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

from lmc.diagnostics import LmcError
from lmc.models.adapter_files import MOST_SIDE, NotPlain, require_plain
from lmc.models.adapters import CONFIG, WEIGHTS, Adapter, adapter_store
from lmc.models.base import Answer, Request, Sampling
from lmc.models.transformers_local import Transformers
from lmc.models.vllm_local import VllmEngine
from lmc.training.encoding import encode_rows
from lmc.training.lora import LoraSettings, TrainingJob, train_adapter
from lmc.training.mixing import mix
from lmc.training.packing import Costs
from lmc.training.rows import ScoredRow, TrainingRow
from lmc.training.steps import reference_logps
from tests.lora_files import TENSOR, adapter_files, safetensors
from tests.test_models.tiny_llama import save_tiny_llama

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
TURN = {"role": "user", "content": "red"}
ROWS = tuple(
    TrainingRow(({"role": "user", "content": word},), ("warm", "cold")[i % 2])
    for i, word in enumerate(("red", "blue", "pink", "green"))
)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    return save_tiny_llama(tmp_path / "base")


def trained(base: Path, kind: Any, seed: int = 0) -> Adapter:
    settings = LoraSettings(rank=4, epochs=4, batch_rows=4, rate=0.05, kind=kind, seed=seed)
    job = TrainingJob(str(base), "b", ROWS, settings)
    return train_adapter(job, base.parent / "jobs", adapter_store())


async def asked(backend: Transformers, adapter: Adapter | None) -> Answer:
    sampling = Sampling(temperature=0.0, max_tokens=6)
    id = adapter.id if adapter else None
    (answer,) = await backend.generate(Request("", (TURN,), sampling, adapter=id, logprobs=True))
    return answer


def by_peft(base: Path, adapter: Adapter, answer: Answer) -> tuple[float, ...]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    both = PeftModel.from_pretrained(model, str(adapter.folder)).eval()
    row = ScoredRow((TURN,), answer.text, 1.0, sampled=answer.sampled)
    examples = encode_rows(AutoTokenizer.from_pretrained(base), [row], 64)
    return reference_logps(both, examples, Costs(share=False), 0)[0].reference[0]


async def test_the_engine_computes_what_peft_does_alone_and_with_others(base: Path) -> None:
    dora, other, lora = trained(base, "dora"), trained(base, "dora", 1), trained(base, "lora")
    assert json.loads(dora.files()[CONFIG])["use_dora"] is True
    backend = Transformers(str(base))
    try:
        alone = [await asked(backend, one) for one in (dora, lora, None, other)]
        assert len({answer.logprobs for answer in alone}) == 4
        for adapter, answer in ((dora, alone[0]), (lora, alone[1]), (other, alone[3])):
            expected = by_peft(base, adapter, answer)
            assert answer.logprobs == pytest.approx(expected, abs=1e-4)
        together = await asyncio.gather(*(asked(backend, one) for one in (dora, lora, None, other)))
        for one, same in zip(alone, together):
            assert one.text == same.text
            assert one.logprobs == pytest.approx(same.logprobs, abs=1e-4)
    finally:
        await backend.close()


async def test_the_length_of_rows_matters(base: Path) -> None:
    from safetensors.torch import load, save

    dora = trained(base, "dora")
    files = dora.files()
    tensors = {
        name: value * (2.0 if name.endswith("magnitude_vector") else 1.0)
        for name, value in load(files[WEIGHTS]).items()
    }
    louder = adapter_store().add_files({**files, WEIGHTS: save(tensors)})
    backend = Transformers(str(base))
    try:
        one, two = [await asked(backend, adapter) for adapter in (dora, louder)]
        assert one.logprobs != two.logprobs
        assert two.logprobs == pytest.approx(by_peft(base, louder, two), abs=1e-4)
    finally:
        await backend.close()


def test_what_cannot_take_it_says_so(base: Path) -> None:
    dora = trained(base, "dora")
    with pytest.raises(LmcError, match="not-an-adapter"):
        mix(((dora, 1.5), (dora, -0.5)), adapter_store(), 4)
    engine = VllmEngine.__new__(VllmEngine)
    with pytest.raises(NotPlain, match="vLLM"):
        engine._lora(dora.id)


MAGNITUDE = TENSOR.replace("lora_A.weight", "lora_magnitude_vector")


@pytest.mark.parametrize("shape", [[2, 4], [0], [MOST_SIDE + 1], [], [9]])
def test_magnitudes_of_strangers_are_vectors_that_fit(shape: list[int]) -> None:
    files = adapter_files(use_dora=True)
    plain = {TENSOR: [2, 2], MAGNITUDE: [4]}
    require_plain({**files, WEIGHTS: safetensors(plain)})
    with pytest.raises(NotPlain):
        require_plain({**files, WEIGHTS: safetensors(plain | {MAGNITUDE: shape})})
