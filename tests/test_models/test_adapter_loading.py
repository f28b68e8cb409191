"""lmc's own adapters in a server that behaves like vLLM, and names of adapters in programs."""

import shutil
from pathlib import Path

import pytest

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.models.adapter_loading import AdapterLoader
from lmc.models.adapters import CONFIG, WEIGHTS, adapter_store
from lmc.models.base import ModelFailure, Request
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.registry import open_backend
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked
from lmc.source import Source
from tests.loopback import Fault, Loopback

QUESTION = ({"role": "user", "content": "q"},)


@pytest.fixture(autouse=True)
def nothing_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("LMC_LOAD_ADAPTERS", raising=False)
    forget_dialects()


@pytest.fixture
def adapter(tmp_path):
    return adapter_store().add_files({WEIGHTS: b"weights", CONFIG: b'{"r": 8}'})


def vllm(server):
    """A script that knows the base model and what was loaded, as vLLM does."""

    def script(payload):
        if payload["model"] != "base" and payload["model"] not in server.adapters:
            return Fault(404, f"The model `{payload['model']}` does not exist.")
        return f"by {payload['model']}"

    return script


@pytest.fixture
def server():
    with Loopback() as running:
        running.adapters = {}
        running.script = vllm(running)
        yield running


def opened(server, **settings):
    given = {"base_url": server.url, "users": True, **settings}
    return open_backend("hosted_vllm/base", given)[0]


async def test_an_adapter_is_loaded_once_before_it_is_asked(server, adapter):
    backend = opened(server, load_adapters=True)
    for n in (1, 2):
        answers = await backend.generate(Request("base", QUESTION, adapter=adapter.id, n=n))
        assert [answer.text for answer in answers] == [f"by {adapter.id}"] * n
    assert server.adapters == {adapter.id: str(adapter.folder.resolve())}
    await backend.close()
    other = opened(server, load_adapters=True)  # the server knows it already, and says so
    assert (await other.generate(Request("base", QUESTION, adapter=adapter.id)))[0].text
    await other.close()


async def test_a_server_that_was_started_anew_gets_it_again(server, adapter):
    backend = opened(server, load_adapters=True)
    await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    server.adapters.clear()
    (answer,) = await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    assert answer.text == f"by {adapter.id}" and adapter.id in server.adapters
    await backend.close()


async def test_names_of_the_server_are_sent_as_they_are(server):
    server.adapters["org/my-adapter"] = "there"
    backend = opened(server, load_adapters=True)
    (answer,) = await backend.generate(Request("base", QUESTION, adapter="org/my-adapter"))
    assert answer.text == "by org/my-adapter"
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(Request("base", QUESTION, adapter="org/other"))
    assert failure.value.kind == "not_found" and "load_adapters" not in failure.value.hint
    await backend.close()


async def test_without_the_setting_nothing_is_loaded_and_the_hint_says_how(server, adapter):
    backend = opened(server)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    await backend.close()
    assert "`load_adapters: true`" in failure.value.hint and server.adapters == {}


async def test_the_environment_may_ask_for_it_too(server, adapter, monkeypatch):
    monkeypatch.setenv("LMC_LOAD_ADAPTERS", "1")
    backend = opened(server)
    await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    await backend.close()
    assert adapter.id in server.adapters


async def test_a_server_without_the_route(server, adapter):
    server.adapters = None
    server.script = lambda payload: "base"
    backend = opened(server, load_adapters=True)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    await backend.close()
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in failure.value.hint
    assert failure.value.kind == "not_found" and not failure.value.retryable
    assert server.payloads == []  # the base model must not answer in its place


async def test_a_server_that_does_not_see_the_folder(server, adapter):
    backend = opened(server, load_adapters=True)
    seen = backend.adapters
    moved = adapter.folder.with_name("moved")

    async def send(method, path, body):
        shutil.move(adapter.folder, moved)  # as on a machine without it
        try:
            return await backend._received(method, path, body)
        finally:
            shutil.move(moved, adapter.folder)

    backend.adapters = AdapterLoader(backend.endpoint, send)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(Request("base", QUESTION, adapter=adapter.id))
    assert "same path" in failure.value.hint and str(adapter_store().root) in failure.value.hint
    backend.adapters = seen
    assert (await backend.generate(Request("base", QUESTION, adapter=adapter.id)))[0].text
    await backend.close()


async def test_an_adapter_that_is_nowhere(server):
    backend = opened(server, load_adapters=True)
    with pytest.raises(ModelFailure) as failure:
        await backend.generate(Request("base", QUESTION, adapter="0" * 32))
    await backend.close()
    assert failure.value.kind == "not_found" and not failure.value.sent


@pytest.mark.parametrize(
    ("status", "words", "hint", "retryable"),
    [
        (400, "LoRA rank 64 is greater than max_lora_rank 16.", "--max-lora-rank", False),
        (401, "Unauthorized", "key", False),
        (500, "out of memory", "", True),
    ],
)
async def test_refusals_in_its_words(adapter, status, words, hint, retryable):
    async def send(method, path, body):
        assert (method, path, body["lora_name"]) == ("POST", "load_lora_adapter", adapter.id)
        return status, {}, words.encode()

    loader = AdapterLoader("http://e", send)
    for _ in range(2):  # it is tried again
        with pytest.raises(ModelFailure) as failure:
            await loader.load(adapter.id)
        assert hint in failure.value.hint and failure.value.retryable == retryable
        assert words in failure.value.message


def program(server, settings="load_adapters: true"):
    text = f'model m {{ name: "hosted_vllm/base" base_url: "{server.url}" {settings} '
    text += "retry: {max: 0} }\n"
    text += 'generate main(q: str) -> str { """A.""" model: m adapter: "org/my-adapter.v2" }\n'
    Path("p.lmp").write_text(text)
    return text


def test_a_program_names_an_adapter_with_a_dash_and_a_slash(server):
    server.adapters["org/my-adapter.v2"] = "there"
    program(server)
    with lmc.load("p.lmp", cache=False) as loaded:
        assert loaded.main(q="?") == "by org/my-adapter.v2"


def test_an_artifact_loads_nothing_into_a_server_without_consent(server):
    text = program(server)
    graph = lower_checked(check_file("p.lmp"))
    manifest = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    Artifact(manifest, graph, sources={"p.lmp": text}).write(Path("p.lmpc"))
    options = {"cache": False, "base_url": server.url}
    with lmc.load("p.lmpc", **options) as loaded, pytest.raises(LmcError) as failure:
        loaded.main(q="?")
    assert failure.value.code == "settings-not-allowed"


@pytest.mark.parametrize("name", ['"a b"', '"../x"', '"http://evil"', '"/x"', '""', "3", '"a//b"'])
def test_what_is_no_name(name):
    source = f'generate main(q: str) -> str {{ """A.""" adapter: {name} }}\n'
    _, found = check_program(Source("p.lmp", source))
    assert [d.code for d in found] == ["name-needed"]


def test_a_server_of_another_kind_is_not_asked_to_load(monkeypatch):
    assert OpenAICompatible("http://localhost:1/v1").adapters is None
