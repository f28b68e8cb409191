"""Optimizers are functions over values: parameters in, better parameters out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from lmc.check.optimizers import SIGNATURES, OptimizerSignature
from lmc.frozen import frozen
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

OpenExecutor = Callable[["Parameters"], "Executor"]
ReadTraces = Callable[["Parameters", Sequence["Row"], "Mode"], Awaitable[list["Run"]]]
Check = Callable[["Executor", str, Mapping[str, Any]], None]
Goal = Literal["better", "cheaper"]
# Names of the guards that the second parameters fail compared with the first, in words.
Watch = Callable[["Parameters", "Parameters", Sequence["Row"]], Awaitable[list[str]]]


@frozen
class Context:
    """What an optimizer may look at: never a row that confirms or tests its result.

    `train` rows give demonstrations, `select` rows compare candidates. All runs go through
    `trials`, which remembers every score and keeps within the budget; `traces` reads what happened
    in them.
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
    source: str  # of the program
    keep: frozenset[str] = frozenset()  # modules that stay as they are

    def tell(self, text: str) -> None:
        """Report a sentence that a person should read."""
        self.report(Note(text, totals=self.trials.totals()))

    @contextmanager
    def until_spent(self) -> Iterator[None]:
        """What is done inside ends where the budget does; what was found by then has to do."""
        try:
            yield
        except BudgetExceeded:
            self.tell("the budget ended the search")

    def modules(self) -> dict[str, Module]:
        """The modules that runs may come to and that may be changed, by name."""
        found = reached_modules(self.program, self.target)
        return {name: module for name, module in found.items() if name not in self.keep}


@frozen
class Optimizer:
    """What a step calls. Its options stand in the table, `lmc.check.optimizers`.

    `function` takes parameters, a context and all of its options by keyword, and gives parameters
    that are at least as good, as far as the context can tell.
    """

    function: Callable[..., Awaitable[Parameters]]
    signature: OptimizerSignature
    paper: str
    check: Check | None = None  # refuses, before anything is paid, what cannot be improved so
    goal: Goal = "better"  # what its gate asks; "cheaper" allows a loss of its option `margin`
    needs_rows: bool = True  # without any, its result is taken as it is

    @property
    def name(self) -> str:
        """The name by which it is listed."""
        return self.signature.name

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.function.__doc__ or "").partition("\n")[0]

    async def run(self, start: Parameters, context: Context, **given: Any) -> Parameters:
        """Improve `start`; options that are not given have the defaults of the table."""
        return await self.function(start, context, **self.signature.complete(given))


def optimizer(
    *,
    paper: str,
    check: Check | None = None,
    goal: Goal = "better",
    needs_rows: bool = True,
) -> Callable[[Callable[..., Awaitable[Parameters]]], Optimizer]:
    """Make an optimizer of the function whose name stands in the table."""

    def make(function: Callable[..., Awaitable[Parameters]]) -> Optimizer:
        signature = SIGNATURES[function.__name__]
        return Optimizer(function, signature, paper, check, goal, needs_rows)

    return make
