"""The table beside other tools: each cell has its evidence, and each source its version or date."""

import re
from itertools import groupby
from typing import NamedTuple

import pytest

from tests.test_docs.pages import ROOT
from tests.test_docs.test_pages import anchors

PAGE = ROOT / "docs" / "compare.md"
LINK = re.compile(r"\[[^\]]*\]\((\S+?)(?: \"([^\"]*)\")?\)")
VERSION_OR_DATE = re.compile(r"\d+\.\d+|\d{4}-\d{2}-\d{2}")
SAID = ("none", "not its task", "by a server", "by what it calls", "as the host language")
RUN = "bench/peer_facts.py"


class Cell(NamedTuple):
    """One cell of a table, and what stands over it and before it."""

    row: str
    column: str
    text: str


def cells() -> list[Cell]:
    lines = PAGE.read_text("utf-8").splitlines()
    found = []
    for is_table, group in groupby(lines, lambda line: line.startswith("|")):
        if is_table:
            names, _, *rows = [[c.strip() for c in line.strip("|").split(" |")] for line in group]
            for row in rows:
                assert len(row) == len(names), row[0]
                found += [Cell(row[0], name, text) for name, text in zip(names, row)][1:]
    return found


CELLS = cells()
OURS = [cell for cell in CELLS if cell.column == "lmc"]
THEIRS = [cell for cell in CELLS if cell.column != "lmc"]


def test_the_table_is_there() -> None:
    assert len(OURS) >= 25
    peers = {"DSPy", "BAML", "promptfoo", "Inspect", "TRL"}
    assert {cell.column for cell in THEIRS} == peers


@pytest.mark.parametrize("cell", OURS, ids=lambda cell: cell.row)
def test_a_cell_of_lmc_leads_to_its_page(cell: Cell) -> None:
    """Where lmc has a thing, a page says how; where it has none, the cell begins with that."""
    links = [link for link, _ in LINK.findall(cell.text)]
    assert links or cell.text == "none"
    for link in links:
        path, _, anchor = link.partition("#")
        target = PAGE.parent / path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("cell", THEIRS, ids=lambda cell: f"{cell.column}, {cell.row}")
def test_a_cell_of_a_peer_has_evidence(cell: Cell) -> None:
    assert LINK.search(cell.text) or RUN in cell.text or cell.text.startswith(SAID) or (
        cell.text == "Python's"
    )  # fmt: skip


def test_what_was_run_can_be_run() -> None:
    assert (ROOT / RUN).is_file()


def test_links_to_others_are_safe_and_say_of_when_they_are() -> None:
    links = [found for found in LINK.findall(PAGE.read_text("utf-8")) if "://" in found[0]]
    assert len(links) > 80
    for link, title in links:
        assert link.startswith("https://"), link
        assert VERSION_OR_DATE.search(title), link
