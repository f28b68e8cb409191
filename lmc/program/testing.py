"""Run `test` blocks. A test with stubs for all model calls runs offline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import Diagnostic, LmcError, error, warning
from lmc.frozen import frozen
from lmc.ir.graph import ProgramGraph, Test
from lmc.ir.reach import reached_slots
from lmc.runtime.executor import Executor
from lmc.runtime.failures import CallFailure
from lmc.runtime.scope import RunState, Scope
from lmc.runtime.stubs import StubAnswers
from lmc.tasks.loop import run_sync

if TYPE_CHECKING:
    from lmc.program.program import Program


@frozen
class TestResult:
    """The result of one test: passed, with warnings, or the diagnostics of its failure."""

    __test__ = False  # not a pytest class

    title: str
    ok: bool
    diagnostics: tuple[Diagnostic, ...] = ()
    asked: tuple[str, ...] = ()  # modules without a stub, which asked a model
    seconds: float = field(default=0.0, compare=False)


def run_tests(program: Program, pattern: str = "") -> Iterator[TestResult]:
    """Run the tests whose title contains the pattern, in order."""
    for test in program.graph.tests:
        if pattern in test.title:
            start = perf_counter()
            result = run_sync(run_test(program.executor, test))
            yield replace(result, seconds=perf_counter() - start)


async def run_test(executor: Executor, test: Test) -> TestResult:
    """Run one test. A failed assertion or any other failure makes it fail.

    Stubs that answered no call are warnings of a test that passed.
    """
    asked: dict[str, None] = {}
    try:
        stubs = {name: await _stub(executor, test, name) for name in test.stubs}
        run = RunState(stubs=stubs, observer=lambda call: asked.setdefault(call.module))
        try:
            await executor.run_plan(executor.plan(test.graph), {}, Scope(run))
        finally:
            await run.close()
    except LmcError as failure:
        found = (*failure.diagnostics, *_advice(failure, test, asked))
        return TestResult(test.title, False, found, tuple(asked))
    counted = (stub.left_over() for stub in stubs.values() if isinstance(stub, StubAnswers))
    left_over = tuple(found for found in counted if found)
    return TestResult(test.title, True, left_over, tuple(asked))


def unstubbed(program: ProgramGraph, test: Test) -> tuple[str, ...]:
    """The modules whose model a test may ask: those that it reaches and does not stub."""
    return tuple(reached_slots(program, test.graph, test.stubs))


async def _stub(executor: Executor, test: Test, name: str) -> Any:
    """What a stub gives to all calls, or what several stubs give in turn."""
    graph = test.stubs[name]
    value = await executor.run_plan(executor.plan(graph), {}, Scope(RunState()))
    if name in executor.program.stores:
        return value
    return StubAnswers(name, value if name in test.in_order else [value], graph.span)


def _advice(failure: LmcError, test: Test, asked: Iterable[str]) -> Iterator[Diagnostic]:
    if isinstance(failure, CallFailure) and failure.infrastructure:
        message = (
            f"`{failure.module}` is not stubbed in the test {test.title!r}, so it needs a model"
        )
        help = f"add `stub {failure.module} -> …`, or give a model that answers"
        yield error("test-needs-model", message, test.graph.span, help=help)
    elif names := ", ".join(f"`{name}`" for name in asked):
        message = f"the test {test.title!r} asked a model for {names}, which it does not stub"
        help = "stub it, as in `stub name -> value`; of a refine, the revisions are its own calls"
        yield warning("test-asked-model", message, test.graph.span, help=help)
