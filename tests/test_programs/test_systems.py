"""Systems of the literature in the language: each is checked and laid out, and its tests pass.

Those of general use are in the library. `endless.lmp` is one that must be refused.
"""

from pathlib import Path

import pytest

import lmc
from lmc.program.program import check_file
from lmc.program.testing import run_tests
from lmc.source import Source
from lmc.syntax.printer import format_source

SYSTEMS = sorted((Path(__file__).parent / "systems").glob("*.lmp"))
PROGRAMS = [path for path in SYSTEMS if path.stem != "endless"]


def test_they_are_all_there() -> None:
    assert len(SYSTEMS) == 24


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.stem)
def test_each_does_what_its_tests_say(path: Path) -> None:
    with lmc.load(path) as program:
        results = list(run_tests(program))
    assert results
    assert [str(d) for r in results if not r.ok for d in r.diagnostics] == []
    assert not any(r.asked for r in results)  # no model is asked


@pytest.mark.parametrize("path", SYSTEMS, ids=lambda p: p.stem)
def test_each_is_laid_out(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# ")
    assert format_source(Source(str(path), text)) == text


def test_recursion_without_a_bound_is_refused() -> None:
    with pytest.raises(lmc.LmcError, match="form a cycle"):
        check_file(SYSTEMS[0].with_name("endless.lmp"))
