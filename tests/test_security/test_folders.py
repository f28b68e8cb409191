"""What a program names lies in its folder: imports, rows, scripts, recordings, models."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.consent import Consent

ROWS = """
record Row {{ q: str, answer: str }}
dataset rows: Row {{ source: "{name}" }}
generate main(q: str) -> str {{ \"\"\"A.\"\"\" }}
optimize main {{ data: rows }}
"""
MODEL = """
model m {{ name: "{name}" }}
generate main(q: str) -> str {{ \"\"\"A.\"\"\" model: m }}
"""
IMPORT = 'from "{name}" import far\npipeline main(q: str) -> str {{ return far(q) }}\n'
FAR = "pipeline far(q: str) -> str { return q }\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's folder, `in/`; what is beside it is not to be read."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "sub"):
        (place / "rows.jsonl").write_text('{"q": "a", "answer": "b"}\n')
        (place / "answers.json").write_text('["secret", "secret"]')
        (place / "far.lmp").write_text(FAR)
        (place / "model").mkdir()
        (place / "model" / "config.json").write_text("{}")
    os.symlink(tmp_path / "rows.jsonl", folder / "link.jsonl")
    os.symlink(tmp_path, folder / "linked")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LMC_ALLOW_PATHS", raising=False)
    return folder


def refusal(call: Callable[[], Any]) -> str | None:
    """The slug of the failure that a call ends with."""
    try:
        call()
    except lmc.LmcError as failure:
        return failure.code
    return None


def write(text: str, name: str) -> Path:
    path = Path("in/p.lmp")
    path.write_text(text.format(name=name))
    return path


def measure(path: Path, **options: Any) -> Callable[[], Any]:
    return lambda: lmc.evaluate(path, backend=lmc_says("b"), cache=False, **options)


def lmc_says(text: str) -> Any:
    from lmc.models.scripted import Scripted

    return Scripted(lambda request: text)


OUTSIDE = ["../{0}", "sub/../../{0}", "{here}/{0}", "{here}/in/{0}", "~/{0}", "linked/{0}"]
INSIDE = ["{0}", "sub/{0}", "sub/../{0}", "./{0}"]


@pytest.mark.parametrize("name", [*OUTSIDE, "link.jsonl"])
def test_rows_outside_are_not_read(name: str, tmp_path: Path) -> None:
    path = write(ROWS, name.format("rows.jsonl", here=tmp_path))
    assert refusal(measure(path)) == "outside-folder"


@pytest.mark.parametrize("name", INSIDE)
def test_rows_inside_are_read(name: str) -> None:
    assert refusal(measure(write(ROWS, name.format("rows.jsonl")))) is None


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["scripted", "recorded"])
def test_files_of_models_outside_are_not_read(kind: str, name: str, tmp_path: Path) -> None:
    path = write(MODEL, f"{kind}/{name.format('answers.json', here=tmp_path)}")
    assert refusal(lambda: lmc.load(path).main(q="?")) == "outside-folder"


@pytest.mark.parametrize("name", INSIDE)
def test_files_of_models_inside_are_read(name: str) -> None:
    path = write(MODEL, f"scripted/{name.format('answers.json')}")
    assert lmc.load(path).main(q="?") == "secret"


@pytest.mark.parametrize("kind", ["hf", "vllm"])
@pytest.mark.parametrize("name", [*OUTSIDE, "model/../../{0}"])
def test_folders_of_models_outside_are_not_loaded(kind: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if kind == "vllm":
        pytest.importorskip("vllm")
    path = write(MODEL, f"{kind}/{name.format('model', here=tmp_path)}")
    assert refusal(lambda: lmc.load(path).pool.bind("m")) == "outside-folder"


def test_a_folder_beside_the_user_is_not_the_programs(tmp_path: Path) -> None:
    """A name with one slash could be of the hub; it is no folder where the user happens to be."""
    pytest.importorskip("torch")
    (tmp_path / "org" / "name").mkdir(parents=True)
    (tmp_path / "org" / "name" / "config.json").write_text("{}")
    path = write(MODEL, "hf/org/name")
    assert refusal(lambda: lmc.load(path).pool.bind("m")) == "outside-folder"
    with lmc.load(path, model="hf/org/name") as program:  # his own word
        assert program.pool.bind("hf/org/name").backend is not None


@pytest.mark.parametrize("name", OUTSIDE)
def test_files_outside_are_not_imported(name: str, tmp_path: Path) -> None:
    path = write(IMPORT, name.format("far.lmp", here=tmp_path))
    assert refusal(lambda: lmc.load(path)) == "outside-folder"
    assert "secret" not in CliRunner().invoke(cli, ["check", str(path)]).output


@pytest.mark.parametrize("name", [".env", "./keys.txt", "far", "far.lmp.bak"])
def test_only_programs_are_imported_so_other_files_are_never_quoted(name: str) -> None:
    (Path("in") / name).write_text("secret = 1\n")
    path = write(IMPORT, name)
    assert refusal(lambda: lmc.load(path)) == "missing-file"
    for given in ([], ["--allow-path", "/"]):
        told = CliRunner().invoke(cli, ["check", str(path), *given])
        assert "is not a `.lmp` file" in told.output + str(told.exception)
        assert "secret" not in told.output


@pytest.mark.parametrize("name", INSIDE)
def test_files_inside_are_imported(name: str) -> None:
    assert lmc.load(write(IMPORT, name.format("far.lmp"))).main(q="a") == "a"


def test_a_file_beneath_may_import_from_above_but_not_from_outside() -> None:
    Path("in/sub/far.lmp").write_text(
        'from "../far.lmp" import far as near\npipeline far(q: str) -> str { return near(q) }\n'
    )
    path = write(IMPORT, "sub/far.lmp")
    assert lmc.load(path).main(q="a") == "a"
    Path("in/sub/far.lmp").write_text(
        'from "../../far.lmp" import far as near\npipeline far(q: str) -> str { return near(q) }\n'
    )
    assert refusal(lambda: lmc.load(path)) == "outside-folder"


@pytest.mark.parametrize("name", ["lmc/../far", "lmc/../../far", "lmc/./../tests/far"])
def test_the_library_has_no_way_out(name: str) -> None:
    assert refusal(lambda: lmc.load(write(IMPORT, name))) == "unknown-library"


def test_the_user_may_allow_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, script = write(ROWS, "../rows.jsonl"), Path("in/script.lmp")
    script.write_text(MODEL.format(name="scripted/../answers.json"))
    imports = Path("in/imports.lmp")
    imports.write_text(IMPORT.format(name="../far.lmp"))
    assert refusal(measure(rows, paths=[tmp_path])) is None
    assert lmc.load(script, paths=".").main(q="?") == "secret"
    assert lmc.load(imports, paths=[str(tmp_path)]).main(q="a") == "a"
    assert refusal(lambda: lmc.load(imports, paths=[tmp_path / "in"])) == "outside-folder"
    monkeypatch.setenv("LMC_ALLOW_PATHS", f"{tmp_path / 'in'}{os.pathsep}{tmp_path}")
    assert lmc.load(imports).main(q="a") == "a"
    assert CliRunner().invoke(cli, ["graph", str(imports)]).exit_code == 0


def test_the_commands_take_folders(tmp_path: Path) -> None:
    imports = write(IMPORT, "../far.lmp")
    for command in (["check", str(imports)], ["run", str(imports), "--q", "a"]):
        refused = CliRunner().invoke(cli, command)
        assert "outside-folder" in refused.output + str(refused.exception)
        done = CliRunner().invoke(cli, [*command, "--allow-path", str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert "outside-folder" not in done.output


def test_what_the_user_names_himself_may_be_anywhere(tmp_path: Path) -> None:
    path = write(MODEL, "scripted/answers.json")
    assert refusal(measure(path, data=tmp_path / "rows.jsonl", metric="accuracy")) is None
    assert refusal(measure(path, data="rows.jsonl", metric="accuracy")) is None
    program = lmc.load(path, model=f"scripted/{tmp_path}/answers.json")
    assert program.main(q="?") == "secret"


def test_a_folder_that_begins_alike_is_another(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    consent = Consent()
    assert not consent.may_read(tmp_path / "inside" / "x", tmp_path / "in")
    assert consent.may_read(tmp_path / "in" / "x", tmp_path / "in")


NOWHERE = [r"x\u0000y", "round", "a" * 300]  # a zero byte, a circle of links, too long a name


@pytest.mark.parametrize("name", NOWHERE)
def test_a_path_that_no_file_can_have_is_a_mistake_of_the_program(name: str) -> None:
    for suffix in (".lmp", ".jsonl", ""):
        os.symlink(f"round{suffix}", f"in/round{suffix}")
    assert refusal(lambda: lmc.load(write(IMPORT, f"{name}.lmp"))) == "missing-file"
    rows = lmc.load(write(ROWS, f"{name}.jsonl"))
    assert refusal(lambda: lmc.evaluate(rows)) == "missing-file"
    for model in ("hf/", "gguf/", "llama.cpp/", "scripted/", "recorded/"):
        program = lmc.load(write(MODEL, f"{model}{name}"))
        assert refusal(partial(program.main, q="a")) in ("missing-file", "unknown-model"), model


def test_a_path_of_an_unknown_home_is_outside() -> None:
    rows = lmc.load(write(ROWS, "~nobody-has-this-name/rows.jsonl"))
    assert refusal(lambda: lmc.evaluate(rows)) == "outside-folder"


def test_a_path_that_the_user_gives_leads_nowhere() -> None:
    os.symlink("round.lmp", "round.lmp")
    assert refusal(lambda: lmc.load("round.lmp")) == "cannot-read"
    main = lmc.load(write(IMPORT, "far.lmp"))
    assert refusal(lambda: lmc.evaluate(main, data="a" * 300)) is not None
