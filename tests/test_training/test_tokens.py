"""What is learnt are the tokens that were sampled, as likely as they were when they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch

import lmc
from lmc.models.base import Answer, Request, SampledTokens, Sampling
from lmc.models.engine.chat_tokens import tokenizer_digest
from lmc.models.transformers_local import Transformers
from lmc.requests.cache import answer_from_json, answer_to_json
from lmc.traces.store import TraceStore
from lmc.training.encoding import encode_rows
from lmc.training.losses import LossSettings, step_loss
from lmc.training.packing import Costs, plan_packs
from lmc.training.rows import PairRow, ScoredRow, TrainingRow
from lmc.training.steps import answer_logps, reference_logps, step_batch, with_reference
from tests.test_models.tiny_llama import TEMPLATE

TURN = {"role": "user", "content": "red?"}


def save_merging_llama(folder: Path) -> Path:
    """A random model whose tokenizer writes `ab` as one token, while the model may write two."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [(a, b) for a in "abcd" for b in "abcd"]
    vocab = {c: i for i, c in enumerate([*letters, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>", chat_template=TEMPLATE
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id, initializer_range=0.3, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # the letters a to d are likely, alone and as pairs
        likely = [vocab[c] for c in "abcd"]
        model.model.embed_tokens.weight[likely] *= 3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_merging_llama(tmp_path_factory.mktemp("merging"))


async def sampled(place: Path, n: int, **more: Any) -> list[Answer]:
    backend = Transformers(str(place))
    try:
        sampling = Sampling(temperature=1.0, max_tokens=12, seed=3)
        request = Request("", (TURN,), sampling, n=n, logprobs=True, **more)
        return list(await backend.generate(request))
    finally:
        await backend.close()


def loaded(place: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(place)


async def test_the_tokens_that_were_sampled_are_learnt_where_its_text_has_others(
    place: Path,
) -> None:
    model, tokenizer = loaded(place)
    answers = await sampled(place, 16)
    rows = [ScoredRow((TURN,), a.text, 1.0, sampled=a.sampled) for a in answers]
    texts = [replace(row, sampled=None) for row in rows]
    own, anew = (encode_rows(tokenizer, some, 256) for some in (rows, texts))
    for example, answer in zip(own, answers):
        assert answer.sampled is not None
        assert example.rows[0].answer == answer.sampled.ids
        prompt = example.rows[0].prompt
        assert example.rows[0].ids[:prompt] == anew[0].rows[0].ids[:prompt]
    different = [a for a, b in zip(own, anew) if a.rows[0].answer != b.rows[0].answer]
    merged = [b for a, b in zip(own, anew) if len(b.rows[0].answer) < len(a.rows[0].answer)]
    assert merged  # a text that the tokenizer would write in fewer tokens
    assert different
    old = torch.tensor([value for e in own for value in e.rows[0].old])
    costs = Costs(1e-4, share=False)
    now = torch.tensor([v for e in reference_logps(model, own, costs, 0) for v in e.reference[0]])
    assert torch.allclose(old, now, atol=1e-4)
    wrong = reference_logps(model, anew, costs, 0)
    sums = [sum(e.reference[0]) - sum(known.rows[0].old) for e, known in zip(wrong, own)]
    assert max(map(abs, sums)) > 0.1  # so a ratio of texts is not that of what was sampled


async def test_the_ratio_of_the_first_step_is_one_and_needs_no_pass_of_a_reference(
    place: Path,
) -> None:
    model, tokenizer = loaded(place)
    answers = await sampled(place, 6)
    scores = dict(zip(map(float, range(6)), answers))
    rows = [ScoredRow((TURN,), a.text, n, 2.5, sampled=a.sampled) for n, a in scores.items()]
    examples = encode_rows(tokenizer, rows, 256)
    costs, loss = Costs(1e-4, share=False), LossSettings("pg")
    assert with_reference(None, examples, costs, 0, loss) is examples
    with pytest.raises(AttributeError):  # the divergence needs the model at the start
        with_reference(None, examples, costs, 0, replace(loss, kl=0.1))
    with pytest.raises(AttributeError):
        with_reference(None, [*examples, replace(examples[0], pull=0.1)], costs, 0, loss)
    packs = plan_packs([row for e in examples for row in e.rows], costs)
    with torch.no_grad():
        logps = torch.cat([answer_logps(model, pack.tensors(0))[0] for pack in packs])
        batch = step_batch(examples, packs, logps)
        assert torch.allclose((batch.logps - batch.old).exp(), torch.ones_like(logps), atol=1e-4)
        mine = step_loss(loss, batch)
        known = step_batch(reference_logps(model, examples, costs, 0), packs, logps)
        assert torch.allclose(mine, step_loss(loss, known), atol=1e-4)


async def test_a_grammar_leaves_no_probabilities_of_the_model_alone(place: Path) -> None:
    pytest.importorskip("llguidance")
    (answer,) = await sampled(place, 1, schema={"enum": ["ab", "cd"]})
    assert answer.sampled is not None
    assert answer.sampled.logprobs == ()
    assert answer.logprobs
    _, tokenizer = loaded(place)
    assert tokenizer.decode(answer.sampled.ids, skip_special_tokens=True) == answer.text


def test_tokens_of_another_tokenizer_are_not_used(place: Path) -> None:
    _, tokenizer = loaded(place)
    foreign = SampledTokens("another", (1, 2, 3), (-1.0, -1.0, -1.0))
    (example,) = encode_rows(tokenizer, [ScoredRow((TURN,), "ab", 1.0, sampled=foreign)], 256)
    (plain,) = encode_rows(tokenizer, [ScoredRow((TURN,), "ab", 1.0)], 256)
    assert example == plain
    padded = tokenizer_digest(tokenizer)
    tokenizer("ab", padding="max_length", max_length=9, truncation=True)
    assert tokenizer_digest(tokenizer) == padded  # use changes nothing


def test_rows_of_all_kinds_take_tokens_and_begin_where_the_answer_did(place: Path) -> None:
    _, tokenizer = loaded(place)
    digest = tokenizer_digest(tokenizer)
    ids = tuple(tokenizer("a", add_special_tokens=False)["input_ids"]) * 2
    told = SampledTokens(digest, ids, (-1.0, -2.0), "So: ")
    pair = PairRow((TURN,), "So: aa", "So: b", chosen_tokens=told)
    better, worse = encode_rows(tokenizer, [pair], 256)[0].rows
    assert better.answer == ids  # cut by a limit: no end of a turn is learnt
    assert better.old == (-1.0, -2.0)
    assert tokenizer.decode(better.ids[: better.prompt]).endswith("<|assistant|>So: ")
    assert tokenizer.decode(worse.answer) == "So: b<|end|>"
    (imitated,) = encode_rows(tokenizer, [TrainingRow((TURN,), "aa", sampled=told)], 256)
    assert imitated.rows[0].answer == (*ids, tokenizer.eos_token_id)


def test_tokens_are_kept_by_the_cache_and_the_trace_store(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = SampledTokens("t", (5, 6), (-0.5, -1.5), "So")
    for logprobs in ((-0.5, -1.5), (-0.25, -1.0), None):
        answer = Answer("ab", logprobs=logprobs, sampled=told)
        read = answer_from_json(answer_to_json(answer))
        assert read is not None
        assert (read.sampled, read.logprobs) == (told, logprobs)
    assert json.loads(answer_to_json(Answer("ab", logprobs=(-0.5, -1.5), sampled=told)))[-1] == [
        "t", [5, 6], None, "So",
    ]  # fmt: skip
    program = 'generate main(text: str) -> str { """Hm""" temperature: 1.0 max_tokens: 9 }\n'
    Path("it.lmp").write_text(program)
    rows = [{"text": f"w{i}", "label": "W"} for i in range(40)]
    lmc.compile(
        "it.lmp", metric="accuracy", data=rows, model=f"hf/{place}",
        optimizer="dpo(samples=2, epochs=1)", cache=False, accept="better",
    )  # fmt: skip
    calls = [call for run in TraceStore().runs() if run.training for call in run.trace.calls]
    assert calls
    _, tokenizer = loaded(place)
    for call in calls:
        assert call.sampled is not None
        assert call.sampled.tokenizer == tokenizer_digest(tokenizer)
        assert tokenizer.decode(call.sampled.ids, skip_special_tokens=True) == call.raw[-1]
