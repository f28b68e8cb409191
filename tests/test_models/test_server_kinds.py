"""The table of dialects, held to an exchange of each kind: what is sent, and what is read of it.

A file of `tests/exchanges` says whether it was recorded from a server or written after the
provider's documentation.
"""

import json
from pathlib import Path

import pytest

from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.border import judge
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.registry import capabilities_of, open_backend, provider_of
from lmc.models.server_kinds import KINDS, OTHER, kind_at, recognised
from tests.loopback import Events, Fault, Loopback
from tests.test_docs.dialect_table import PAGE, rewritten

FOLDER = Path(__file__).parents[1] / "exchanges"
FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
EXCHANGES = [
    pytest.param(name, exchange, id=f"{name}: {exchange['about']}")
    for name, file in FILES.items()
    for exchange in file["exchanges"]
]
PROVIDERS = [kind for kind in KINDS.values() if kind.base_url]


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch):
    forget_dialects()
    for name in ("OPENAI_BASE_URL", "LMC_ALLOW_HOSTS"):
        monkeypatch.delenv(name, raising=False)
    yield
    forget_dialects()


def request_of(ask):
    ask = dict(ask)
    stream, sampling = ask.pop("stream", False), Sampling(**ask.pop("sampling", {}))
    messages = tuple(ask.pop("messages"))
    listen = (lambda piece: None) if stream else None
    return Request(ask.pop("model", "m"), messages, sampling, on_text=listen, **ask)


def reply_of(exchange):
    reply, status = exchange["reply"], exchange["status"]
    if isinstance(reply, list) and "choices" in reply[0]:
        return Events(reply)
    return Fault(status, body=json.dumps(reply).encode(), headers=exchange["headers"])


@pytest.mark.parametrize(("name", "exchange"), EXCHANGES)
async def test_an_exchange(name, exchange):
    read = exchange["read"]
    with Loopback(lambda payload: reply_of(exchange)) as server:
        backend = OpenAICompatible(server.url, kind=KINDS[name])
        answers, failed = [], None
        try:
            answers = await backend.generate(request_of(exchange["ask"]))
        except ModelFailure as failure:
            failed = failure.kind
        await backend.close()
    assert server.payloads == [exchange["sent"]] and failed == read.get("failure")
    if not answers:
        return
    outcome = judge(answers[0], "m")
    if "judged" in read:
        assert isinstance(outcome, ModelFailure) and outcome.kind == read["judged"]
        return
    first = answers[0]
    assert [a.text for a in answers] == read.get("texts", [a.text for a in answers])
    assert first.finish_reason == read.get("finish", "stop")
    assert first.reasoning == read.get("reasoning", "")
    assert first.prompt_tokens == read["prompt"]
    assert sum(answer.completion_tokens for answer in answers) == read["completion"]
    counted = {"cached": first.details.cached, "thought": first.details.reasoning}
    counted["audio"] = first.details.audio
    assert counted == {kind: read.get(kind, 0) for kind in counted}
    if "logprobs" in read:
        assert [len(answer.logprobs or ()) for answer in answers] == read["logprobs"]


def test_each_kind_has_its_exchanges_and_says_where_they_are_from():
    assert {*FILES} == {*KINDS} - {OTHER.name}
    for name, file in FILES.items():
        assert (file["kind"], file["source"]) == (name, KINDS[name].source)
        assert ("Recorded on" in file["about"]) == file["recorded"]
        assert file["recorded"] or "not recorded" in file["about"]


@pytest.mark.parametrize("name", FILES)
def test_the_row_says_what_the_exchanges_show(name):
    kind, exchanges = KINDS[name], FILES[name]["exchanges"]
    sent = [exchange["sent"] for exchange in exchanges]
    told = {key for payload in sent for key in payload}
    assert not told & kind.unsent
    assert all(payload.get("n", 1) <= (kind.most_n or 99) for payload in sent)
    forms = {p["response_format"]["type"] for p in sent if "response_format" in p}
    assert forms <= {kind.schema}
    stricts = {p["response_format"].get("json_schema", {}).get("strict", False)
               for p in sent if "response_format" in p}  # fmt: skip
    assert stricts <= {kind.strict}
    limits = told & {"max_tokens", "max_completion_tokens"}
    assert limits <= {kind.limit}
    seeds = told & {"seed", "random_seed"}
    assert seeds <= {kind.seed}
    shown = json.dumps([exchange["reply"] for exchange in exchanges])
    if kind.cached:
        assert f'"{kind.cached.rpartition(".")[2]}"' in shown
    for field in ("reasoning_content", "reasoning"):
        if f'"{field}": "' in shown:
            assert f"`{field}`" in kind.thoughts


@pytest.mark.parametrize(
    ("url", "name"),
    [
        *((f"https://{host}/v1", kind.name) for kind in KINDS.values() for host in kind.hosts),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:1234/v1", "lmstudio"),
        ("http://[::1]:30000/v1", "sglang"),
        ("http://gpu.example:11434/v1", "other"),
        ("http://localhost:8000/v1", "other"),
        ("https://api.deepseek.com.evil.example/v1", "other"),
        ("http://localhost:999999/v1", "other"),
    ],
)
def test_a_server_is_known_by_its_address(url, name):
    assert kind_at(url).name == name


@pytest.mark.parametrize(
    ("headers", "models", "name"),
    [
        ({"Server": "llama.cpp"}, {}, "llama.cpp"),
        ({"Server": "uvicorn"}, {"data": [{"id": "x", "owned_by": "vllm"}]}, "vllm"),
        ({}, {"data": [{"id": "x", "owned_by": "sglang"}]}, "sglang"),
        ({}, {"data": [{"id": "x", "owned_by": "library"}]}, "ollama"),
        ({}, {"data": [{"id": "x", "owned_by": "organization_owner"}]}, "lmstudio"),
        ({"Server": "uvicorn"}, {"data": []}, None),
        ({}, {"data": "x"}, None),
        ({}, [3], None),
    ],
)
def test_a_server_is_known_by_what_it_says(headers, models, name):
    found = recognised(headers, models)
    assert (found and found.name) == name


@pytest.mark.parametrize("kind", PROVIDERS, ids=lambda kind: kind.name)
def test_a_provider_is_asked_at_its_address_with_its_own_key(kind, monkeypatch):
    variable = f"{kind.name.upper()}_API_KEY"
    monkeypatch.setenv(variable, "k-1")
    backend, model = open_backend(f"{kind.name}/some/model", {})
    assert (backend.endpoint, backend.key_env, model) == (kind.base_url, variable, "some/model")
    assert backend.kind is kind and backend.capabilities == capabilities_of(f"{kind.name}/x", {})
    assert provider_of(f"litellm/{kind.name}/x").prefix == "litellm/"
    monkeypatch.delenv(variable)
    with pytest.raises(Exception) as failure:
        open_backend(f"{kind.name}/x", {})
    assert failure.value.code == "missing-key"


def test_a_program_may_say_which_kind_a_server_is():
    given = {"base_url": "http://gpu.example:8000/v1", "users": True}
    assert open_backend("openai/x", {**given, "dialect": "sglang"})[0].kind.name == "sglang"
    assert open_backend("hosted_vllm/x", given)[0].kind.name == "vllm"
    assert open_backend("llama.cpp/x", given)[0].kind.name == "llama.cpp"
    assert open_backend("openai/x", given)[0].kind.name == "other"


def test_the_table_in_the_docs_is_this_one():
    assert rewritten() == PAGE.read_text("utf-8"), "python -m tests.test_docs.dialect_table"
