"""How a refine ends: content, with nothing gained, or with what it has where a call fails."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

import lmc
from lmc.models.base import Answer, Request
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
    "place", ["check: passes(draft) until: check", "check: draft > 0 until: passes(draft)"]
)
def test_a_check_that_raises_is_no_success(place: str, tmp_path: Path) -> None:
    """It was: the draft that nobody had checked came back as the result."""

    def passes(draft: int) -> bool:
        raise RuntimeError("the database is away")

    (tmp_path / "it.lmp").write_text(
        'generate draft(x: str) -> int { """Draft.""" }\n'
        'tool passes(draft: int) -> bool from "db:passes"\n'
        f'refine main(x: str) -> int {{ """Revise.""" draft: draft(x) {place} rounds: 2 }}\n'
    )
    program = lmc.load(
        tmp_path / "it.lmp", backend=Scripted(lambda _: "7"), cache=False, tools=[passes]
    )
    with pytest.raises(lmc.LmcError, match="the tool `passes` raised RuntimeError: the database"):
        program.main("it")


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


CONFIRMED = (
    REFINE
    + """
generate sure(it: int) -> bool { \"\"\"Sure?\"\"\" }
refine confirmed(x: str) -> int {
  \"\"\"Revise.\"\"\" draft: draft(x), check: judge(x, draft)
  until: check.ok and sure(draft), rounds: 3
}
pipeline doubled(x: int) -> int { return loop n = x for 5 until sure(n) { yield draft(str(n)) } }
"""
)


class Watched(Scripted):
    """Drafts count up, all of them are well judged, and of three one is sure."""

    def __init__(self) -> None:
        super().__init__(self.say)
        self.running: set[str] = set()
        self.together: list[set[str]] = []
        self.cancelled: list[str] = []

    def say(self, request: Request) -> str:
        system, user = (message["content"] for message in request.messages[:2])
        if "Judge." in system:
            return "[[ok]] true\n[[score]] 0.5\n[[feedback]] more"
        if "Sure?" in system:
            return "true" if "3" in user else "false"
        return str(1 + max((n for n in range(9) if f" {n}" in user), default=0))

    async def generate(self, request: Request) -> Sequence[Answer]:
        name = request.messages[0]["content"].split()[0]
        self.running.add(name)
        self.together.append(set(self.running))
        try:
            await asyncio.sleep(0.02 if name == "Sure?" else 0.04)
            return await super().generate(request)
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.running.discard(name)


@pytest.mark.parametrize(("target", "next_step"), [("confirmed", "Revise."), ("doubled", "Draft.")])
def test_the_next_step_begins_while_it_is_asked_whether_to_stop(
    target: str, next_step: str, tmp_path: Path
) -> None:
    (tmp_path / "it.lmp").write_text(CONFIRMED)
    found = []
    for speculate in (0, 1):
        model = Watched()
        program = lmc.load(tmp_path / "it.lmp", backend=model, cache=False, speculate=speculate)
        inputs = {"x": "it" if target == "confirmed" else 0}
        result, trace = program[target].run_traced(inputs)
        done = [(c.place, c.result) for c in trace.calls if c.result is not None]
        found.append((result, done))
        assert ({"Sure?", next_step} in model.together) == bool(speculate)
        assert model.cancelled == [next_step] * speculate  # after the third the answer is yes
        program.close()
    assert found[0] == found[1] and found[0][0] == 3


def test_a_revision_is_cleaned_before_its_check(tmp_path: Path) -> None:
    text = """
generate write(task: str) -> str
refine main(task: str) -> str {
  "Mend it."
  draft: write(task)
  clean: code(out)
  check: draft == "good"
  rounds: 2
}
"""
    (tmp_path / "it.lmp").write_text(text)
    said = iter(["```\nbad\n```", "So:\n```\ngood\n```"])
    backend = Scripted(lambda request: next(said))
    assert lmc.load(tmp_path / "it.lmp", backend=backend, cache=False).main("?") == "good"
    assert "```" not in backend.requests[1].messages[-1]["content"]
