import json
import logging

import pytest

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.media import KINDS, Media
from lmc.models import litellm_provider, registry
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.embedding import decoded, embedding_request
from lmc.models.litellm_provider import open_litellm
from lmc.models.registry import open_backend
from tests.loopback import Fault, Loopback, said

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _litellm():
    pytest.importorskip("litellm")
    litellm_provider._imported()
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)


@pytest.fixture
async def open_at(monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", "sk-secret-of-the-test")
    opened = []

    def make(server, model="litellm/openai/some-model"):
        consent = Consent(hosts=("127.0.0.1",))
        settings = {"base_url": server.url, "api_key_env": "LOOPBACK_KEY", "consent": consent}
        backend, _ = open_backend(model, settings)
        opened.append(backend)
        return backend

    yield make
    for backend in opened:
        await backend.close()


def ask_for(text, **more):
    return Request("some-model", ({"role": "user", "content": text},), **more)


async def test_answers_carry_what_the_server_says(open_at):
    with Loopback(lambda p: [f"answer {i}" for i in range(p.get("n", 1))]) as server:
        backend = open_at(server)
        assert backend.capabilities.multiple_samples
        sampling = Sampling(temperature=0.5, max_tokens=9, stop=("END",), seed=4)
        answers = await backend.generate(ask_for("one two", sampling=sampling, n=2, index=1))
    assert [a.text for a in answers] == ["answer 0", "answer 1"]
    assert [a.prompt_tokens for a in answers] == [2, 0]
    assert [a.completion_tokens for a in answers] == [2, 2]
    sent = server.payloads[0]
    assert (sent["model"], sent["temperature"], sent["max_tokens"]) == ("some-model", 0.5, 9)
    assert (sent["stop"], sent["seed"], sent["n"]) == (["END"], 5, 2)
    assert server.keys == ["Bearer sk-secret-of-the-test"]


@pytest.mark.parametrize(
    ("fault", "kind", "retryable"),
    [
        (Fault(401, "bad key sk-secret-of-the-test"), "auth", False),
        (Fault(404), "not_found", False),
        (Fault(429), "rate_limit", True),
        (Fault(500), "server", True),
        (Fault(400), "bad_request", False),
        (
            Fault(400, "maximum context length is 5 tokens", code="context_length_exceeded"),
            "context_length",
            False,
        ),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
async def test_failures_are_sorted(open_at, fault, kind, retryable):
    with Loopback(lambda p: fault) as server:
        with pytest.raises(ModelFailure) as failure:
            await open_at(server).generate(ask_for("q"))
        assert len(server.payloads) == 1  # retries are the pool's
    assert (failure.value.kind, failure.value.retryable) == (kind, retryable)
    assert "sk-secret" not in failure.value.message


async def test_known_prices_become_costs(open_at):
    with Loopback("answer") as server:
        backend = open_at(server, "litellm/openai/gpt-4o-mini")
        (answer,) = await backend.generate(ask_for("one two"))
    assert backend.price is not None
    assert answer.cost_usd == pytest.approx(backend.price.cost_usd(2, 1))


def test_keys_and_providers_are_checked_at_opening(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(LmcError) as failure:
        open_backend("anthropic/claude-sonnet-4-5", {})
    assert failure.value.code == "missing-key" and "ANTHROPIC_API_KEY" in str(failure.value)
    with pytest.raises(LmcError) as failure:
        open_backend("antropic/claude-sonnet-4-5", {})
    assert failure.value.code == "unknown-model"
    assert failure.value.diagnostics[0].help == "did you mean `anthropic/`?"


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.83.9", "1.65.0"])
def test_releases_that_must_not_run_are_refused(version):
    with pytest.raises(LmcError, match="does not import it"):
        litellm_provider.refuse_bad_version(version)


@pytest.mark.parametrize("version", ["1.83.10", "1.106.2", "2.0.0rc1"])
def test_other_releases_are_taken(version):
    litellm_provider.refuse_bad_version(version)


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    for name in ("anthropic/claude", "hf/x/y"):
        with pytest.raises(LmcError) as failure:
            open_backend(name, {})
        assert failure.value.code == "missing-extra"
        assert 'pip install "lmc-lang[' in failure.value.diagnostics[0].help


async def test_an_embedding_is_the_vector_of_a_text(open_at):
    with Loopback(lambda p: [[0.5, -1.0, float(len(text))] for text in p["input"]]) as server:
        backend = open_at(server, "embed/openai/some-embedder")
        (answer,) = await backend.generate(embedding_request("two words"))
        assert list(decoded(answer.text)) == [0.5, -1.0, 9.0]
        assert answer.prompt_tokens == 2
        assert server.payloads[0]["input"] == ["two words"]
        assert server.keys == ["Bearer sk-secret-of-the-test"]
        with pytest.raises(ModelFailure, match="gives embeddings; it cannot answer a prompt"):
            await backend.generate(ask_for("q"))


async def test_an_embedding_that_fails_says_so_without_the_key(open_at):
    fault = Fault(401, "bad key sk-secret-of-the-test")
    with Loopback(lambda p: fault) as server, pytest.raises(ModelFailure) as failure:
        await open_at(server, "embed/openai/some-embedder").generate(embedding_request("x"))
    assert failure.value.kind == "auth"
    assert "sk-secret" not in failure.value.message


PRICE = {
    "type": "function",
    "function": {
        "name": "price",
        "description": "The price.",
        "parameters": {"type": "object", "properties": {"thing": {"type": "string"}}},
    },
}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "price", "arguments": '{"thing": "a"}'},
}
CALLED = (
    {"role": "user", "content": "How much?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "5"},
)


async def test_tools_are_offered_and_called(open_at):
    made = [CALL, {**CALL, "id": "c2"}]
    with Loopback(lambda p: said(None, "tool_calls", tool_calls=made)) as server:
        backend = open_at(server)
        assert backend.capabilities.tools
        (answer,) = await backend.generate(Request("m", CALLED, tools=(PRICE,)))
    found = [(c.id, c.name, c.arguments) for c in answer.tool_calls]
    assert found == [("c1", "price", '{"thing": "a"}'), ("c2", "price", '{"thing": "a"}')]
    (sent,) = server.payloads
    assert sent["tools"] == [PRICE]
    assert "_skip_mcp_handler" not in sent
    assert sent["tool_choice"] == "required"
    assert sent["messages"][1]["tool_calls"] == [CALL]
    assert sent["messages"][2] == CALLED[2]


async def test_a_model_that_takes_no_tools_says_so(open_at):
    fault = Fault(400, "this model does not support tools")
    with Loopback(lambda p: fault) as server, pytest.raises(ModelFailure) as caught:
        await open_at(server).generate(Request("m", CALLED, tools=(PRICE,)))
    assert caught.value.kind == "no_tools"


async def test_a_call_that_cannot_be_demanded_is_only_offered(open_at):
    def script(payload):
        if "tool_choice" in payload:
            return Fault(400, "tool_choice is not supported with thinking")
        return said(None, "tool_calls", tool_calls=[CALL])

    with Loopback(script) as server:
        (answer,) = await open_at(server).generate(Request("m", CALLED, tools=(PRICE,)))
    assert answer.tool_calls[0].name == "price"


async def test_the_protocol_of_anthropic(open_at):
    reply = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "price", "input": {"thing": "b"}},
            {"type": "tool_use", "id": "toolu_2", "name": "price", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "output_tokens": 3},
    }
    with Loopback(lambda p: reply) as server:
        backend = open_at(server, "litellm/anthropic/claude-sonnet-4-5")
        assert backend.capabilities.tools
        (answer,) = await backend.generate(Request("claude-sonnet-4-5", CALLED, tools=(PRICE,)))
    assert answer.text == "Let me look."
    found = [(c.id, c.name, json.loads(c.arguments)) for c in answer.tool_calls]
    assert found == [("toolu_1", "price", {"thing": "b"}), ("toolu_2", "price", {})]
    (sent,) = server.payloads
    assert sent["tool_choice"] == {"type": "any"}
    kinds = [part["type"] for message in sent["messages"] for part in message["content"]]
    assert kinds == ["text", "tool_use", "tool_result"]


async def test_media_are_parts_of_openais_form(open_at, tmp_path, monkeypatch):
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    files = (Media.of_bytes(b"\x89PNG\r\n\x1a\n.."), Media.of_bytes(b"%PDF-1.7\n"))
    with Loopback("a cat") as server:
        backend = open_at(server)
        assert backend.capabilities.media == KINDS  # the table does not know the model
        text = f"See {files[0].mark} and {files[1].mark}."
        (answer,) = await backend.generate(ask_for(text, media=files))
    assert answer.text == "a cat"
    kinds = [part["type"] for part in server.payloads[0]["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text", "file", "text"]


def test_the_table_says_which_media_a_model_takes(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert "image" in open_litellm("openai/gpt-4o", {}).capabilities.media
    assert open_litellm("openai/gpt-3.5-turbo", {}).capabilities.media == ()
