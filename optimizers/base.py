"""Optimizers are functions over values: parameters in, better parameters out."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lmc.check.scope import OptimizerSignature
from lmc.frozen import frozen
from lmc.ir.provenance import Module, reached_modules
from lmc.optimizers.events import Note
from lmc.requests.budget import BudgetExceeded
from lmc.types import Type

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


class Optimize(Protocol):
    """The function behind an optimizer; its options follow by keyword."""

    def __call__(
        self, start: Parameters, context: Context, **options: Any
    ) -> Awaitable[Parameters]:
        """Parameters at least as good as `start`, as far as the context can tell."""
        ...


@frozen
class Optimizer:
    """A registered optimizer: its declared options, what it does in a line, and its paper."""

    signature: OptimizerSignature
    summary: str
    paper: str
    run: Optimize
    check: Check | None = None  # refuses, before anything is paid, what cannot be improved so
    goal: Goal = "better"  # what its gate asks; "cheaper" allows a loss of its option `margin`
    needs_rows: bool = True  # without any, its result is taken as it is


REGISTRY: dict[str, Optimizer] = {}


def optimizer(
    name: str,
    *,
    paper: str,
    check: Check | None = None,
    goal: Goal = "better",
    needs_rows: bool = True,
    **types: Type,
) -> Callable[[Callable[..., Awaitable[Parameters]]], Callable[..., Awaitable[Parameters]]]:
    """Register a function; `types` are the types of its options, their defaults its own."""

    def register(
        function: Callable[..., Awaitable[Parameters]],
    ) -> Callable[..., Awaitable[Parameters]]:
        defaults = inspect.signature(function).parameters
        params = {key: (type, defaults[key].default) for key, type in types.items()}
        summary = (function.__doc__ or "").partition("\n")[0]
        signature = OptimizerSignature(name, params)
        REGISTRY[name] = Optimizer(signature, summary, paper, function, check, goal, needs_rows)
        return function

    return register


def signatures() -> Mapping[str, OptimizerSignature]:
    """What the checker needs to know of all optimizers."""
    return {name: entry.signature for name, entry in REGISTRY.items()}
