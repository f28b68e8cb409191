import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from lmc.diagnostics import LmcError
from lmc.models import gguf as converting
from lmc.models.base import Request, Sampling
from lmc.models.registry import open_backend
from lmc.models.transformers_local import Transformers
from tests.test_models.tiny_gguf import TEMPLATE, save_tiny_gguf

pytest.importorskip("torch")
gguf = pytest.importorskip("gguf")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


def opened(name, base_dir="."):
    return open_backend(f"gguf/{name}", {"base_dir": base_dir, "users": True})[0]


def code_of(name, **settings):
    with pytest.raises(LmcError) as failure:
        opened(name, **settings)
    return failure.value.code


def parts(cache):
    return sorted(p.name for p in cache.glob("*")) if cache.exists() else []


async def test_a_file_becomes_a_folder_that_answers(file, cache):
    backend = opened(file)
    folder = Path(backend.source)
    assert folder.parent == cache
    config = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in config and config["model_type"] == "llama"
    assert (folder / "chat_template.jinja").read_text() == TEMPLATE
    messages = ({"role": "user", "content": "hello"},)
    (answer,) = await backend.generate(Request("", messages, Sampling(max_tokens=5)))
    await backend.close()
    assert answer.completion_tokens > 0


def test_the_weights_are_those_of_the_file(file, cache):
    from safetensors.torch import load_file

    weights = load_file(Path(opened(file).source) / "model.safetensors")
    written = {t.name: t for t in gguf.GGUFReader(file).tensors}["blk.0.ffn_down.weight"]
    expected = gguf.dequantize(written.data, written.tensor_type)
    assert (weights["model.layers.0.mlp.down_proj.weight"].numpy() == expected).all()


def test_only_the_user_can_read_what_is_kept(file, cache):
    folder = Path(opened(file).source)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {0o700, 0o600}


def test_a_file_is_converted_once_whatever_it_is_called(file, cache, tmp_path, monkeypatch):
    first = opened(file)
    monkeypatch.setattr(converting, "_write", None)
    (tmp_path / "models").mkdir()
    shutil.copy(file, tmp_path / "models" / "other.gguf")
    again = opened("models", base_dir=tmp_path)
    assert (again.source, again.endpoint) == (first.source, first.endpoint)


def test_other_weights_are_another_model(file, cache, tmp_path):
    other = tmp_path / "other.gguf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    other.write_bytes(data)
    assert opened(other).endpoint != opened(file).endpoint


def test_nothing_else_in_the_folder_is_read(file, cache, tmp_path):
    copied = shutil.copy(file, tmp_path / "tiny.gguf")
    for name in ("config.json", "adapter_config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text('{"auto_map": {"AutoConfig": "evil.Config"}}')
    config = json.loads((Path(opened(copied).source) / "config.json").read_text())
    assert "auto_map" not in config


def test_what_is_no_gguf_is_said(cache, tmp_path, file):
    (tmp_path / "text.gguf").write_text("not a model" * 10)
    (tmp_path / "short.gguf").write_bytes(b"GGUF\x03")
    os.mkfifo(tmp_path / "pipe.gguf")
    for name in ("text.gguf", "short.gguf", "pipe.gguf"):
        assert code_of(name, base_dir=tmp_path) == "not-a-gguf"
    assert code_of("nothing.gguf", base_dir=tmp_path) == "unknown-model"
    assert code_of(tmp_path) == "unknown-model"  # several are there
    (tmp_path / "empty").mkdir()
    assert code_of(tmp_path / "empty") == "unknown-model"
    assert parts(cache) == []


def test_a_program_names_files_of_its_folder_only(file, cache, tmp_path):
    for name in (str(file), "../tiny.gguf"):
        with pytest.raises(LmcError) as failure:
            open_backend(f"gguf/{name}", {"base_dir": tmp_path})
        assert failure.value.code == "outside-folder"


def test_an_unknown_architecture_is_named(cache, tmp_path):
    file = save_tiny_gguf(tmp_path / "new.gguf", architecture="bitnet")
    with pytest.raises(LmcError, match="architecture `bitnet`") as failure:
        opened(file)
    assert failure.value.code == "cannot-convert"
    assert parts(cache) == []


def test_a_cut_file_leaves_nothing(file, cache, tmp_path):
    cut = tmp_path / "cut.gguf"
    for share in (0.1, 0.5, 0.95):
        cut.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        assert code_of(cut) == "cannot-convert"
    assert parts(cache) == []


def test_a_file_cannot_ask_for_more_than_it_holds(cache, tmp_path):
    file = save_tiny_gguf(tmp_path / "deep.gguf", layers=1_000_000_000)
    with pytest.raises(LmcError, match="more layers than tensors") as failure:
        opened(file)
    assert failure.value.code == "cannot-convert"


def test_a_full_disk_is_said(file, cache, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(LmcError, match="full") as failure:
        opened(file)
    assert failure.value.code == "cannot-write"
    assert parts(cache) == []


def test_an_interrupted_conversion_leaves_nothing(file, cache, monkeypatch):
    def interrupted(*arguments):
        (arguments[-1] / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(converting, "_write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opened(file)
    assert parts(cache) == []


def test_what_a_killed_process_left_goes_after_a_day(file, cache):
    name = Path(opened(file).source).name
    old, young = cache / f".{name}.old", cache / f".{name}.young"
    for left in (old, young):
        left.mkdir()
    day_old = time.time() - 25 * 3600
    os.utime(old, (day_old, day_old))
    shutil.rmtree(cache / name)
    opened(file)
    assert parts(cache) == sorted([name, young.name])


AT_ONCE = """
import os, sys
from pathlib import Path
for number in range(TIMES):
    if not os.fork():
        from lmc.models.gguf import open_gguf
        Path(FOLDER, f"source-{number}").write_text(open_gguf(FILE, {"users": True}).source)
        os._exit(0)
sys.exit(any(os.wait()[1] for _ in range(TIMES)))
"""


@pytest.mark.parametrize("times", [2])
def test_processes_that_convert_at_once_all_end_well(file, cache, tmp_path, warm, times):
    code = AT_ONCE.replace("TIMES", str(times)).replace("FILE", repr(str(file)))
    code = code.replace("FOLDER", repr(str(tmp_path)))
    done = warm.run(code, ROOT, dict(os.environ), timeout_s=300)
    assert done.returncode == 0, done.stdout
    sources = [path.read_text() for path in tmp_path.glob("source-*")]
    assert len(sources) == times
    assert len(set(sources)) == 1 and parts(cache) == [Path(sources[0]).name]


def test_without_the_package_the_command_is_said(monkeypatch, file):
    from lmc.models import registry

    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "gguf" else object())
    for name in (f"gguf/{file}", "lmc/smollm2"):
        with pytest.raises(LmcError, match="gguf") as failure:
            open_backend(name, {})
        assert failure.value.code == "missing-extra"


def test_the_layout_is_one_that_the_model_can_follow(file, cache):
    from lmc.tiny import MODEL_DIR

    assert opened(file).capabilities.default_layout == "json"
    assert Transformers(str(MODEL_DIR)).capabilities.default_layout == "json"
    tiny, _ = open_backend("lmc/tiny", {})
    assert tiny.capabilities.default_layout == "chat"
