"""Stores in programs: snapshots, commits, keys, tests, evaluations, embeddings."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Capabilities, Price, Request
from lmc.models.embedding import encoded
from lmc.models.scripted import Scripted
from lmc.runtime.traces import Trace

HEAD = '''
record Skill { task: str, how: str, uses: int(0..9) = 0 }
store skills: Skill { key: .task  keep: 3 }
generate solve(task: str, like: list[Skill]) -> str { """Solve it, like the ones shown.""" }
'''
MAIN = """
pipeline main(task: str) -> str {
  let how = solve(task, find(skills, task, 2))
  keep Skill(task=task, how=how) in skills
  return how
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.lmp"


def load(file: Path, source: str, script: Any = None, **options: Any) -> lmc.Program:
    file.write_text(HEAD + source)
    backend = Scripted(script or (lambda request: "done"))
    return lmc.load(file, backend=backend, cache=False, **options)


def kept(program: lmc.Program, name: str = "skills") -> list[Any]:
    found: Any = program.stores.read([name])[name].records
    return found


def tasks(program: lmc.Program) -> list[str]:
    return [record["task"] for record in kept(program)]


def test_a_run_remembers_for_the_next(file: Path) -> None:
    seen: list[str] = []

    def answer(request: Request) -> str:
        seen.append(request.messages[-1]["content"])
        return f"way {len(seen)}"

    program = load(file, MAIN, answer)
    program.main("boil an egg")
    program.main("boil two eggs")
    assert "way 1" not in seen[0]
    assert "way 1" in seen[1]
    again = lmc.load(file, backend=Scripted(answer), cache=False)
    again.main("fry an egg")
    assert "way 1" in seen[2]
    assert "way 2" in seen[2]


def test_a_run_does_not_see_what_it_keeps(file: Path) -> None:
    source = """
    pipeline main(task: str) -> int {
      keep Skill(task=task, how="x") in skills
      let more = [noted(t) for t in ["a", "b"]]
      return len(skills) + (if skills[task] == none then 0 else 10)
    }
    pipeline noted(t: str) -> int { keep Skill(task=t, how="y") in skills return len(skills) }
    """
    program = load(file, source)
    assert program.main("q") == 0
    assert program.main("q") == 13


def test_what_is_kept_follows_the_order_of_the_program(file: Path) -> None:
    def slow_first(request: Request) -> str:
        time.sleep(0.05 if "first" in request.messages[-1]["content"] else 0)
        return "done"

    source = """
    pipeline learnt(t: str) -> str {
      let how = solve(t, [])
      keep Skill(task=t, how=how) in skills
      return how
    }
    pipeline main(task: str) -> list[str] {
      let all = [learnt(t) for t in ["first", "second", "third"]]
      if task == "q" { keep Skill(task="last", how="x") in skills }
      return all
    }
    """
    program = load(file, source, slow_first)
    program.main("q")
    assert tasks(program) == ["second", "third", "last"]  # the oldest went


def test_a_run_that_fails_keeps_nothing(file: Path) -> None:
    source = (
        MAIN
        + """
    pipeline failing(task: str) -> str {
      let a = main(task)
      return [a][len(skills) + 1]
    }
    """
    )
    program = load(file, source)
    with pytest.raises(LmcError):
        program.failing("q")
    assert kept(program) == []


def test_a_run_that_is_cancelled_keeps_nothing(file: Path) -> None:
    source = (
        MAIN
        + """
    tool slow(x: str) -> str from "t:slow"
    pipeline waiting(task: str) -> str { let a = main(task) return slow(a) }
    """
    )
    program = load(file, source, tools={"slow": lambda x: time.sleep(0.5) or x})

    async def cancelled() -> None:
        task = asyncio.ensure_future(program.waiting.acall("q"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert kept(program) == []


def test_an_unread_call_that_keeps_is_made_and_equal_ones_are_not_merged(file: Path) -> None:
    source = """
    record Line { text: str }
    store lines: Line { }
    pipeline say(text: str) -> str { keep Line(text=text) in lines return text }
    pipeline main(q: str) -> str {
      let a = say(q)
      let b = say(q)
      let c = say("c")
      return join([a, b])
    }
    """
    program = load(file, source, speculate=4)
    program.main("q")
    assert [line["text"] for line in kept(program, "lines")] == ["q", "q", "c"]


def test_a_kept_record_must_fit_the_bounds_of_its_fields(file: Path) -> None:
    source = """
    pipeline main(n: int) -> int { keep Skill(task="a", how="b", uses=n) in skills return n }
    """
    program = load(file, source)
    with pytest.raises(LmcError) as failure:
        program.main(10)
    assert failure.value.code == "out-of-range"
    assert "main" in str(failure.value) or "p.lmp" in str(failure.value)
    assert program.main(9) == 9


def test_a_trace_names_what_was_read_and_kept(file: Path) -> None:
    program = load(file, MAIN)
    traces = [Trace(), Trace(), Trace()]
    for trace, task in zip(traces, ["a", "a", "a"]):
        program.main.run_traced({"task": task}, trace)
    digests = [trace.stores["skills"] for trace in traces]
    assert digests[0] != digests[1] == digests[2]  # equal contents, equal hash
    (keep,) = (region for region in traces[0].regions if region.kind == "keep")
    assert keep.inputs["record"]["task"] == "a"


# --- tests, evaluations ---


def test_a_test_says_what_a_store_holds_and_keeps_nothing(file: Path) -> None:
    from lmc.program.testing import run_tests

    source = (
        MAIN
        + """
    pipeline known() -> list[str] { return [s.task for s in skills] }
    test "empty" { stub solve -> "x" assert main("q") == "x" assert known() == [] }
    test "stubbed" {
      stub skills -> [Skill(task="a", how="b"), Skill(task="c", how="d")]
      assert known() == ["a", "c"]
    }
    """
    )
    program = load(file, source)
    program.main("before")
    assert [result.ok for result in run_tests(program)] == [True, True]
    assert tasks(program) == ["before"]


METRIC = """
record Row { task: str, answer: int }
metric right(gold: Row, pred: int) -> bool { return pred == gold.answer }
pipeline count_known(task: str) -> int {
  keep Skill(task=task, how="x") in skills
  return len(skills)
}
"""


def test_rows_see_the_store_as_it_was_and_keep_nothing(file: Path) -> None:
    program = load(file, METRIC)
    program.count_known("before")
    rows = [{"task": str(i), "answer": 1} for i in range(30)]
    found = lmc.evaluate(program, rows, "right", target="count_known")
    assert set(found.values) == {1.0}
    assert tasks(program) == ["before"]


def test_the_identity_of_a_compilation_holds_what_the_stores_hold(file: Path) -> None:
    from lmc.optimizers.compilation.job import settle
    from lmc.optimizers.compilation.options import CompileOptions

    program = load(file, METRIC)
    rows = [{"task": str(i), "answer": 1} for i in range(100)]
    options = CompileOptions(data=rows, metric="right", target="count_known", optimizer="tune()")
    before = settle(program, options).id
    assert settle(program, options).id == before
    program.count_known("x")
    assert settle(program, options).id != before


# --- where it lies ---


def test_a_store_lies_beside_its_program_private_to_its_user(file: Path) -> None:
    load(file, MAIN).main("q")
    database = file.parent / ".lmc" / "stores.db"
    assert database.is_file()
    assert database.stat().st_mode & 0o077 == 0


def test_the_user_says_where(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "elsewhere.db"
    load(file, MAIN, stores=place).main("q")
    assert place.is_file()
    monkeypatch.setenv("LMC_STORES", "memory")
    program = load(file, MAIN)
    program.main("q")
    assert tasks(program) == ["q"]
    assert not (file.parent / ".lmc" / "stores.db").exists()


@pytest.mark.parametrize("path", ["../other.db", "/etc/other.db", "link/x.db"])
def test_a_path_stays_in_the_folder_of_the_program(file: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/tmp")
    source = f"""
    store far: Skill {{ path: "{path}" }}
    pipeline main() -> int {{ return len(far) }}
    """
    with pytest.raises(LmcError) as failure:
        load(file, source).main()
    assert failure.value.code == "outside-folder"


def test_an_artifact_needs_a_word_before_it_remembers(file: Path, tmp_path: Path) -> None:
    from lmc.program.artifact import Artifact, Manifest
    from lmc.version import __version__

    program = load(file, MAIN)
    path = tmp_path / "p.lmpc"
    manifest = Manifest(lmc=__version__, entry="p.lmp")
    Artifact(manifest, program.graph, sources={"p.lmp": file.read_text()}).write(path)
    read = Artifact.read(path)
    assert read.graph.stores == program.graph.stores
    backend = Scripted(lambda request: "done")
    with pytest.raises(LmcError) as failure:
        lmc.load(path, backend=backend, cache=False).main("q")
    assert failure.value.code == "store-not-allowed"
    allowed = lmc.load(path, backend=backend, cache=False, stores="memory")
    allowed.main("q")
    assert tasks(allowed) == ["q"]


# --- by meaning ---


class Meaning:
    """An embedding model that knows two meanings, and counts what it is asked."""

    endpoint = "test"
    capabilities = Capabilities()
    price = Price(0.0, 0.0)

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def generate(self, request: Request) -> list[Answer]:
        text = request.messages[0]["content"]
        self.asked.append(text)
        warm = len(re.findall("hot|warm|sun", text))
        return [Answer(encoded([warm + 0.1, len(re.findall("cold|ice|snow", text)) + 0.1]))]

    async def close(self) -> None:
        pass


BY_MEANING = """
model meaning { name: "embed/local" }
record Note { text: str }
store notes: Note { find: meaning }
pipeline learn(text: str) -> str { keep Note(text=text) in notes return text }
pipeline main(q: str) -> list[str] { return [n.text for n in find(notes, q, 1)] }
"""


def test_a_store_may_compare_by_meaning(file: Path) -> None:
    meaning = Meaning()
    file.write_text(HEAD + BY_MEANING)
    program = lmc.load(file, cache=False, backend={"meaning": meaning})
    for text in ("ice cream", "the sun"):
        program.learn(text)
    trace = Trace()
    program["main"].run_traced({"q": "snow"}, trace)
    assert program.main("hot") == ["the sun"]
    assert program.main("snow") == ["ice cream"]
    assert meaning.asked.count("the sun") == 1  # the vectors of one snapshot are asked once
    assert trace.usage.calls == 3


def test_the_cost_counts_the_vectors(file: Path) -> None:
    from lmc.ir.cost import cost
    from lmc.program.program import lower_file

    file.write_text(HEAD + BY_MEANING)
    assert cost(lower_file(file), "main").calls == 1001


def test_an_enum_may_be_the_key(file: Path) -> None:
    source = """
    enum Kind { bug "a fault" as "Bug!" wish }
    record Count { kind: Kind, n: int }
    store counts: Count { key: .kind }
    pipeline main(kind: Kind) -> int {
      let n = (counts[kind]?.n ?? 0) + 1
      keep Count(kind=kind, n=n) in counts
      return n
    }
    """
    program = load(file, source)
    assert [program.main(kind=kind) for kind in ("bug", "Bug!", "wish", "bug")] == [1, 2, 1, 3]
