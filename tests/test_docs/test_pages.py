"""Programs on the pages check clean, links lead somewhere, and the site shows every page."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmc.check import check_program
from lmc.source import Source
from tests.test_docs.pages import (
    FENCE,
    PAGES,
    ROOT,
    Block,
    block_name,
    blocks_of,
    page_name,
    prose_of,
)

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
LANGUAGES = {"lmp", "python", "console", "sh", "text", "json", "jsonl", "yaml", "lua", "toml"}
PROGRAMS = [block for page in PAGES for block in blocks_of(page) if block.language == "lmp"]


@pytest.mark.parametrize("block", PROGRAMS, ids=block_name)
def test_programs_check_clean(block: Block) -> None:
    program, diagnostics = check_program(Source(block_name(block), block.text))
    assert [str(d) for d in diagnostics if d.severity == "error"] == []
    assert program is not None


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_blocks_say_what_they_are(page: Path) -> None:
    """A block in a language that is not known here would not be run."""
    fences = re.findall(r"^`{3,}(\w*)", page.read_text("utf-8"), re.MULTILINE)[::2]
    assert set(fences) <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose_of(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert page == ROOT / "README.md" or target.is_relative_to(DOCS), f"{link} leaves the site"
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> list[str]:
    """The anchors of a page's headings."""
    titles = HEADING.findall(FENCE.sub("", page.read_text("utf-8")))
    titles = [re.sub(r"[^\w\s-]", "", title.lower()) for title in titles]
    return [re.sub(r"\s+", "-", title.strip()) for title in titles]


def test_every_command_of_a_workflow_is_run_on_its_page() -> None:
    """A workflow cannot be run here, but each of its commands stands in a block that is."""
    for page in PAGES:
        blocks = list(blocks_of(page))
        run = {
            line.removeprefix("$ ")
            for block in blocks
            if block.language == "console"
            for line in block.text.splitlines()
        }
        flows = "".join(block.text for block in blocks if block.language == "yaml")
        commands = re.findall(r"^ *(?:- )?run: (lmc .+)$", flows, re.MULTILINE)
        assert set(commands) <= run
        assert commands or "yaml" not in {block.language for block in blocks}


def test_the_site_shows_every_page() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))
    shown = sorted(pages_of(site["project"]["nav"]))
    assert shown == sorted(page.relative_to(DOCS).as_posix() for page in PAGES[1:])


def pages_of(nav: Any) -> Iterator[str]:
    """The pages of a navigation, at any depth."""
    if isinstance(nav, str):
        yield nav
        return
    for item in nav.values() if isinstance(nav, dict) else nav:
        yield from pages_of(item)
