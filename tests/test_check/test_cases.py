"""Wrong programs and what is said of them: first the intent, then the text as shown."""

import os
from pathlib import Path

import pytest

from lmc.diagnostics import render
from tests.test_check.golden import Case, cases, places

CASES = cases(Path(__file__).parents[1] / "cases" / "check")
UPDATE = os.environ.get("LMC_UPDATE_GOLDEN") == "1"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.title}")
def test_wrong_program(case: Case) -> None:
    found = case.check()
    assert places(found) == case.intents, render(found)
    if UPDATE:
        case.record(found)
    else:
        assert case.shown == render(found)


def test_the_corpus_is_large():
    assert len(CASES) >= 80
    assert len({(case.file, case.title) for case in CASES}) == len(CASES)
    assert all(case.intents for case in CASES)


def test_an_update_keeps_the_intents(tmp_path: Path) -> None:
    file = tmp_path / "case.md"
    program = "```lmp\ngenerate g(q: strr) -> str\n# error: other @1:1\n```\n"
    file.write_text(f"# Cases\n\n## one\n\n{program}\n## two\n\n{program}", "utf-8")
    first, second = cases(tmp_path)
    second.record(second.check())
    first.record(first.check())
    again = cases(tmp_path)
    assert [case.intents for case in again] == [first.intents, second.intents]
    assert [case.shown for case in again] == [render(first.check())] * 2
    assert places(first.check()) != first.intents
