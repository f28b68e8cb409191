"""Every slug that can be reported while a program runs has its long text."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "lmc"
REPORT = re.compile(r'(?:error|warning|LmcError\.of)\(\s*"([a-z-]+)"')
STAGES = ("runtime", "models", "prompts", "values")


def explained() -> set[str]:
    files = (ROOT / stage / "explanations.md" for stage in ("check", "runtime", "cli"))
    return {s for f in files for s in re.findall(r"^## (.+)$", f.read_text("utf-8"), re.MULTILINE)}


def reported(stage: str) -> set[str]:
    texts = (file.read_text("utf-8") for file in (ROOT / stage).glob("*.py"))
    return {slug for text in texts for slug in REPORT.findall(text)}


@pytest.mark.parametrize("stage", STAGES)
def test_every_slug_is_explained(stage: str) -> None:
    assert reported(stage) - explained() == set()


def test_sections_are_in_order_and_say_something() -> None:
    text = (ROOT / "runtime" / "explanations.md").read_text("utf-8")
    sections = re.findall(r"^## (.+)\n(.+)$", text, re.MULTILINE)
    slugs = [slug for slug, _ in sections]
    assert slugs == sorted(set(slugs))
    assert len(slugs) == text.count("\n## ")
