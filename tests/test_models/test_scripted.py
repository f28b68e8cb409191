import json

import pytest

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.registry import describe_models, open_backend
from lmc.models.scripted import Scripted


def ask_for(text="q", **more):
    return Request("m", ({"role": "user", "content": text},), **more)


async def texts(backend, request):
    return [answer.text for answer in await backend.generate(request)]


async def test_answers_by_order_until_the_script_ends():
    backend = Scripted(["a", "b", "c"])
    assert await texts(backend, ask_for(n=2)) == ["a", "b"]
    assert await texts(backend, ask_for()) == ["c"]
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(ask_for())
    assert failure.value.kind == "script_end" and not failure.value.retryable
    assert len(backend.requests) == 3


async def test_answers_by_rule_and_sample_index():
    backend = Scripted([(r"capital of (France|Italy)", ["Paris", "Rome"]), ("cap", "other")])
    assert await texts(backend, ask_for("the capital of France", n=3)) == ["Paris", "Rome", "Paris"]
    assert await texts(backend, ask_for("the capital of France", index=1)) == ["Rome"]
    assert await texts(backend, ask_for("a cap")) == ["other"]
    with pytest.raises(ModelFailure, match="no rule"):
        await backend.generate(ask_for("else"))


async def test_answers_by_callable():
    async def respond(request):
        return [f"{request.messages[0]['content']} {i}" for i in range(request.n)]

    assert await texts(Scripted(respond), ask_for("x", n=2)) == ["x 0", "x 1"]
    assert await texts(Scripted(lambda r: "same"), ask_for(n=2)) == ["same", "same"]
    with pytest.raises(ModelFailure, match="1 answers for 2 samples"):
        await Scripted(lambda r: ["one"]).generate(ask_for(n=2))


async def test_replies_may_be_whole_answers_or_failures():
    whole = Answer("a", 1, 2, 0.5, logprobs=(-1.0,))
    backend = Scripted([whole, ModelFailure("rate_limit", "slow down", retryable=True)])
    assert await backend.generate(ask_for()) == [whole]
    with pytest.raises(ModelFailure, match="slow down"):
        await backend.generate(ask_for())


async def test_words_are_counted_as_tokens():
    first, second = await Scripted(lambda r: "three little words").generate(ask_for("one two", n=2))
    assert (first.prompt_tokens, second.prompt_tokens) == (2, 0)
    assert first.completion_tokens == second.completion_tokens == 3


async def test_files_with_rules_and_lists(tmp_path):
    rules = {"rules": [{"match": "sum", "answer": {"total": 3}}], "default": "?"}
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    (tmp_path / "list.json").write_text('["a", 2]')
    by_rule, model = open_backend("scripted/rules.json", {"base_dir": tmp_path})
    by_order, _ = open_backend("scripted/list.json", {"base_dir": tmp_path})
    assert await texts(by_rule, ask_for("the sum of")) == ['{"total": 3}']
    assert await texts(by_rule, ask_for("else")) == ["?"]
    assert await texts(by_order, ask_for(n=2)) == ["a", "2"]
    assert by_rule.capabilities.cacheable and not by_order.capabilities.cacheable
    assert model == "rules.json"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[" * 100_000,
        '{"default": "x"}',
        '{"rules": [{"match": "a"}]}',
        "3",
        "null",
        '{"rules": 3}',
        '{"rules": [{"answer": "a"}]}',
        '{"rules": [{"match": "(", "answer": ""}]}',
        '{"rules": [{"match": "a", "answers": []}]}',
    ],
)
def test_broken_files_are_diagnostics(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(LmcError) as failure:
        Scripted.from_file(tmp_path / "s.json")
    assert failure.value.code == "script-invalid" and "s.json" in str(failure.value)


def test_bytes_that_are_not_text_are_a_diagnostic(tmp_path):
    (tmp_path / "s.json").write_bytes(b'["\xff"]')
    with pytest.raises(LmcError, match=r"s\.json is not a script") as failure:
        Scripted.from_file(tmp_path / "s.json")
    assert failure.value.code == "script-invalid"


def test_missing_files_and_unknown_names_are_diagnostics():
    for name in ("scripted/nothing.json", "recorded/nothing.jsonl", "gpt-4o", "lmc/huge"):
        with pytest.raises(LmcError) as failure:
            open_backend(name, {})
        assert failure.value.code == "unknown-model"


def test_models_are_described_without_importing_them():
    described = {provider.prefix: provider for provider in describe_models()}
    assert described["openai/"].key_env == "OPENAI_API_KEY"
    assert described["hf/"].extra == "local" and described[""].extra == "litellm"
    assert described["lmc/"].capabilities.local and described["scripted/"].installed
