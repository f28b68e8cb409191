"""Every slug that lmc can report has an explanation for `lmc explain`."""

import re
from pathlib import Path

from lmc.explanations import explanations

ROOT = Path(__file__).parents[2]
CODES = re.compile(r"""\b(?:error|warning|report|warn|LmcError\.of)\(\s*"([a-z]+(?:-[a-z]+)+)",""")


def reported() -> dict[str, str]:
    """Slugs in the code, with a file that reports each."""
    files = [*(ROOT / "lmc").rglob("*.py"), *(ROOT / "optimizers").rglob("*.py")]
    return {slug: file.name for file in files for slug in CODES.findall(file.read_text("utf-8"))}


def test_every_slug_is_explained() -> None:
    known = explanations()
    found = reported()
    assert len(found) > 100
    assert {slug: file for slug, file in found.items() if slug not in known} == {}


def test_explanations_are_whole() -> None:
    assert all(len(text) > 20 for text in explanations().values())
