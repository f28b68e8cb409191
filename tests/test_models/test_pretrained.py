"""Models of several types that are loaded at once leave torch's default type as it was."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from lmc.models.engine.pretrained import pretrained
from tests.test_models.tiny_llama import save_tiny_llama


def test_the_default_type_stays(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    save_tiny_llama(tmp_path)
    types = [torch.bfloat16, torch.float32] * 6
    with ThreadPoolExecutor(4) as pool:
        loaded = pool.map(lambda t: pretrained(AutoModelForCausalLM, tmp_path, dtype=t), types)
        assert [model.dtype for model in loaded] == types
    assert torch.get_default_dtype() == torch.float32
