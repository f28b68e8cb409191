"""An artifact loads no weights, of the hub or of a folder, that its loader did not allow."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.models.registry import open_backend
from lmc.models.transformers_local import Transformers
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, lower_checked
from lmc.runtime.parameters import ModuleParameters, Parameters

HUB = ("hf/someone/huge", "vllm/someone/huge")
PLACES = ("hf/model", "vllm/model", "gguf/model/m.gguf", "gguf/model", "llama.cpp/model/m.gguf")
TEXT = 'model m {{ name: "{name}" }}\ngenerate main(q: str) -> str {{ """A.""" model: m }}\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    for name in ("LMC_ALLOW_HOSTS", "LMC_ALLOW_PATHS", "HOSTED_VLLM_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    # As where vLLM and llama.cpp are installed; nothing here loads a model.
    monkeypatch.setattr("lmc.models.llamacpp_local.find_spec", lambda name: name)
    monkeypatch.setattr("lmc.models.registry._vllm_server", lambda settings: False)
    monkeypatch.setattr("lmc.models.gguf.open_file", lambda file, **_: Transformers(str(file)))
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    Path("model/m.gguf").write_bytes(b"GGUF" + bytes(20))


def pack(name: str, parameters: Parameters | None = None) -> Path:
    text = TEXT.format(name=name)
    Path("p.lmp").write_text(text)
    known = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    graph = lower_checked(check_file("p.lmp"))
    Artifact(known, graph, parameters or Parameters(), {"p.lmp": text}).write(Path("p.lmpc"))
    return Path("p.lmpc")


def refusal(path: Path, **options: Any) -> str | None:
    """The slug of the failure to open the model of a program."""
    try:
        lmc.load(path, cache=False, **options).executor.preflight("main")
    except lmc.LmcError as failure:
        return failure.code
    return None


@pytest.mark.parametrize("name", [*HUB, *PLACES])
def test_weights_are_not_loaded_without_consent(name: str) -> None:
    path = pack(name)
    assert refusal(path) == "weights-not-allowed"
    with pytest.raises(lmc.LmcError, match=f"`{name}`") as failure:
        lmc.load(path, cache=False).main(q="?")
    assert failure.value.code == "weights-not-allowed"
    done = CliRunner().invoke(cli, ["run", str(path), "--q", "?"])
    assert isinstance(done.exception, lmc.LmcError)
    assert done.exception.code == "weights-not-allowed"
    assert refusal(Path("p.lmp")) is None  # the user's own program


@pytest.mark.parametrize("name", HUB)
def test_the_hub_is_a_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(name)
    assert refusal(path, hosts="huggingface.co") is None
    assert refusal(path, hosts="huggingface.co.evil.example") == "weights-not-allowed"
    assert refusal(path, paths=["/"]) == "weights-not-allowed"
    assert refusal(path, model=name) is None
    monkeypatch.setenv("LMC_ALLOW_HOSTS", "huggingface.co")
    assert refusal(path) is None


@pytest.mark.parametrize("name", PLACES)
def test_a_folder_is_allowed_by_its_path(name: str) -> None:
    path = pack(name)
    assert refusal(path, paths="model") is None
    assert refusal(path, paths="other") == "weights-not-allowed"
    assert refusal(path, hosts="huggingface.co") == "weights-not-allowed"
    assert refusal(path, model=name) is None


def test_the_message_says_how_to_allow_it() -> None:
    with pytest.raises(lmc.LmcError) as failure:
        lmc.load(pack("hf/someone/huge")).main(q="?")
    (told,) = failure.value.diagnostics
    assert "would download the weights of `hf/someone/huge` from huggingface.co" in told.message
    assert "`--allow-host huggingface.co`" in str(told.help)
    assert "`--model hf/someone/huge`" in str(told.help)


@pytest.mark.parametrize("place", ["model", "embedder"])
def test_parameters_name_no_weights_either(place: str) -> None:
    learnt: dict[str, Any] = {place: "hf/someone/huge"}
    path = pack("lmc/tiny", Parameters({"main": ModuleParameters(**learnt)}))
    with pytest.raises(lmc.LmcError) as failure:
        lmc.load(path, cache=False).executor.preflight("main")
    assert failure.value.code == "weights-not-allowed"


def test_packages_of_the_user_hold_no_weights_of_a_stranger() -> None:
    path = pack("lmc/tiny")
    assert refusal(path) is None


def test_a_forged_setting_is_no_consent() -> None:
    """`users` and `consent` in the settings are lmc's own, whatever a graph says."""
    from lmc.consent import Consent
    from lmc.requests.pool import ModelPool

    forged = {"name": "hf/someone/huge", "users": True, "consent": None}
    pool = ModelPool({"m": forged}, consent=Consent(stranger=True))
    with pytest.raises(lmc.LmcError, match="weights"):
        pool.bind("m")
    assert open_backend("hf/someone/huge", {"users": True})[1] == "someone/huge"
