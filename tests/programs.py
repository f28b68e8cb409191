"""Programs for tests: checked, lowered, run on a scripted model."""

from typing import Any

from lmc.check import check_program
from lmc.diagnostics import render
from lmc.ir.graph import ProgramGraph
from lmc.ir.lower import lower
from lmc.source import Source


def lowered(text: str) -> ProgramGraph:
    """The graph of a program that must be without errors."""
    program, diagnostics = check_program(Source("test.lmp", text))
    assert program is not None, render(diagnostics)
    return lower(program)


def run_echo(program: ProgramGraph, name: str, inputs: dict[str, Any]) -> tuple[Any, int]:
    """The result of a run on a model that answers by a fixed rule, and the calls it took."""
    from lmc.models.scripted import Scripted
    from lmc.requests.pool import ANY_MODEL, ModelPool
    from lmc.runtime.executor import Executor
    from lmc.runtime.traces import Trace
    from lmc.tasks.loop import run_sync

    def echo(request: Any) -> str:
        said = request.messages[-1]["content"].upper()
        thinks = "[[reasoning]]" in request.messages[0]["content"]
        return f"[[reasoning]] It is so.\n[[result]] {said.strip('[]')}" if thinks else said

    backend = Scripted(echo)
    pool = ModelPool(program.models, program.default, backends={ANY_MODEL: backend})
    trace = Trace()
    result = run_sync(Executor(program, pool).run(name, inputs, trace=trace))
    return result, len(trace.calls)
