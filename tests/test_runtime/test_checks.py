"""Refines whose check is a bool, a choice, a number, a tool, a pipeline or an expression."""

from pathlib import Path

import pytest

import lmc
from lmc.ir.cost import cost
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from tests.programs import lowered

HEAD = 'generate draft(q: str) -> str { """Draft.""" }\nenum Grade { good poor }\n'
TOOLS = """
def run(code):
    return "" if code == "c2" else f"{code} fails"
def score(code):
    return float(code[-1])
"""


class Revising(Scripted):
    """Drafts `c0`, revises to `c1`, `c2` and so on, and judges as `verdicts` say."""

    def __init__(self, *verdicts: str) -> None:
        super().__init__(self.answer)
        self.verdicts, self.revised, self.told = list(verdicts), 0, list[str]()

    def answer(self, request: Request) -> str:
        system = request.messages[0]["content"]
        if "Judge." in system:
            return self.verdicts.pop(0)
        if "Draft." in system:
            return "c0"
        self.told.append(request.messages[-1]["content"])
        self.revised += 1
        return f"c{self.revised}"


def load(refine: str, folder: Path, backend: Scripted) -> lmc.Program:
    (folder / "mine.py").write_text(TOOLS)
    (folder / "it.lmp").write_text(HEAD + refine)
    return lmc.load(folder / "it.lmp", backend=backend, cache=False)


JUDGE = """critique judge(q: str, code: str) -> %s { "Judge." subject: code }
refine main(q: str) -> str { "Revise." draft: draft(q) check: judge(q, draft) %s rounds: 2 }
"""


@pytest.mark.parametrize(
    ("type", "until", "verdicts", "result"),
    [
        ("bool", "", ["no", "yes"], "c1"),
        ("bool", "", ["no", "no"], "c2"),
        ("bool", "until: check and len(draft) > 0", ["yes"], "c0"),
        ("Grade", "until: check == Grade.good", ["poor", "good"], "c1"),
        ('"ok" | "bad"', 'until: check == "ok"', ["bad", "ok"], "c1"),
        ("float(0..1)", "until: check >= 0.9", ["0.2", "0.7", "0.5"], "c1"),
        ("int", "until: check < 0", ["3", "-1"], "c1"),
        ("str", 'until: check == "fine"', ["too long", "fine"], "c1"),
        ("float(0..1)", 'until: check >= 0.9 stop_early: "no_gain"', ["0.4", "0.3"], "c0"),
    ],
)
def test_verdicts_of_a_critique(
    type: str, until: str, verdicts: list[str], result: str, tmp_path: Path
) -> None:
    backend = Revising(*verdicts)
    assert load(JUDGE % (type, until), tmp_path, backend).main("q") == result
    assert not backend.verdicts
    told = [text for text in backend.told if "feedback" in text.lower()]
    assert len(told) == (0 if type == "bool" else len(backend.told))


@pytest.mark.parametrize(
    ("declared", "check", "until", "result"),
    [
        ('tool run(code: str) -> str from "mine:run"', "run(draft)", 'until: check == ""', "c2"),
        (
            'tool score(code: str) -> float from "mine:score"',
            "score(draft)",
            "until: check > 8",
            "c2",
        ),
        ("", 'matches(draft, r"c[12]")', "", "c1"),
        ("", 'if draft == "c1" then "" else "no"', 'until: check == ""', "c1"),
        (
            "record Found { ok: bool, at: int }\n"
            'pipeline look(c: str) -> Found { return Found(ok=c == "c1", at=len(c)) }',
            "look(draft)",
            "",
            "c1",
        ),
    ],
)
def test_checks_without_a_model(
    declared: str, check: str, until: str, result: str, tmp_path: Path
) -> None:
    text = f"""{declared}
    refine main(q: str) -> str {{ "Revise." draft: draft(q) check: {check} {until} rounds: 2 }}"""
    backend = Revising()
    assert load(text, tmp_path, backend).main("q") == result
    if "run" in declared:
        assert "c0 fails" in backend.told[0]
        assert "c1 fails" in backend.told[1]
    assert cost(lowered(HEAD + text), "main").calls == 3  # a draft and two revisions


def test_a_tool_that_fails_ends_the_run(tmp_path: Path) -> None:
    text = """tool score(code: str) -> float from "mine:score"
    refine main(q: str) -> str { "Revise." draft: draft(q) check: score(q) + len(draft)
      until: check > 9 rounds: 2 }"""
    with pytest.raises(lmc.LmcError, match="the tool `score` raised ValueError"):
        load(text, tmp_path, Revising()).main("no number")


def test_a_search_values_by_a_bool(tmp_path: Path) -> None:
    text = """generate step(q: str, path: list[str]) -> str { "Draft." }
    critique good(path: list[str]) -> bool { "Judge." }
    search main(q: str) -> list[str] {
      expand: step(q, path) value: good(path) width: 1 depth: 2 keep: 1
    }"""
    assert load(text, tmp_path, Revising("no", "yes")).main("q") == ["c0", "c0"]


def test_a_search_ends_by_a_judge(tmp_path: Path) -> None:
    """What gives no usable answer does not end a path."""
    text = """generate step(q: str, path: list[str]) -> str { "Draft." }
    critique done(path: list[str]) -> bool { "Judge." }
    search main(q: str) -> list[str] {
      expand: step(q, path) value: len(path) until: done(path) width: 1 depth: 4 keep: 1
    }"""
    backend = Revising("no", "perhaps", "perhaps", "yes")
    assert load(text, tmp_path, backend).main("q") == ["c0"] * 3
    assert not backend.verdicts
    assert cost(lowered(HEAD + text), "main").calls == 8
