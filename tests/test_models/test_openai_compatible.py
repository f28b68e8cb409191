import asyncio
import json
import logging

import pytest

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.media import Media
from lmc.models.base import ModelFailure, Request, Sampling, cut_at_stop
from lmc.models.http_failures import refused_parameter, retry_after_s
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.registry import open_backend
from tests.loopback import Fault, Loopback, disconnect, in_order, invalid_json, said

SECRET = "sk-secret-of-the-test"


@pytest.fixture
async def open_at(monkeypatch):
    monkeypatch.setenv("LOOPBACK_KEY", SECRET)
    opened = []

    def make(server):
        consent = Consent(hosts=("127.0.0.1",))
        settings = {"base_url": server.url, "api_key_env": "LOOPBACK_KEY", "consent": consent}
        opened.append(open_backend("openai/some-model", settings)[0])
        return opened[-1]

    yield make
    for backend in opened:
        await backend.close()


def ask_for(text="q", **more):
    return Request("some-model", ({"role": "user", "content": text},), **more)


async def test_all_of_a_request_is_sent(open_at):
    with Loopback(lambda p: ["one two three", "four"]) as server:
        sampling = Sampling(0.5, 0.9, 7, ("END",), 3)
        schema = {"type": "object", "properties": {}}
        request = ask_for("a b", sampling=sampling, schema=schema, n=2, index=4, logprobs=True)
        first, second = await open_at(server).generate(request)
    assert server.payloads[0] == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "a b"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["END"],
        "seed": 7,
        "logprobs": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "result", "schema": schema},
        },
        "n": 2,
    }
    assert (first.text, first.prompt_tokens, first.completion_tokens) == ("one two three", 2, 2)
    assert (second.text, second.prompt_tokens, second.completion_tokens) == ("four", 0, 2)
    assert first.logprobs == (-0.5,) * 3 and first.finish_reason == "stop"


async def test_what_is_not_set_is_not_sent(open_at):
    with Loopback() as server:
        await open_at(server).generate(ask_for())
    assert set(server.payloads[0]) == {"model", "messages"}


async def test_adapter_is_the_model_that_is_named(open_at):
    with Loopback() as server:
        await open_at(server).generate(ask_for(adapter="my-lora"))
    assert server.payloads[0]["model"] == "my-lora"


async def test_key_is_sent_and_shown_nowhere(open_at, caplog):
    caplog.set_level(logging.DEBUG)
    with Loopback(lambda p: Fault(401, f"wrong key {SECRET}")) as server:
        backend = open_at(server)
        with pytest.raises(ModelFailure) as failure:
            await backend.generate(ask_for())
    assert server.keys == [f"Bearer {SECRET}"]
    shown = [repr(backend), backend.endpoint, str(failure.value), repr(failure.value), caplog.text]
    assert not any(SECRET in text for text in shown) and "[LOOPBACK_KEY]" in failure.value.message


def test_endpoint_has_no_credentials():
    backend = OpenAICompatible("https://user:pass@host:8/v1?token=abc")
    assert backend.endpoint == "https://host:8/v1"


FAULTS = [
    (Fault(401), "auth", False),
    (Fault(403), "auth", False),
    (Fault(404), "not_found", False),
    (Fault(408), "timeout", True),
    (Fault(429), "rate_limit", True),
    (Fault(429, "You exceeded your quota", code="insufficient_quota"), "rate_limit", False),
    (Fault(400), "bad_request", False),
    (Fault(400, "This model's maximum context length is 10 tokens"), "context_length", False),
    (Fault(422, "x", code="context_length_exceeded"), "context_length", False),
    (Fault(500), "server", True),
    (Fault(501), "bad_request", False),
    (Fault(status=502, body=b"<html>bad gateway</html>"), "server", True),
    (disconnect(), "connection", True),
    (invalid_json(), "server", True),
    ({"choices": []}, "server", True),
    ({"object": "error"}, "server", True),
    ({"error": {"message": "no credit", "code": "insufficient_quota"}}, "rate_limit", False),
    (said("yes") | {"error": {"code": 502, "message": "lost"}}, "server", True),
]


@pytest.mark.parametrize(("fault", "kind", "retryable"), FAULTS, ids=range(len(FAULTS)))
async def test_failures_are_sorted(open_at, fault, kind, retryable):
    with Loopback(lambda p: fault) as server, pytest.raises(ModelFailure) as failure:
        await open_at(server).generate(ask_for())
    assert (failure.value.kind, failure.value.retryable) == (kind, retryable)


TOLD = "what the provider says"
# Error bodies in the forms of the providers. Many are sent with the status of success.
BODIES = {
    "openai": {"error": {"message": TOLD, "type": "server_error", "code": None}},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": TOLD}},
    "gemini": [{"error": {"code": 500, "message": TOLD, "status": "INTERNAL"}}],
    "openrouter": {"choices": [{"error": {"code": 502, "message": TOLD}, "message": {}}]},
    "openrouter, in part": said("half of") | {"error": {"code": 502, "message": TOLD}},
    "vllm": {"object": "error", "message": TOLD, "code": 400},
    "ollama": {"error": TOLD},
    "fastapi": {"detail": TOLD},
    "dashscope": {"message": TOLD, "code": "InvalidParameter"},
    "cloudflare": {"success": False, "errors": [{"code": 7000, "message": TOLD}], "result": None},
    "qianfan": {"error_code": 18, "error_msg": TOLD},
    "minimax": {"base_resp": {"status_code": 1004, "status_msg": TOLD}, "choices": None},
    "text": TOLD,
}


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_an_error_is_no_answer_and_shows_what_the_provider_says(open_at, body, status):
    fault = Fault(status, body=json.dumps(body).encode())
    with Loopback(lambda p: fault) as server, pytest.raises(ModelFailure) as failure:
        await open_at(server).generate(ask_for())
    assert failure.value.message.endswith(TOLD)


@pytest.mark.parametrize("error", [None, {}, "", False, {"code": 0, "message": ""}])
async def test_an_error_that_says_nothing_is_none(open_at, error):
    with Loopback(lambda p: said("yes") | {"error": error}) as server:
        (answer,) = await open_at(server).generate(ask_for())
    assert answer.text == "yes"


async def test_no_server_is_a_connection_failure():
    backend = OpenAICompatible("http://127.0.0.1:9/v1")
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(ask_for())
    await backend.close()
    assert failure.value.kind == "connection" and failure.value.retryable and failure.value.hint


REFUSED = "Unsupported parameter: '{0}' is not supported with this model. Use '{1}' instead."


async def test_other_name_of_max_tokens_is_learned(open_at):
    def script(payload):
        if "max_tokens" in payload:
            return Fault(
                400, REFUSED.format("max_tokens", "max_completion_tokens"), param="max_tokens"
            )
        return "fine"

    with Loopback(script) as server:
        backend = open_at(server)
        for _ in range(2):
            (answer,) = await backend.generate(ask_for(sampling=Sampling(max_tokens=5)))
            assert answer.text == "fine"
    assert [p.get("max_completion_tokens") for p in server.payloads] == [None, 5, 5]


async def test_server_that_knows_neither_name_is_not_asked_for_ever(open_at):
    def script(payload):
        name = next(name for name in payload if name.startswith("max"))
        return Fault(400, f"unsupported parameter '{name}'")

    with Loopback(script) as server:
        with pytest.raises(ModelFailure) as failure:
            await open_at(server).generate(ask_for(sampling=Sampling(max_tokens=5)))
        assert len(server.payloads) == 2 and failure.value.kind == "bad_request"


async def test_refused_options_are_left_out_from_then_on(open_at, caplog):
    def script(payload):
        for name in ("temperature", "seed"):
            if name in payload:
                return Fault(400, f"Unsupported value: '{name}'", param=name)
        return "fine"

    with Loopback(script) as server:
        backend = open_at(server)
        request = ask_for(sampling=Sampling(temperature=0.0, seed=1, max_tokens=3))
        assert [(await backend.generate(request))[0].text for _ in range(2)] == ["fine"] * 2
        assert len(server.payloads) == 4
    assert caplog.text.count("`temperature`") == caplog.text.count("`seed`") == 1


async def test_samples_that_a_server_leaves_out_are_asked_for_again(open_at):
    with Loopback(lambda p: ["only one"]) as server:
        backend = open_at(server)
        for _ in range(2):
            assert len(await backend.generate(ask_for(n=3, sampling=Sampling(seed=0)))) == 3
    assert [p.get("n") for p in server.payloads] == [3, None, None, None, None, None]
    assert sorted(p["seed"] for p in server.payloads[3:]) == [0, 1, 2]


async def test_answers_of_reasoning_models_and_refusals(open_at):
    def body(message, finish="stop"):
        return {"choices": [{"message": message, "finish_reason": finish}]}

    replies = in_order(
        body({"content": None, "reasoning_content": "hm"}, "length"), body({"refusal": "No."})
    )
    with Loopback(replies) as server:
        backend = open_at(server)
        (empty,), (refusal,) = [await backend.generate(ask_for()) for _ in range(2)]
    assert (empty.text, empty.finish_reason) == ("", "length")
    assert (refusal.text, refusal.finish_reason) == ("No.", "refusal")


async def test_hundreds_of_requests_run_at_once(open_at):
    with Loopback("ok", latency_s=2.0) as server:
        backend = open_at(server)
        await asyncio.gather(*(backend.generate(ask_for(str(i))) for i in range(300)))
        assert server.most_in_flight == 300


@pytest.mark.parametrize(
    ("name", "settings", "env", "endpoint"),
    [
        ("openai/m", {}, {"OPENAI_API_KEY": "k"}, "https://api.openai.com/v1"),
        ("openai/m", {}, {"OPENAI_BASE_URL": "http://h/v1"}, "http://h/v1"),
        ("openai/m", {"base_url": "http://s/v1/"}, {"OPENAI_BASE_URL": "x"}, "http://s/v1"),
        ("ollama/m", {}, {}, "http://localhost:11434/v1"),
        ("vllm/m", {"base_url": "http://v/v1"}, {}, "http://v/v1"),
        ("hosted_vllm/org/m", {}, {"HOSTED_VLLM_API_BASE": "http://v/v1"}, "http://v/v1"),
    ],
)
def test_address(monkeypatch, name, settings, env, endpoint):
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HOSTED_VLLM_API_BASE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    backend, model = open_backend(name, settings)
    assert backend.endpoint == endpoint and model == name.partition("/")[2]


def test_missing_address_and_keys(monkeypatch):
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HOSTED_VLLM_API_BASE", "MY_KEY"):
        monkeypatch.delenv(variable, raising=False)
    cases = [
        ("openai/m", {}, "missing-key", "OPENAI_API_KEY"),
        ("openai/m", {"api_key_env": "OPENAI_API_KEY_TWO"}, "missing-key", "OPENAI_API_KEY_TWO"),
        ("vllm/m", {}, "missing-base-url", "HOSTED_VLLM_API_BASE"),
    ]
    for name, settings, code, named in cases:
        with pytest.raises(LmcError) as failure:
            open_backend(name, settings)
        assert failure.value.code == code and named in str(failure.value)


def test_retry_after_in_all_its_forms():
    assert retry_after_s({"Retry-After": "2.5"}) == 2.5
    assert retry_after_s({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after_s({"Retry-After": "soon"}) is retry_after_s({}) is None


def test_error_about_a_value_is_no_refusal():
    assert (
        refused_parameter('{"error": {"message": "bad \'seed\': not a number"}}', ["seed"]) is None
    )
    assert refused_parameter("Unrecognized request argument: `seed`", ["seed"]) == "seed"


def test_cut_at_stop():
    assert cut_at_stop("one END two STOP", ("STOP", "END")) == "one "
    assert cut_at_stop("one", ("STOP",)) == cut_at_stop("one", ()) == "one"


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("openai/m", ("image", "audio", "pdf")),
        ("hosted_vllm/m", ("image", "audio")),
        ("ollama/m", ("image",)),
        ("lmc/tiny", ()),
    ],
)
def test_which_media_a_kind_of_server_takes(model, takes):
    backend, _ = open_backend(model, {"base_url": "http://127.0.0.1:1/v1"})
    assert backend.capabilities.media == takes


async def test_joined_turns_keep_their_media(tmp_path, monkeypatch):
    """A server that refuses the role system gets one turn, with the image in its place."""
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    image = Media.of_bytes(b"\x89PNG\r\n\x1a\n..")
    messages = (
        {"role": "system", "content": "Look."},
        {"role": "user", "content": f"Here: {image.mark}"},
    )

    def script(payload):
        if payload["messages"][0]["role"] == "system":
            return Fault(400, "System role not supported")
        return "a cat"

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url, key_env=None)
        (answer,) = await backend.generate(Request("m", messages, media=(image,)))
        await backend.close()
    assert answer.text == "a cat"
    (turn,) = server.payloads[-1]["messages"]
    assert [part["type"] for part in turn["content"]] == ["text", "image_url"]
    assert turn["content"][0]["text"] == "Look.\n\nHere: "
