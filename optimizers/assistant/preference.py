"""A metric without labels that compares answers with those of the program as written.

A model compares the two in both orders, because models have a position bias (Zheng et al. 2023,
arXiv 2306.05685, section 3.4). If the verdict depends on the order, it is a draw. Equal answers are
a draw too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.provenance import reached_modules
from lmc.measure.metric_functions import Score
from lmc.optimizers.assistant.ask import Assistant, Question
from lmc.optimizers.assistant.describing import value_text
from lmc.runtime.executor import Executor
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.ir.graph import Graph
    from lmc.program.program import Program

NAME = "preference"
_FIRST = {"first": 0.0, "equal": 0.5, "second": 1.0}  # score of the second answer


def against_as_written(program: Program, graph: Graph) -> Preference:
    """The metric for a compiled program: it compares its answers with those of its source.

    Raises: LmcError[nothing-to-compare] if the program is unchanged.
    """
    if program.parameters == Parameters():
        message = "`preference` compares with the program as written, and this program is unchanged"
        raise LmcError.of("nothing-to-compare", message, help="use it on a compiled artifact")
    before = Executor(
        program.graph,
        program.pool,
        model=program.options.model,
        base_dir=program.base_dir,
        consent=program.consent,
        stores=program.frozen_stores,
    )
    models = [name for name in before.models(graph.name) if name is not None]
    assistant = Assistant(program.pool, models[0] if models else None, _keep_nothing)
    modules = reached_modules(program.graph, graph.name).values()
    task = "\n\n".join(module.slots.instruction for module in modules)
    names = [port.name for port in graph.inputs]

    async def answer(inputs: Mapping[str, Any]) -> Any:
        return await before.run(graph.name, inputs)

    return Preference(assistant, task, names, answer)


async def _keep_nothing(answered: Sequence[Any]) -> None:
    pass


Shown = tuple[Mapping[str, Any], Any, Any]  # inputs with two answers


async def preferred(
    assistant: Assistant, task: str, pairs: Sequence[Shown], judge: str | None = None
) -> list[float]:
    """Scores for inputs with two answers each: 1 if the second is better, 0 if worse, else 0.5."""
    return [settled(*orders) for orders in await in_both_orders(assistant, task, pairs, judge)]


async def in_both_orders(
    assistant: Assistant, task: str, pairs: Sequence[Shown], judge: str | None = None
) -> list[tuple[float, float]]:
    """As `preferred`, what the model says when it sees the first answer first, and when last."""
    questions: list[Question] = []
    for inputs, one, other in pairs:
        for first, second in ((one, other), (other, one)) if one != other else ():
            shown = {"inputs": value_text(inputs), "task": task}
            shown |= {"first": value_text(first), "second": value_text(second)}
            questions.append(Question("prefer", shown))
    verdicts = iter(await assistant.ask(questions, judge))
    found = []
    for _, one, other in pairs:
        if one == other:
            found.append((0.5, 0.5))
            continue
        straight, turned = next(verdicts), next(verdicts)
        found.append((_FIRST.get(straight, 0.5), 1 - _FIRST.get(turned, 0.5)))
    return found


def settled(straight: float, turned: float) -> float:
    """The verdict of both orders: a draw unless they agree."""
    return straight if straight == turned else 0.5


@dataclass(slots=True)
class Preference:
    """The metric `preference`. The program as written answers each row once."""

    assistant: Assistant
    task: str
    inputs: Sequence[str]
    answer: Callable[[Mapping[str, Any]], Awaitable[Any]]
    name: str = NAME
    _known: dict[str, Any] = field(default_factory=dict)

    async def score(
        self, gold: Mapping[str, Any], pred: Any, executor: Executor | None = None
    ) -> Score:
        """Score an answer: 1 if it is better than before, 0 if it is worse, 0.5 for a draw."""
        inputs = {name: gold[name] for name in self.inputs if name in gold}
        key = value_text(inputs)
        if key not in self._known:
            self._known[key] = await self.answer(inputs)
        (value,) = await preferred(self.assistant, self.task, [(inputs, self._known[key], pred)])
        return Score(value)
