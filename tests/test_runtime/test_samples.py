"""Samples of an expression as a list, and how certain a model was of an answer."""

from collections.abc import Callable
from pathlib import Path

import pytest

import lmc
from lmc.ir.cost import cost
from lmc.ir.provenance import result_provenance
from lmc.models.base import Answer, Capabilities, Request
from lmc.models.scripted import Scripted
from lmc.program.testing import run_tests
from lmc.runtime.streaming import spoken_calls
from tests.programs import lowered

SOLVE = 'generate solve(q: str) -> str { """Solve.""" temperature: 0.7 }\n'


class Indexed(Scripted):
    """Answers with the index of each sample, its log-probabilities if it has any, and its words."""

    def __init__(self, logprobs: Callable[[int], tuple[float, ...] | None] = lambda i: None):
        super().__init__(lambda request: "")
        self.logprobs = logprobs

    async def generate(self, request: Request) -> list[Answer]:
        self.requests.append(request)
        word = request.messages[-1]["content"].split()[-1]
        indices = range(request.index, request.index + request.n)
        return [Answer(f"{word}{i}", logprobs=self.logprobs(i)) for i in indices]


def load(text: str, folder: Path, backend: Scripted) -> lmc.Program:
    (folder / "it.lmp").write_text(SOLVE + text)
    return lmc.load(folder / "it.lmp", backend=backend, cache=False)


def indices(backend: Scripted) -> list[int]:
    return sorted(r.index + i for r in backend.requests for i in range(r.n))


@pytest.mark.parametrize(
    ("expression", "type", "result", "requests"),
    [
        ("[solve(q) for 3]", "list[str]", ["x0", "x1", "x2"], 1),
        ("flatten([[solve(q) for 2] for 2])", "list[str]", ["x0", "x1", "x2", "x3"], 1),
        ("flatten([[solve(w) for 2] for w in [q, W]])", "list[str]", ["x0", "x1", "y0", "y1"], 2),
        ("[solve(upper(q)) + solve(q) for 2]", "list[str]", ["X0x0", "X1x1"], 2),
        ("[solve(q) for tune[2, 4]]", "list[str]", ["x0", "x1"], 1),
        ("[solve(q) for K]", "list[str]", ["x0", "x1"], 1),
        ("[solve(solve(q)) for 2]", "list[str]", ["x00", "x11"], 3),
        ("[solve(q) for 1]", "list[str]", ["x0"], 1),
    ],
)  # fmt: skip
def test_each_sample_has_its_index(
    expression: str, type: str, result: object, requests: int, tmp_path: Path
) -> None:
    backend = Indexed()
    program = load(
        f'let K = 2 let W = "y" pipeline main(q: str) -> {type} {{ return {expression} }}',
        tmp_path,
        backend,
    )
    assert program.main("x") == result
    assert len(backend.requests) == requests


def test_samples_in_a_loop_and_in_a_vote(tmp_path: Path) -> None:
    """Within sample i of a vote the j-th of n has the index i * n + j, as nested votes have."""
    text = """
    pipeline pair(q: str) -> str { return join([solve(q) for 2], "") }
    vote main(q: str) -> str { sample: pair(q) n: 3 by: len(out) }
    pipeline twice(q: str) -> str { return loop s = q for 2 { yield join([solve(s) for 2], "") } }
    """
    backend = Indexed()
    program = load(text, tmp_path, backend)
    assert program.main("x") == "x0x1"
    assert indices(backend) == [0, 1, 2, 3, 4, 5]
    assert program.twice("x") == "x0x10x0x11"


def test_more_samples_begin_with_the_same_ones(tmp_path: Path) -> None:
    text = "pipeline main(q: str) -> list[str] { return [solve(q) for %d] }"
    few, many = (load(text % n, tmp_path, Indexed()) for n in (2, 5))
    assert many.main("x")[:2] == few.main("x")


def test_a_failed_sample_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "it.lmp").write_text(
        "generate n(q: str) -> int\npipeline main(q: str) -> list[int] { return [n(q) for 2] }"
    )
    program = lmc.load(tmp_path / "it.lmp", backend=Indexed(), cache=False)
    with pytest.raises(lmc.LmcError, match="usable answer"):
        program.main("no number ")


def test_samples_of_a_pipeline_with_a_tool(tmp_path: Path) -> None:
    """A tool that is not pure runs for each sample, also where nobody reads the results."""
    (tmp_path / "mine.py").write_text(
        "calls = []\ndef note(x: str) -> str:\n    calls.append(x)\n    return x\n"
    )
    text = """
    tool note(x: str) -> str from "mine:note"
    pipeline noted(q: str) -> str { return note(solve(q)) }
    pipeline main(q: str) -> int {
      let unread = [noted(q) for 3]
      return len([noted(q) for 3])
    }
    """
    program = load(text, tmp_path, Indexed())
    assert program.main("x") == 3
    calls = program.executor.tools.load("note").__globals__["calls"]
    assert sorted(calls) == ["x0", "x0", "x1", "x1", "x2", "x2"]


@pytest.mark.parametrize(
    ("expression", "calls", "baseline"),
    [
        ("[solve(q) for 8]", 8, 8),
        ("[solve(q) for tune[2, 5]]", 5, 2),
        ("[[solve(q) for 3] for 4]", 12, 12),
        ("[solve(a) for a in [solve(q) for 8]]", 16, 16),
        ("[solve(a) for a in flatten([[q, q], [q]])[:2]]", 2, 2),
        ("[solve(str(i)) for i in range(2, 7)]", 5, 5),
        ("[solve(a) for i, a in enumerate([q, q])]", 2, 2),
    ],
)
def test_cost(expression: str, calls: int, baseline: int) -> None:
    text = f"{SOLVE}pipeline main(q: str) -> int {{ return len({expression}) }}"
    found = cost(lowered(text), "main")
    assert (found.calls, found.baseline) == (calls, baseline)


# --- certainty ---

CERTAIN = """
pipeline main(q: str) -> list[float?] {
  let a = solve(q)
  let b = a
  return [certainty(b), logprob(a), certainty(solve(upper(q)))]
}
pipeline both(q: str) -> float? { return certainty(twice(q)) }
pipeline twice(q: str) -> str { return solve(solve(q)) }
pipeline branch(q: str) -> float {
  let a = solve(q)
  if len(a) > 100 { return 0.0 }
  let sure = if certainty(a) == none then -1.0 else certainty(a) ?? 0.0
  return sure
}
pipeline best(q: str) -> str { let a = solve(q) return str(certainty(a) ?? 0.0) + a }
vote surest(q: str) -> str { sample: best(q) n: 3 by: "certainty" }
"""


def test_certainty_is_the_mean_and_logprob_the_sum(tmp_path: Path) -> None:
    backend = Indexed(lambda i: (-1.0, -3.0))
    program = load(CERTAIN, tmp_path, backend)
    assert program.main("x") == [-2.0, -4.0, -2.0]
    assert len(backend.requests) == 2  # the answer is asked for once
    assert program.both("x") == -2.0
    assert program.branch("x") == -2.0


def test_a_vote_by_certainty_counts_what_is_weighed_inside(tmp_path: Path) -> None:
    program = load(CERTAIN, tmp_path, Indexed(lambda i: (-3.0 + i,)))
    assert program.surest("x") == "-1.0x2"


class Mute(Indexed):
    """A model without log-probabilities that refuses a request for them."""

    capabilities: Capabilities

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = Capabilities(multiple_samples=True)


def test_a_model_without_log_probabilities_is_not_asked_for_them(tmp_path: Path) -> None:
    backend = Mute()
    program = load(CERTAIN, tmp_path, backend)
    (told,) = program.executor.preflight("branch")
    assert "the certainty of `solve` is none" in told.message
    assert program.main("x") == [None, None, None]
    assert program.branch("x") == -1.0
    assert not any(request.logprobs for request in backend.requests)
    with pytest.raises(lmc.LmcError, match="gives no log-probabilities"):
        program.surest("x")


def test_an_answer_that_is_weighed_can_be_streamed_and_has_the_labels() -> None:
    text = SOLVE + "pipeline main(q: str) -> str { let a = solve(q) let c = certainty(a) return a }"
    graph = lowered(text)
    assert list(spoken_calls(graph, graph.graphs["main"]).values()) == [()]
    assert result_provenance(graph, "main")["solve"].inputs == {"q": "q"}


def test_a_stub_has_no_certainty(tmp_path: Path) -> None:
    test = 'test "t" { stub solve -> "a" assert branch("x") == -1.0 assert both("x") == none }'
    program = load(CERTAIN + test, tmp_path, Mute())
    assert [result.diagnostics for result in run_tests(program)] == [()]


def test_certainty_reaches_through_many_early_returns(tmp_path: Path) -> None:
    """A long body is lowered in parts, which hand the weighed answers on."""
    steps = "\n".join(
        f"let a{i} = solve(q)\nif certainty(a{i}) == {i}.0 {{ return a{i} }}" for i in range(30)
    )
    text = f"""pipeline main(q: str) -> str {{ {steps}
      return str(certainty(a0)) + str(logprob(a29)) }}"""
    program = load(text, tmp_path, Indexed(lambda i: (-0.5, -0.5)))
    assert program.main("x") == "-0.5-1.0"
