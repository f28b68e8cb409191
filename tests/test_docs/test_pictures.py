"""The pictures of the newcomer's page show commands that stand on it, and load nothing."""

import re

import pytest

from tests.test_docs.pages import ROOT
from tests.test_docs.pictures import FOLDER, REPORT, TERMINALS, drawn

PAGE = (ROOT / "docs" / "howto" / "newcomer.md").read_text("utf-8")
MOST_BYTES = 150_000
SHOWN = [*(f"{name}.svg" for name in TERMINALS), "report.png", "studio.png"]


@pytest.mark.parametrize("command", [*(c for cs in TERMINALS.values() for c in cs), REPORT])
def test_what_is_pictured_is_run_on_the_page(command: str) -> None:
    assert f"\n$ {command}\n" in PAGE


def test_every_picture_is_on_the_page_with_words_for_those_who_do_not_see_it() -> None:
    pictures = re.findall(r"!\[(.+)\]\(\.\./assets/newcomer/(.+)\)", PAGE)
    assert sorted(name for _, name in pictures) == sorted(SHOWN)
    assert {file.name for file in FOLDER.iterdir()} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_small(name: str) -> None:
    assert 500 < (FOLDER / name).stat().st_size < MOST_BYTES


def test_a_terminal_is_drawn_with_its_colours_and_from_no_other_host() -> None:
    bar = "\x1b[?25l  0 %\r 50 %\r\x1b[2K100 %"
    svg = drawn("x", {"lmc check a.lmp": f"\x1b[31merror\x1b[0m <tag>\n{bar}"})
    assert "lmc&#160;check&#160;a.lmp" in svg and "&lt;tag&gt;" in svg
    assert "50" not in re.sub(r"<[^>]*>|\.lmc-x[^}]*}", "", svg)
    hosts = set(re.findall(r"https?://([^/\"' )]+)", svg))
    assert hosts <= {"www.w3.org", "www.textualize.io"}  # a name space, and rich's own comment
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", svg)
