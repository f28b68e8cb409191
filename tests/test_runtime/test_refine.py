"""A refine whose critic or reviser gives nothing of use keeps what it has."""

from pathlib import Path

import pytest

import lmc
from lmc.models.base import Request
from lmc.models.scripted import Scripted

REFINE = '''
generate draft(x: str) -> int { """Draft.""" }
critique judge(x: str, it: int) -> Verdict { """Judge.""" subject: it }
refine main(x: str) -> int { """Revise.""" draft: draft(x), check: judge(x, draft), rounds: 2 }
'''


@pytest.mark.parametrize("fails", ["Revise.", "Judge."])
def test_a_failed_revision_leaves_the_draft(fails: str, tmp_path: Path) -> None:
    def answer(request: Request) -> str:
        system = request.messages[0]["content"]
        if fails in system:
            return "nothing of use"
        return "[[ok]] false\n[[score]] 0.1\n[[feedback]] no" if "Judge." in system else "7"

    (tmp_path / "it.lmp").write_text(REFINE)
    program = lmc.load(tmp_path / "it.lmp", backend=Scripted(answer), cache=False)
    result, trace = program.main.run_traced({"x": "it"})
    assert result == 7
    (region,) = [r for r in trace.regions if r.kind == "refine"]
    assert region.detail["drafts"] == [7]
    assert "no usable answer" in region.detail["failed"]


@pytest.mark.parametrize(
    ("stop", "drafts"), [("", 5), ('stop_early: "fixed_point"', 3), ('stop_early: "no_gain"', 4)]
)
def test_a_refine_ends_where_revising_gains_nothing(stop: str, drafts: int, tmp_path: Path) -> None:
    """Drafts 1, 2, 2, 3, …: the second and third are equal; the third scores no more."""
    scores = iter([0.1, 0.3, 0.4, 0.2, 0.2])

    def answer(request: Request) -> str:
        system = request.messages[0]["content"]
        if "Judge." in system:
            return f"[[ok]] false\n[[score]] {next(scores)}\n[[feedback]] no"
        return "1" if "Draft." in system else next(revisions)

    revisions = iter(["2", "2", "3", "4"])
    (tmp_path / "it.lmp").write_text(REFINE.replace("rounds: 2", f"rounds: 4 {stop}"))
    program = lmc.load(tmp_path / "it.lmp", backend=Scripted(answer), cache=False)
    result, trace = program.main.run_traced({"x": "it"})
    (region,) = [r for r in trace.regions if r.kind == "refine"]
    assert region.detail["drafts"] == [1, 2, 2, 3, 4][:drafts]
    assert result == 2  # the best-scored
