"""The examples and the standard library: without findings, formatted, and their tests pass."""

from pathlib import Path

import pytest

from lmc.check import check_program, open_source
from lmc.ir.verify import verify
from lmc.program.program import load, lower_file
from lmc.program.testing import run_tests
from lmc.syntax.printer import format_source

ROOT = Path(__file__).parents[2]
PROGRAMS = [
    *sorted((ROOT / "programs").glob("*.lmp")),
    *sorted((ROOT / "examples").rglob("*.lmp")),
    *sorted((ROOT / "lmc" / "cli" / "scaffold").glob("*.lmp")),
]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_program(path: Path) -> None:
    source = open_source(path)
    program, findings = check_program(source)
    assert program is not None
    assert [str(f) for f in findings] == []
    assert format_source(source) == source.text
    verify(lower_file(path))
    results = list(run_tests(load(path)))
    assert results
    assert [r.title for r in results if not r.ok] == []


def test_the_library_is_there() -> None:
    assert len(PROGRAMS) >= 5
