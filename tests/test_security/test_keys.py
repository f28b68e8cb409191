"""A key goes to its own host, or where the user says; a program cannot send it elsewhere."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.consent import Consent
from lmc.models.origins import Address, key_to_send
from lmc.models.registry import open_backend
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.job import settle
from lmc.optimizers.compilation.journal import Journal
from lmc.optimizers.compilation.options import CompileOptions
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.optimizers.compilation.runner import Runner
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked
from tests.loopback import Loopback

SECRETS = {"AWS_SECRET_ACCESS_KEY": "aws-1", "GITHUB_TOKEN": "ghp-1", "OPENAI_API_KEY": "sk-1"}
ADDRESSES = ("OPENAI_BASE_URL", "HOSTED_VLLM_API_BASE", "LMC_ALLOW_HOSTS", "LMC_ALLOW_PATHS")


@pytest.fixture(autouse=True)
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for name in ADDRESSES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback("ok") as running:
        yield running


def program(settings: str, suffix: str = ".lmp") -> Path:
    """A program, or an artifact, whose one model has these settings."""
    text = (
        f"model m {{ {settings} retry: {{max: 0}} }}\n"
        'generate main(q: str) -> str { """A.""" model: m }\n'
    )
    Path("p.lmp").write_text(text)
    if suffix == ".lmp":
        return Path("p.lmp")
    known = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    graph = lower_checked(check_file("p.lmp"))
    Artifact(known, graph, sources={"p.lmp": text}).write(Path("p.lmpc"))
    return Path("p.lmpc")


def ask(path: Path, **options: Any) -> str:
    """The answer, or the slug of the failure."""
    try:
        with lmc.load(path, cache=False, **options) as loaded:
            return str(loaded.main(q="?"))
    except lmc.LmcError as failure:
        return failure.code


@pytest.mark.parametrize("suffix", [".lmp", ".lmpc"])
@pytest.mark.parametrize(
    ("provider", "variable"),
    [
        ("hosted_vllm", "AWS_SECRET_ACCESS_KEY"),
        ("openai", "AWS_SECRET_ACCESS_KEY"),
        ("ollama", "GITHUB_TOKEN"),
        ("openai", "OPENAI_API_KEY"),
        ("vllm", "PATH"),
    ],
)
def test_no_variable_goes_to_a_host_that_a_program_names(
    server: Loopback, suffix: str, provider: str, variable: str
) -> None:
    path = program(
        f'name: "{provider}/x" base_url: "{server.url}" api_key_env: "{variable}"', suffix
    )
    assert ask(path) == ("key-not-allowed" if suffix == ".lmp" else "host-not-allowed")
    assert server.payloads == []


@pytest.mark.parametrize("suffix", [".lmp", ".lmpc"])
@pytest.mark.parametrize("provider", ["openai", "ollama", "hosted_vllm"])
def test_without_a_named_key_no_key_is_sent(
    server: Loopback, suffix: str, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "ol-1")
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "v-1")
    path = program(f'name: "{provider}/x" base_url: "{server.url}"', suffix)
    if suffix == ".lmp":
        assert ask(path) == "ok"
        assert server.keys == [None]
    else:  # not even the request
        assert ask(path) == "host-not-allowed"
        assert server.payloads == []


def test_the_message_names_the_variable_and_the_host(server: Loopback) -> None:
    settings = f'name: "openai/x" base_url: "{server.url}" api_key_env: "AWS_SECRET_ACCESS_KEY"'
    with pytest.raises(lmc.LmcError) as failure:
        lmc.load(program(settings)).main(q="?")
    (told,) = failure.value.diagnostics
    host = f"127.0.0.1:{server.port}"
    assert told.message == (f"the program would send the value of AWS_SECRET_ACCESS_KEY to {host}")
    assert f"--allow-host {host}" in str(told.help)
    assert "aws-1" not in str(failure.value)


def test_an_artifact_asks_no_server_of_this_machine_unless_allowed(server: Loopback) -> None:
    path = program(f'name: "openai/x" base_url: "{server.url}"', ".lmpc")
    with pytest.raises(lmc.LmcError) as failure:
        lmc.load(path, cache=False).main(q="?")
    assert f"--allow-host 127.0.0.1:{server.port}" in str(failure.value.diagnostics[0].help)
    assert server.payloads == []
    assert ask(path, hosts=f"127.0.0.1:{server.port}") == "ok"
    assert ask(path, hosts="localhost") == "host-not-allowed"
    assert server.keys == [None]


@pytest.mark.parametrize("suffix", [".lmp", ".lmpc"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:{port}", "http://127.0.0.1"])
def test_the_user_may_allow_a_host(server: Loopback, suffix: str, host: str) -> None:
    path = program(f'name: "openai/x" base_url: "{server.url}" api_key_env: "GITHUB_TOKEN"', suffix)
    allowed = host.format(port=server.port)
    assert ask(path, hosts=[allowed]) == ask(path, hosts=allowed) == "ok"
    assert server.keys == ["Bearer ghp-1", "Bearer ghp-1"]


def test_hosts_are_allowed_by_the_environment_too(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program(f'name: "openai/x" base_url: "{server.url}" api_key_env: "GITHUB_TOKEN"')
    monkeypatch.setenv("LMC_ALLOW_HOSTS", "other.example")
    assert ask(path) == "key-not-allowed"
    monkeypatch.setenv("LMC_ALLOW_HOSTS", "other.example, 127.0.0.1")
    assert ask(path) == "ok"


def test_the_command_takes_hosts_and_an_address(server: Loopback) -> None:
    path = program(f'name: "openai/x" base_url: "{server.url}" api_key_env: "GITHUB_TOKEN"')
    call = ["run", str(path), "--q", "?", "--no-cache"]
    done = CliRunner().invoke(cli, call)
    assert isinstance(done.exception, lmc.LmcError)
    assert done.exception.code == "key-not-allowed"
    done = CliRunner().invoke(cli, [*call, "--allow-host", "127.0.0.1"])
    assert (done.exit_code, done.output) == (0, "ok\n")
    path = program('name: "openai/x"')
    done = CliRunner().invoke(cli, [*call, "--base-url", server.url])
    assert (done.exit_code, done.output) == (0, "ok\n")
    assert server.keys == ["Bearer ghp-1", "Bearer sk-1"]


@pytest.mark.parametrize("suffix", [".lmp", ".lmpc"])
def test_an_address_of_the_user_gets_the_key_of_the_provider(
    server: Loopback, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = program('name: "openai/x"', suffix)
    assert ask(path, base_url=server.url) == "ok"
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert ask(path) == "ok"
    assert server.keys == ["Bearer sk-1", "Bearer sk-1"]
    # But no other key, which the program would choose.
    path = program('name: "openai/x" api_key_env: "AWS_SECRET_ACCESS_KEY"', suffix)
    assert ask(path) == "key-not-allowed"
    assert ask(path, base_url=server.url) == "key-not-allowed"
    assert len(server.keys) == 2


def test_the_address_of_the_user_goes_before_that_of_the_program(server: Loopback) -> None:
    with Loopback("theirs") as other:
        path = program(f'name: "openai/x" base_url: "{other.url}"')
        assert ask(path, base_url=server.url) == "ok"
        assert not other.payloads


# --- the rule, case by case ---

ALLOWED = Consent(hosts=("box.example", "http://plain.example", "port.example:8000"))
CASES = [
    # where, the variable that the program names, what is sent (or the slug)
    ("https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_API_KEY"),
    ("https://api.openai.com/v1", "OPENAI_KEY_OF_MY_TEAM", "OPENAI_KEY_OF_MY_TEAM"),
    ("https://api.openai.com/v1", None, "OPENAI_API_KEY"),
    ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", "OPENROUTER_API_KEY"),
    ("https://openrouter.ai/api/v1", "OPENAI_API_KEY", "key-not-allowed"),
    ("https://openrouter.ai/api/v1", None, None),
    ("https://api.openai.com/v1", "AWS_SECRET_ACCESS_KEY", "key-not-allowed"),
    ("https://api.openai.com/v1", "OPENAIX_KEY", "key-not-allowed"),
    ("http://api.openai.com/v1", "OPENAI_API_KEY", "key-not-allowed"),
    ("http://api.openai.com/v1", None, None),
    ("https://api.openai.com.evil.example/v1", "OPENAI_API_KEY", "key-not-allowed"),
    ("https://evil.example/api.openai.com", "OPENAI_API_KEY", "key-not-allowed"),
    ("https://evil.openai.azure.com/v1", "OPENAI_API_KEY", "key-not-allowed"),
    ("https://box.example/v1", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
    ("https://BOX.example:444/v1", "MY_KEY", "MY_KEY"),
    ("http://box.example/v1", "MY_KEY", "key-not-allowed"),
    ("https://a.box.example/v1", "MY_KEY", "key-not-allowed"),
    ("https://xbox.example/v1", "MY_KEY", "key-not-allowed"),
    ("http://plain.example/v1", "MY_KEY", "MY_KEY"),
    ("https://plain.example/v1", "MY_KEY", "MY_KEY"),
    ("https://port.example:8000/v1", "MY_KEY", "MY_KEY"),
    ("https://port.example:8001/v1", "MY_KEY", "key-not-allowed"),
    ("http://127.0.0.1:8000/v1", "VLLM_API_KEY", "VLLM_API_KEY"),
    ("http://localhost:8000/v1", "OLLAMA_API_KEY", "OLLAMA_API_KEY"),
    ("http://[::1]:8000/v1", "HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_KEY"),
    ("http://127.0.0.1:8000/v1", "MY_KEY", "key-not-allowed"),
    ("http://localhost.evil.example/v1", "VLLM_API_KEY", "key-not-allowed"),
    ("http://127.0.0.1.evil.example/v1", "VLLM_API_KEY", "key-not-allowed"),
    ("https://10.0.0.7/v1", "VLLM_API_KEY", "key-not-allowed"),
    ("https://api.openai.com@evil.example/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("https://api.openai.com\\@evil.example/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("https://evil.example#@api.openai.com/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("https://evil.example?@api.openai.com/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("https://api.openаi.com/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("https://api.openai.com\t.evil.example/v1", "OPENAI_API_KEY", "bad-base-url"),
    ("file:///etc/passwd", None, "bad-base-url"),
    ("https://api.openai.com./v1", "OPENAI_API_KEY", "key-not-allowed"),
]


def sent(url: str, variable: str | None, consent: Consent) -> str | None:
    settings = {"base_url": url, "api_key_env": variable, "consent": consent}
    try:
        address = Address.of(settings, None)
        assert address is not None
        return key_to_send(address, "OPENAI", "OPENAI_API_KEY", settings)
    except lmc.LmcError as failure:
        return failure.code


@pytest.mark.parametrize(("url", "variable", "wanted"), CASES)
def test_which_key_goes_where(url: str, variable: str | None, wanted: str | None) -> None:
    assert sent(url, variable, ALLOWED) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://evil.example/v1", "host-not-allowed"),
        ("http://169.254.169.254/latest", "host-not-allowed"),
        ("http://10.0.0.7:8000/v1", "host-not-allowed"),
        ("http://api.openai.com/v1", "host-not-allowed"),
        ("https://box.example/v1", None),
        ("http://box.example/v1", "host-not-allowed"),
        ("http://127.0.0.1:8000/v1", "host-not-allowed"),
        ("http://localhost:8000/v1", "host-not-allowed"),
        ("http://[::1]:8000/v1", "host-not-allowed"),
        ("https://openrouter.ai/api/v1", None),
    ],
)
def test_an_artifact_connects_to_hosts_that_are_known_or_allowed(
    url: str, wanted: str | None
) -> None:
    """Without any key too: the inputs go there."""
    stranger = Consent(stranger=True, hosts=ALLOWED.hosts)
    assert sent(url, None, stranger) == wanted
    assert sent(url, None, ALLOWED) is None  # the user's own program


# --- other providers ---


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "settings", "wanted"),
    [
        ("anthropic/claude-sonnet-4-5", {"base_url": "https://evil.example"}, "host-not-allowed"),
        ("litellm/openai/x", {"base_url": "http://127.0.0.1:1/v1"}, "host-not-allowed"),
        ("embed/openai/x", {"base_url": "https://evil.example"}, "host-not-allowed"),
        ("anthropic/x", {"api_key_env": "AWS_SECRET_ACCESS_KEY"}, "key-not-allowed"),
        ("groq/x", {"api_key_env": "OPENAI_API_KEY"}, "key-not-allowed"),
        ("huggingface/https://evil.example/x", {}, "unknown-model"),
    ],
)
def test_litellm_is_given_no_address_and_no_key_of_a_stranger(
    name: str, settings: dict[str, Any], wanted: str
) -> None:
    pytest.importorskip("litellm")
    with pytest.raises(lmc.LmcError) as failure:
        open_backend(name, settings)
    assert failure.value.code == wanted


# --- the user's own model ---

FALLBACKS = """
default {{ fallback: [there] }}
model there {{ name: "openai/there" base_url: "{url}" retry: {{max: 0}} }}
generate main(q: str) -> str {{ \"\"\"A.\"\"\" model: there fallback: [there] }}
"""


def test_a_model_of_the_user_replaces_the_fallbacks(server: Loopback) -> None:
    Path("p.lmp").write_text(FALLBACKS.format(url=server.url))
    Path("none.json").write_text("[]")
    assert ask(Path("p.lmp"), model="scripted/none.json") == "infrastructure-failure"
    assert server.payloads == []
    assert ask(Path("p.lmp")) == "ok"


def test_a_model_of_the_user_replaces_the_embedders_elsewhere() -> None:
    """Words choose the demonstrations then. What embeds here sends nothing, and goes on."""
    from lmc.prompts.spec import Demo
    from lmc.runtime.parameters import ModuleParameters, Parameters

    Path("p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    graph = lower_checked(check_file("p.lmp"))
    demos = tuple(Demo({"q": word}, {"": word}) for word in ("one", "two", "three"))
    elsewhere = ModuleParameters(
        demos=tuple(Demo(d.inputs, {"value": d.outputs[""]}) for d in demos),
        nearest=1,
        embedder="embed/openai/elsewhere",
    )
    here = replace(elsewhere, embedder="embed/local")
    for learnt, kept in ((elsewhere, None), (here, "embed/local")):
        known = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
        Artifact(known, graph, Parameters({"main": learnt})).write(Path("p.lmpc"))
        program = lmc.load("p.lmpc", model="lmc/tiny")
        assert program.parameters.modules["main"].embedder == kept
        assert lmc.load("p.lmpc").parameters.modules["main"].embedder == learnt.embedder
        if kept is None:
            assert program.executor.preflight("main") == []


def test_the_defaults_of_a_stranger_say_no_address() -> None:
    """The checker allows none there; a forged graph could have one, and the user's key with it."""
    from lmc.requests.pool import ModelPool

    default = {"base_url": "http://127.0.0.1:1/v1", "api_key_env": "AWS_SECRET_ACCESS_KEY"}
    pool = ModelPool({}, default, consent=Consent(stranger=True, models=frozenset(["openai/x"])))
    backend = pool.bind("openai/x").backend
    assert backend.endpoint == "https://api.openai.com/v1"
    assert pool.bind("openai/y").settings.get("api_key_env") is None


def test_a_forged_model_does_not_lead_out_of_the_folder() -> None:
    from lmc.requests.pool import ModelPool

    Path("in").mkdir()
    Path("answers.json").write_text('["x"]')
    forged = {"name": "scripted/answers.json", "base_dir": ".", "users": True, "consent": None}
    pool = ModelPool({"m": forged}, base_dir=Path("in"))
    with pytest.raises(lmc.LmcError, match=r"cannot read the script in/answers\.json"):
        pool.bind("m")


def test_compilations_ask_by_the_same_rule(server: Loopback) -> None:
    path = program(f'name: "openai/x" base_url: "{server.url}" api_key_env: "GITHUB_TOKEN"')
    rows = [{"q": str(i), "answer": "x"} for i in range(200)]
    job = settle(path, CompileOptions(data=rows, metric="accuracy", record="r.jsonl"))
    runner = Runner(job, Journal(RunFolder(Path("run")), {}), None, lambda answered: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(lmc.LmcError) as failure:
        list(runner.preflight())
    assert failure.value.code == "key-not-allowed"
    assert runner.pool._record == Path("r.jsonl")


# --- recordings ---


def test_a_program_records_nothing() -> None:
    Path("a.json").write_text('["alias ls=touch"]')
    path = program('name: "recorded/PWNED?from=scripted/a.json"')
    assert ask(path) == "recording-in-program"
    assert not Path("PWNED").exists()


def test_recording_is_an_option_and_replays() -> None:
    path = program('name: "openai/x"')
    said = Scripted(lambda request: request.messages[-1]["content"][-3:].upper())
    with lmc.load(path, backend=said, record="r.jsonl") as recording:
        first = recording.main(q="abc")
    with lmc.load(path, model="recorded/r.jsonl", cache=False) as replay:
        assert replay.main(q="abc") == first == "ABC"
    assert len(said.requests) == 1
