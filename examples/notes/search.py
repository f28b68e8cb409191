"""The search tool of `notes.lmp`: BM25 over the lines of a file."""

from functools import cache
from pathlib import Path

from lmc.programs.tools import nearest

NOTES = Path(__file__).with_name("notes.txt")


@cache
def passages() -> list[str]:
    """The lines of the file, read once."""
    return NOTES.read_text("utf-8").splitlines()


def search(query: str, k: int) -> list[str]:
    """The `k` notes most like a query, the most like first."""
    return nearest(query, passages(), k)
