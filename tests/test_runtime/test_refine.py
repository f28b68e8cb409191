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
