"""vLLM in this process, where it is installed: its answers, adapters and schemas."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.registry import open_backend
from lmc.models.transformers_local import Transformers
from lmc.models.vllm_local import Vllm
from lmc.tiny import MODEL_DIR

pytestmark = pytest.mark.filterwarnings("ignore")  # of what vLLM imports

MESSAGES = (
    {"role": "system", "content": "Solve the problem."},
    {"role": "user", "content": "[[problem]] What is 12 + 7?"},
)


def ask(text: str = "12 + 7", **more: object) -> Request:
    messages = (MESSAGES[0], {"role": "user", "content": f"[[problem]] {text}"})
    sampling = Sampling(**{"max_tokens": 24, "temperature": 0.0, **more})  # type: ignore[arg-type]
    return Request("tiny", messages, sampling)


@pytest.fixture(scope="module")
def model() -> Vllm:
    backend, _ = open_backend(f"vllm/{MODEL_DIR}", {})
    assert isinstance(backend, Vllm)
    return backend


async def test_greedy_text_is_that_of_transformers(model: Vllm) -> None:
    reference = Transformers(str(MODEL_DIR))
    asked = [ask("12 + 7"), ask("What is 3 times 4?"), ask("40 - 6")]
    ours = await asyncio.gather(*map(model.generate, asked))
    theirs = await asyncio.gather(*map(reference.generate, asked))
    await reference.close()
    assert [a[0].text for a in ours] == [a[0].text for a in theirs]
    assert ours[0][0].prompt_tokens == theirs[0][0].prompt_tokens


async def test_samples_repeat_under_a_seed_whatever_is_beside_them(model: Vllm) -> None:
    request = replace(ask(temperature=1.3, seed=3), n=4, logprobs=True)
    alone = await model.generate(request)
    again, _ = await asyncio.gather(model.generate(request), model.generate(ask("9 + 9")))
    assert [a.text for a in alone] == [a.text for a in again]
    third = await model.generate(replace(request, n=1, index=2))
    assert third[0].text == alone[2].text
    assert alone[0].logprobs and all(x <= 0 for x in alone[0].logprobs)


async def test_a_schema_binds_the_answer(model: Vllm) -> None:
    schema = {
        "type": "object",
        "properties": {"word": {"enum": ["cat", "dog"]}},
        "required": ["word"],
        "additionalProperties": False,
    }
    (answer,) = await model.generate(replace(ask(temperature=1.0), schema=schema))
    assert json.loads(answer.text)["word"] in ("cat", "dog")


async def test_a_grammar_binds_the_answer(model: Vllm) -> None:
    grammar = 'start: "[[kind]] " KIND "\\n[[n]] " %json {"type": "integer", "maximum": 9}\n'
    asked = replace(ask(temperature=1.0), grammar=grammar + 'KIND: "spam" | "ham"\n')
    (answer,) = await model.generate(asked)
    assert re.match(r"\[\[kind\]\] (sp|h)am\n\[\[n\]\] ", answer.text)


async def test_a_prompt_that_is_too_long_is_a_failure(model: Vllm) -> None:
    with pytest.raises(ModelFailure, match="context"):
        await model.generate(ask("1 " * 4000))


async def test_adapters_answer_in_one_batch_as_alone(model: Vllm, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    base = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(tmp_path / "one")
    plain, adapted = ask(), replace(ask(), adapter=str(tmp_path / "one"))
    before = await model.generate(plain)
    alone = await model.generate(adapted)
    with_adapter, after = await asyncio.gather(model.generate(adapted), model.generate(plain))
    await model.close()
    assert before[0].text == after[0].text
    assert alone[0].text == with_adapter[0].text != before[0].text
