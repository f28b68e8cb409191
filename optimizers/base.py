"""The interface of optimizers: functions that take parameters and return better ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lmc.check.optimizer_options import OptimizerSignature
from lmc.check.optimizers import SIGNATURES
from lmc.frozen import frozen
from lmc.ir.alternatives import Alternative, alternatives
from lmc.ir.provenance import Module, reached_modules
from lmc.optimizers.events import Note
from lmc.requests.budget import BudgetExceeded

if TYPE_CHECKING:
    from pathlib import Path

    from lmc.ir.graph import ProgramGraph
    from lmc.measure.rows import Row
    from lmc.optimizers.assistant.ask import Assistant
    from lmc.optimizers.candidates.trials import Mode, Trials
    from lmc.optimizers.events import Report
    from lmc.runtime.executor import Executor
    from lmc.runtime.parameters import Parameters
    from lmc.traces.store import Run

ReadTraces = Callable[["Parameters", Sequence["Row"], "Mode"], Awaitable[list["Run"]]]
Check = Callable[["Executor", str, Mapping[str, Any]], None]
# The first executor is that of the program, the second that of its teacher.
CheckTeacher = Callable[["Executor", "Executor", str, Mapping[str, Any]], None]
Goal = Literal["better", "cheaper"]
# What the task's metric says of a result for the values of a row; None if it fails.
ScoreResult = Callable[[Mapping[str, Any], Any], Awaitable[float | None]]
# The guards that the second parameters fail compared with the first, in words.
Watch = Callable[["Parameters", "Parameters", Sequence["Row"]], Awaitable[list[str]]]


class OpenExecutor(Protocol):
    """Opens an executor of the program with some parameters, or one of a teacher."""

    def __call__(self, parameters: Parameters, mode: Mode = ...) -> Executor:
        """The mode says whether it is a teacher's."""
        ...


@frozen
class MadeRow:
    """A row that a program made, and the run that made it."""

    row: Row
    run: Run


class MakesRows(Protocol):
    """Makes the rows of datasets that a program makes."""

    def target(self, name: str) -> str:
        """The module or pipeline that makes the rows of a dataset."""
        ...

    async def rows(self, name: str, parameters: Parameters, first: int) -> Sequence[MadeRow]:
        """Rows that some parameters make; `first` is the number of the first sample."""
        ...


@frozen
class Context:
    """Everything an optimizer may use. It never sees a row that confirms or tests its result.

    `train` rows give demonstrations, `select` rows compare candidates. All runs go through
    `trials`, which remembers every score and respects the budget. `traces` reads the traces of
    these runs. `made` makes the rows of a dataset that a program makes. `score` scores a result.
    """

    program: ProgramGraph
    target: str
    train: Sequence[Row]
    select: Sequence[Row]
    trials: Trials
    seed: int
    report: Report
    open_executor: OpenExecutor
    folder: Path  # for checkpoints of training
    traces: ReadTraces
    watch: Watch
    assistant: Assistant
    source: str  # source text of the program
    keep: frozenset[str] = frozenset()  # modules that must not change
    made: MakesRows | None = None
    score: ScoreResult | None = None

    def tell(self, text: str) -> None:
        """Report a sentence to the user."""
        self.report(Note(text, totals=self.trials.totals()))

    @contextmanager
    def until_spent(self) -> Iterator[None]:
        """Run the body until the budget is spent, then go on with the results so far."""
        try:
            yield
        except BudgetExceeded:
            self.tell("the budget ended the search")

    def alternatives(self) -> frozenset[Alternative]:
        """The calls whose answers may be the result of a run."""
        return alternatives(self.program, self.target)

    def modules(self) -> dict[str, Module]:
        """The modules that runs can reach and that may be changed, by name."""
        found = reached_modules(self.program, self.target)
        return {name: module for name, module in found.items() if name not in self.keep}


@frozen
class Optimizer:
    """An optimizer that a step can call. The table in `lmc.check.optimizers` has its options.

    `function` takes parameters, a context, and all options by keyword. It returns parameters that
    score at least as well on the rows of the context.
    """

    function: Callable[..., Awaitable[Parameters]]
    signature: OptimizerSignature
    paper: str
    check: Check | None = None  # refuses unsuitable programs before the first model call
    check_teacher: CheckTeacher | None = None  # refuses unsuitable teachers before it
    goal: Goal = "better"  # what the gate requires; "cheaper" allows a loss up to `margin`
    needs_rows: bool = True  # if False it works without rows; its result is then not measured

    @property
    def name(self) -> str:
        """The name in the list of optimizers."""
        return self.signature.name

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    async def run(self, start: Parameters, context: Context, **given: Any) -> Parameters:
        """Improve `start`. Options that are not given have the defaults of the table."""
        return await self.function(start, context, **self.signature.complete(given))


def optimizer(
    *,
    paper: str,
    check: Check | None = None,
    check_teacher: CheckTeacher | None = None,
    goal: Goal = "better",
    needs_rows: bool = True,
) -> Callable[[Callable[..., Awaitable[Parameters]]], Optimizer]:
    """Make an optimizer from a function whose name is in the table of optimizers."""

    def make(function: Callable[..., Awaitable[Parameters]]) -> Optimizer:
        signature = SIGNATURES[function.__name__]
        return Optimizer(function, signature, paper, check, check_teacher, goal, needs_rows)

    return make
