"""The formatter: its style by golden cases, and what it refuses."""

from pathlib import Path

import pytest

from lmc.diagnostics import LmcError
from lmc.source import Source
from lmc.syntax.printer import format_source
from tests.golden import Case, read_cases

CASES = read_cases(Path(__file__).parent.parent / "cases" / "syntax" / "formatting.md")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_style(case: Case):
    tidy = format_source(Source("main.lmp", case.blocks["lmp"]))
    case.expect("text", tidy)
    assert format_source(Source("main.lmp", tidy)) == tidy


def test_a_text_with_errors_is_refused():
    with pytest.raises(LmcError) as refused:
        format_source(Source("main.lmp", "record R { a: str"))
    assert refused.value.code == "unclosed-bracket"


@pytest.mark.parametrize(("text", "tidy"), [
    ("", ""), ("\n\n", ""), ("# only\n\n\n# this", "# only\n\n# this\n"),
    ("record R {\r\n  a: str\r\n}\r\n", "record R {\n  a: str\n}\n"),
    ("record R {\n\ta: str  # é 😀\n}", "record R {\n  a: str  # é 😀\n}\n"),
    ('default { x: """\n\ta\n\t\tb""" }', 'default {\n  x: """\n\ta\n\t\tb"""\n}\n'),
])  # fmt: skip
def test_odd_texts(text, tidy):
    assert format_source(Source("main.lmp", text)) == tidy
