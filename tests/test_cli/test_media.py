"""Files on the command line: `--photo cat.png`, JSON, addresses, and the cache."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lmc.cli.main import cli
from lmc.media import Media

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    (work / "cat.png").write_bytes(PNG)
    (tmp_path / "outside.png").write_bytes(PNG)
    (work / "look.lmp").write_text(
        "generate main(photo: image, more: list[image] = [], talk: messages = []) -> str\n"
    )
    return work


def lmc(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


def shown(*arguments: str) -> str:
    done = lmc("run", "look.lmp", "--prompt", *arguments)
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_a_path_of_the_user_may_be_anywhere() -> None:
    mark = Media.of_bytes(PNG).mark
    assert mark in shown("--photo", "cat.png")
    assert mark in shown("--photo", "../outside.png")
    assert shown("--photo", "cat.png", "--more", "cat.png").count(mark) == 2
    assert shown("--photo", "cat.png", "--more", '["cat.png", "cat.png"]').count(mark) == 3
    assert mark in shown("--photo", "cat.png", "--talk", '[{"role": "user", "files": ["cat.png"]}]')


def test_json_names_files_of_its_folder(place: Path) -> None:
    assert Media.of_bytes(PNG).mark in shown("-i", '{"photo": "cat.png"}')
    (place / "in").mkdir()
    (place / "in" / "input.json").write_text('{"photo": "dog.png"}')
    (place / "in" / "dog.png").write_bytes(PNG)
    assert Media.of_bytes(PNG).mark in shown("-i", "@in/input.json")
    for bad in ('{"photo": "../outside.png"}', '{"photo": "https://example.org/x.png"}'):
        done = lmc("run", "look.lmp", "-i", bad)
        assert done.exit_code == 2
        assert "folder of the input" in done.output or "may name files only" in done.output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing.png", "No such file"),
        ("look.lmp", "none of the formats"),
        ("https://example.org/x.png", "--allow-url example.org"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    done = lmc("run", "look.lmp", "--photo", text)
    assert done.exit_code == 2
    assert why in done.output


def test_the_cache_tells_and_clears() -> None:
    shown("--photo", "cat.png")
    assert "1 file of media" in lmc("cache", "stats").output
    assert "1 file of media deleted" in lmc("cache", "clear", "--yes").output
