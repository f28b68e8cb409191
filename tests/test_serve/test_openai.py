"""The API of OpenAI, asked by OpenAI's own client: programs, the local engine, adapters."""

import json

import openai
import pytest

from lmc.serve.application import app
from tests.test_serve.servers import loaded, running

TICKET = {"desk": "login", "queue": "calm", "tags": ["a", "b"]}


@pytest.fixture(scope="module")
def http(tmp_path_factory):
    with loaded(tmp_path_factory.mktemp("desk")) as program:
        engines = {"engines": ["lmc/tiny"]}
        with running(app({"desk": program}, keys=["k" * 20], **engines)) as client:
            yield client


@pytest.fixture(scope="module")
def client(http):
    url = str(http.base_url).rstrip("/") + "/v1"
    with openai.OpenAI(base_url=url, api_key="k" * 20, max_retries=0) as made:
        yield made


def ask(client, content, model="desk", **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return client.chat.completions.create(model=model, messages=messages, **more)


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert names[:2] == ["desk", "desk/answer"] and names[-1] == "lmc/tiny"
    assert client.models.retrieve("desk/sort").owned_by == "lmc"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("desk/other")


def test_a_program_of_one_text(client):
    got = ask(client, [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}])
    assert got.choices[0].message.content == "you said hello"
    assert got.choices[0].finish_reason == "stop"
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0


def test_several_choices(client):
    assert [one.index for one in ask(client, "hello", n=3).choices] == [0, 1, 2]


def test_a_program_of_a_conversation(client):
    turns = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": [{"type": "text", "text": "second"}]},
    ]
    assert "second" in ask(client, turns, "desk/talk").choices[0].message.content


def test_a_program_of_other_inputs_and_its_record(client):
    got = ask(client, json.dumps({"words": ["a"], "weight": 2}), "desk/count")
    assert got.choices[0].message.content == "3"
    got = ask(client, json.dumps({"message": "m"}), "desk/sort")
    assert json.loads(got.choices[0].message.content) == TICKET


def test_the_type_of_a_program_honours_a_schema(client, http):
    schemas = http.get("/openapi.json", headers={"X-API-Key": "k" * 20}).json()["components"]
    own = schemas["schemas"]["desk.sort.result"]
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": own, "strict": True}}
    got = ask(client, "m", "desk/sort", response_format=form)
    assert json.loads(got.choices[0].message.content) == TICKET
    form["json_schema"]["schema"] = {"type": "object", "properties": {}}
    with pytest.raises(openai.UnprocessableEntityError, match="whatever the client asks"):
        ask(client, "m", "desk/sort", response_format=form)
    with pytest.raises(openai.UnprocessableEntityError):
        ask(client, "m", response_format={"type": "json_object"})


@pytest.mark.parametrize("model", ["desk", "desk/sort", "lmc/tiny"])
def test_a_stream(client, model):
    options = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 8}
    chunks = list(ask(client, "hello there you", model, **options))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == ask(client, "hello there you", model, max_tokens=8).choices[0].message.content
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason in ("stop", "length")


@pytest.mark.parametrize(
    ("model", "content", "more", "problem"),
    [
        ("other", "a", {}, openai.NotFoundError),
        ("desk/count", "no JSON", {}, openai.BadRequestError),
        ("desk", [{"role": "assistant", "content": "a"}], {}, openai.BadRequestError),
        ("desk", "a", {"n": 1000}, openai.BadRequestError),
        ("desk", "a", {"logprobs": True}, openai.UnprocessableEntityError),
        ("desk/sort", "wrong", {}, openai.InternalServerError),
        ("lmc/tiny", [{"role": "nobody", "content": "a"}], {}, openai.BadRequestError),
        ("lmc/tiny", "a", {"top_logprobs": 3, "logprobs": True}, openai.UnprocessableEntityError),
        (
            "lmc/tiny",
            "a",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "x"}}}},
            openai.BadRequestError,
        ),
    ],
)
def test_what_cannot_be_done_is_told(client, model, content, more, problem):
    with pytest.raises(problem) as failure:
        ask(client, content, model, **more)
    assert failure.value.body["code"] and failure.value.body["message"]


def test_the_local_engine(client):
    got = ask(client, "2 + 2 =", "lmc/tiny", max_tokens=4, n=2, temperature=0.8, logprobs=True)
    assert len(got.choices) == 2 and got.usage.completion_tokens > 0
    tokens = got.choices[0].logprobs.content
    assert tokens and all(token.logprob <= 0 for token in tokens)
    text = "".join(token.token for token in tokens)
    assert text.strip() == got.choices[0].message.content.strip()
    schema = {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    got = ask(client, "hello", "lmc/tiny", response_format=form, max_tokens=40)
    assert json.loads(got.choices[0].message.content).keys() == {"x"}


def test_an_answer_that_is_cut_says_so(client):
    got = ask(client, "What is 17 * 23? Explain.", "lmc/tiny", max_tokens=1)
    assert got.choices[0].finish_reason == "length" and got.usage.completion_tokens == 1


def test_embeddings_need_a_model_that_gives_them(client):
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="lmc/tiny", input=["a"])


def test_what_may_be_refused_is_not_streamed(tmp_path):
    """What was sent of an answer cannot be taken back, so a result that is no text comes whole."""
    text = 'generate main(question: str) -> str? { "Answer." require: out == none }'
    answers = iter(["one two", "none"])
    with (
        loaded(tmp_path, lambda request: next(answers), text) as program,
        running(app({"desk": program})) as http,
        openai.OpenAI(
            base_url=f"{str(http.base_url).rstrip(chr(47))}/v1", api_key="k", max_retries=0
        ) as client,
    ):
        chunks = list(ask(client, "q", stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "null"
