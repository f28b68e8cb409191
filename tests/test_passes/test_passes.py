"""Each pass against its golden cases, run before and after with equal results, and idempotent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmc.ir.graph import Port, ProgramGraph
from lmc.ir.printer import print_program
from lmc.ir.verify import GraphFault, verify
from lmc.passes.context import PassContext
from lmc.passes.pipeline import PASSES, run_passes
from tests.golden import Case, read_cases
from tests.programs import lowered, run_echo

FOLDER = Path(__file__).parents[1] / "cases" / "passes"
BY_NAME = {p.__name__: p for p in PASSES}
CASES = [(name, case) for name in BY_NAME for case in read_cases(FOLDER / f"{name}.md")]
CONTEXT = PassContext()


def value_for(port: Port) -> Any:
    """Some value of an input's type."""
    return {"str": " two words ", "int": 3, "bool": True}.get(
        str(port.type), ["one", "", "two words"]
    )


def ran(program: ProgramGraph) -> tuple[Any, int]:
    inputs = {port.name: value_for(port) for port in program.graphs["main"].inputs}
    return run_echo(program, "main", inputs)


def test_each_pass_has_its_cases() -> None:
    assert {f.stem for f in FOLDER.glob("*.md")} == set(BY_NAME)
    assert all(name == p.__module__.rpartition(".")[2] for name, p in BY_NAME.items())


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda x: getattr(x, "title", x))
def test_golden_and_equal_results(name: str, case: Case) -> None:
    before = lowered(case.blocks["lmp"])
    after = BY_NAME[name](before, CONTEXT)
    verify(after)
    case.expect("text", print_program(after))
    assert BY_NAME[name](after, CONTEXT) == after
    (result_before, calls_before), (result_after, calls_after) = ran(before), ran(after)
    assert result_after == result_before
    assert calls_after <= calls_before


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda x: getattr(x, "title", x))
def test_all_passes_together(name: str, case: Case) -> None:
    before = lowered(case.blocks["lmp"])
    after = run_passes(before)
    verify(after)
    assert run_passes(after) == after
    assert ran(after)[0] == ran(before)[0]


def test_a_pass_that_breaks_a_graph_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests set LMC_VERIFY; without it nothing is looked at again."""

    def careless(program: ProgramGraph, context: PassContext) -> ProgramGraph:
        main = program.graphs["main"]
        nodes = tuple(replace(n, inputs=("nobody",)) if n.op == "return" else n for n in main.nodes)
        return replace(program, graphs={**program.graphs, "main": replace(main, nodes=nodes)})

    monkeypatch.setattr("lmc.passes.pipeline.PASSES", (careless,))
    program = lowered("pipeline main(q: str) -> str { return q }")
    with pytest.raises(GraphFault, match=r"after careless:\nmain, node %1 return"):
        run_passes(program)
    monkeypatch.delenv("LMC_VERIFY")
    run_passes(program)


def test_unreachable_graphs_go_and_kept_ones_stay() -> None:
    text = 'from "lmc/self_refine" import refine_answer\npipeline main(q: str) -> str { return q }'
    program = lowered(text)
    assert "self_refine.refine_answer" in program.graphs
    assert set(run_passes(program).graphs) == {"main"}
    kept = run_passes(program, PassContext(keep=("self_refine.judge",)))
    assert set(kept.graphs) == {"main", "self_refine.judge"}


def test_pipelines_that_call_one_another_twice_are_read_once() -> None:
    """Forty of them make 2 ** 40 calls: a pass that walked every one of them would not end."""
    twice = "join([p{0}(join([x, 'a'])), p{0}(join([x, 'b']))])".replace("'", '"')
    levels = (
        f"pipeline p{i}(x: str) -> str {{ return {twice.format(i - 1)} }}\n" for i in range(1, 40)
    )
    program = lowered(
        'generate g(x: str) -> str { "Answer." max_tokens: 9 }\n'
        "pipeline p0(x: str) -> str { return g(x) }\n"
        + "".join(levels)
        + "vote v(x: str) -> str { sample: p39(x) n: 5 }\n"
        "pipeline main(xs: list[str]) -> list[str] { return [v(x) for x in xs] }"
    )
    after = run_passes(program)
    verify(after)
    vote = after.graphs["v"].nodes[-2]
    assert (vote.attrs["stop_early"], vote.attrs["fused"]) == ("settled", ("g",))
