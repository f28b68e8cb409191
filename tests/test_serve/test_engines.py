"""Models that are served by themselves, and weights on them."""

import httpx
import pytest

from lmc.diagnostics import LmcError
from lmc.models import registry
from lmc.models.base import Capabilities
from lmc.models.embedding import encoded
from lmc.models.scripted import Scripted
from lmc.serve.application import app
from tests.lora_files import adapter_files
from tests.test_serve.servers import running


@pytest.fixture
def backend():
    made = Scripted(lambda request: f"{request.adapter}")
    registry.register("mine/", lambda model, settings: made)
    yield made
    registry.unregister("mine/")


def chat(client: httpx.Client, model: str, **more) -> httpx.Response:
    messages = [{"role": "user", "content": "a"}]
    return client.post("/v1/chat/completions", json={"model": model, "messages": messages, **more})


def test_budgets_and_seeds_of_engines(backend):
    with running(app([], engines=["mine/m"], total_budget={"calls": 3})) as client:
        for _ in range(2):
            assert chat(client, "mine/m", temperature=0.7).status_code == 200
        seeds = [request.sampling.seed for request in backend.requests]
        assert None not in seeds and seeds[0] != seeds[1]
        assert chat(client, "mine/m", seed=7).status_code == 200
        assert backend.requests[-1].sampling.seed == 7
        got = chat(client, "mine/m")
        assert got.status_code == 402 and got.json()["error"]["code"] == "budget-exceeded"


def test_embeddings(backend):
    backend._respond = lambda request: encoded([0.5, -1.0])
    backend.capabilities = Capabilities(embeds=True, cacheable=False)
    with running(app([], engines=["mine/m"])) as client:
        asked = {"model": "mine/m", "input": ["a", "b"]}
        got = client.post("/v1/embeddings", json=asked).json()
        assert [one["embedding"] for one in got["data"]] == [[0.5, -1.0]] * 2
        base = client.post("/v1/embeddings", json={**asked, "encoding_format": "base64"}).json()
        assert base["data"][0]["embedding"] == encoded([0.5, -1.0])
        assert chat(client, "mine/m").json()["error"]["code"] == "not-supported"


def test_an_adapter_has_a_name_of_its_own(backend, tmp_path):
    for name, data in adapter_files().items():
        (tmp_path / name).write_bytes(data)
    with running(app([], engines=["mine/m"], adapters={"tuned": tmp_path})) as client:
        names = [one["id"] for one in client.get("/v1/models").json()["data"]]
        assert names == ["mine/m", "tuned"]
        said = [chat(client, n).json()["choices"][0]["message"]["content"] for n in names]
        assert said[0] == "None" and len(said[1]) == 32


def test_an_unknown_engine_or_adapter_stops_the_start(tmp_path):
    with pytest.raises(LmcError, match="unknown-model"):
        app([], engines=["nobody"])
    with pytest.raises(LmcError, match="not-an-adapter"):
        app([], engines=["lmc/tiny"], adapters={"a": tmp_path})
    with pytest.raises(LmcError, match="bad-limit"):
        app([], adapters={"a": tmp_path})
