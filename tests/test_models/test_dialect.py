"""Refusals in the words of providers: each is adapted to once, and remembered."""

from itertools import pairwise

import pytest

from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from tests.loopback import Fault, Loopback

SCHEMA = {"type": "object", "properties": {}}
REFUSALS = [
    ("response_format", "This response_format type is unavailable now", {}),
    ("response_format", "'response_format.type' must be 'json_object'", {}),
    ("response_format", "This model does not support response format `json_schema`.", {}),
    ("response_format", "Invalid schema for response_format 'result': In context=()", {}),
    ("response_format", "json_schema is not supported by this deployment", {}),
    ("response_format", "Structured outputs are not enabled for this model", {}),
    ("temperature", "Unsupported value: 'temperature' does not support 0.5 with this model.", {}),
    ("temperature", "temperature is not supported with this model", {}),
    ("temperature", "`temperature` is deprecated for this model.", {}),
    ("top_p", "top_p: Extra inputs are not permitted", {}),
    ("seed", "Unrecognized request argument supplied: seed", {}),
    ("seed", "unknown field `seed`", {}),
    ("seed", "property 'seed' is unsupported", {}),
    ("stop", "Argument not supported on this model: stop", {}),
    ("logprobs", "This model does not return log probabilities", {}),
    ("logprobs", "logprobs is not allowed with this model", {"param": "logprobs"}),
    ("n", "n > 1 is not supported", {}),
    ("n", "Unrecognized request argument supplied: n", {}),
    ("n", "Only one completion choice is allowed: 'n' must be at most 1", {}),
    ("n", "Unsupported value: 'n' does not support 3 with this model.", {"param": "n"}),
    ("n", "number of choices must be 1", {}),
    ("n", "Only one candidate can be specified in the current model", {}),
    ("n", "Multiple candidates is not enabled for this model", {}),
    ("n", "Only one completion choice is allowed", {}),
    ("temperature", "invalid temperature: only 1 is allowed for this model", {}),
    ("temperature", "`temperature` and `top_p` cannot both be specified for this model.", {}),
]


def backend_at(server):
    return OpenAICompatible(server.url)


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()
    yield
    forget_dialects()


def ask_for(**more):
    sampling = Sampling(0.5, 0.9, 7, ("END",), 3)
    messages = ({"role": "system", "content": "Be short."}, {"role": "user", "content": "q"})
    given = {"sampling": sampling, "schema": SCHEMA, "logprobs": True, "n": 3, **more}
    return Request("some-model", messages, **given)


@pytest.mark.parametrize(("name", "words", "more"), REFUSALS, ids=range(len(REFUSALS)))
@pytest.mark.parametrize("status", [400, 422])
async def test_what_is_refused_is_left_out_from_then_on(name, words, more, status):
    def script(payload):
        return Fault(status, words, **more) if name in payload else "fine"

    with Loopback(script) as server:
        first, second = backend_at(server), backend_at(server)
        for backend in (first, second):  # the second one knows what the first one learnt
            answers = await backend.generate(ask_for())
            assert [answer.text for answer in answers] == ["fine"] * 3
            await backend.close()
    refused = [p for p in server.payloads if name in p]
    assert len(refused) == 1
    others = {"temperature", "top_p", "seed", "stop", "response_format", "max_tokens"} - {name}
    assert all(others <= set(p) for p in server.payloads)


SYSTEM = [
    "System role not supported",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Developer instruction is not enabled for models/gemma-3",
    "system messages are not supported by this model",
    "invalid role: system, only user and assistant roles are supported",
    "Only user and assistant roles are supported!",
    "Please use a valid role: user, model.",
]


@pytest.mark.parametrize("words", SYSTEM)
async def test_messages_of_the_system_become_the_users(words):
    def script(payload):
        roles = [message["role"] for message in payload["messages"]]
        return Fault(400, words) if "system" in roles else "fine"

    with Loopback(script) as server:
        backend = backend_at(server)
        for _ in range(2):
            assert (await backend.generate(ask_for(n=1)))[0].text == "fine"
        await backend.close()
    assert len(server.payloads) == 3
    assert server.payloads[-1]["messages"] == [{"role": "user", "content": "Be short.\n\nq"}]


@pytest.mark.parametrize("status", [500, 501])
async def test_words_of_refusal_count_with_other_statuses_too(status):
    def script(payload):
        if any(message["role"] == "system" for message in payload["messages"]):
            return Fault(status, "Jinja Exception: System role not supported")
        return Fault(status, "json_schema not implemented") if "response_format" in payload else "a"

    with Loopback(script) as server:
        backend = backend_at(server)
        assert (await backend.generate(ask_for(n=1)))[0].text == "a"
        await backend.close()
    assert len(server.payloads) == 3


async def test_a_server_that_fails_has_not_refused_what_it_names():
    with Loopback(lambda p: Fault(500, "failed while it made logprobs")) as server:
        backend = backend_at(server)
        with pytest.raises(ModelFailure) as failure:
            await backend.generate(ask_for(n=1))
        await backend.close()
    assert failure.value.kind == "server" and len(server.payloads) == 1


async def test_a_refusal_that_is_sent_as_a_success_is_adapted_to():
    def script(payload):
        told = {"error": {"message": "json_schema is not supported", "code": 400}}
        return told if "response_format" in payload else "a"

    with Loopback(script) as server:
        backend = backend_at(server)
        for _ in range(2):
            assert (await backend.generate(ask_for(n=1)))[0].text == "a"
        await backend.close()
    assert len(server.payloads) == 3


async def test_roles_that_must_alternate_are_joined():
    def script(payload):
        roles = [message["role"] for message in payload["messages"]]
        twice = any(a == b for a, b in pairwise(roles))
        words = "Conversation roles must alternate user/assistant/user/assistant/..."
        return Fault(400, words) if twice or roles[0] == "system" else "fine"

    user = {"role": "user", "content": "q"}
    with Loopback(script) as server:
        backend = backend_at(server)
        (answer,) = await backend.generate(Request("m", (user, user)))
        await backend.close()
    assert answer.text == "fine" and len(server.payloads) == 2


@pytest.mark.parametrize(
    "words",
    [
        "temperature must be between 0 and 2",
        "Invalid 'temperature': decimal above maximum value",
        "the model is overloaded with requests",
        "you have no access to this model",
    ],
)
async def test_what_the_user_asked_for_is_not_left_out_for_its_value(words):
    with Loopback(Fault(400, words)) as server:
        server.script = lambda p: Fault(400, words)
        backend = backend_at(server)
        with pytest.raises(ModelFailure) as failure:
            await backend.generate(ask_for(n=1))
        await backend.close()
    assert len(server.payloads) == 1 and words in failure.value.message


async def test_stream_options_and_streams_that_are_refused():
    def script(payload):
        if "stream_options" in payload:
            return Fault(400, "Unrecognized request argument supplied: stream_options")
        if "stream" in payload:
            return Fault(400, "'stream' does not support true with this model.", param="stream")
        return "in one piece"

    with Loopback(script) as server:
        backend = backend_at(server)
        (answer,) = await backend.generate(ask_for(n=1, on_text=lambda piece: None))
        await backend.close()
    assert answer.text == "in one piece" and len(server.payloads) == 3
