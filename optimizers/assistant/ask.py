"""Asks a model about the program that is improved.

The questions are modules of a program in the language itself (`assistant.lmp`). They run within the
budget and the journal of the compilation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lmc.check import check_program
from lmc.frozen import frozen
from lmc.ir.graph import ProgramGraph
from lmc.ir.lower import lower
from lmc.runtime.executor import Executor
from lmc.runtime.failures import CallFailure
from lmc.runtime.traces import Trace
from lmc.source import Source
from lmc.tasks.together import for_all

if TYPE_CHECKING:
    from lmc.requests.pool import ModelPool


@frozen
class Question:
    """One question: a module of `assistant.lmp`, its inputs, and the number of the sample."""

    module: str
    inputs: dict[str, Any]
    sample: int = 0


Answered = tuple[Question, Trace, Any]  # the last item is the answer, or None if it is unusable
Keep = Callable[[Sequence[Answered]], Awaitable[None]]


@frozen
class Assistant:
    """Calls the modules of `assistant.lmp`. `model` answers unless the caller names another one.

    `keep` stores the questions and answers.
    """

    pool: ModelPool
    model: str | None
    keep: Keep

    async def ask(self, questions: Iterable[Question], model: str | None = None) -> list[Any]:
        """All answers in order, with None for an unusable answer.

        Raises: BudgetExceeded, LmcError if a model cannot be reached.
        """
        executor = Executor(assistant_program(), self.pool, model=model or self.model)

        async def one(_: int, question: Question) -> Answered:
            trace = Trace()
            try:
                answer = await executor.run(
                    question.module, question.inputs, sample=question.sample, trace=trace
                )
            except CallFailure as failure:
                if failure.infrastructure:
                    raise
                answer = None
            return question, trace, answer

        answered = await for_all(list(questions), one)
        await self.keep(answered)
        return [answer for _, _, answer in answered]

    async def texts(self, questions: Sequence[Question], model: str | None = None) -> list[str]:
        """The distinct answers that are text, without blanks and code fences."""
        found = (clean(answer) for answer in await self.ask(questions, model) if answer)
        return list(dict.fromkeys(text for text in found if text))


def clean(text: str) -> str:
    """The text without code fences and quotes around it."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[3:-3].partition("\n")[2].strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


@cache
def assistant_program() -> ProgramGraph:
    """The graph of `assistant.lmp`."""
    text = files("lmc.optimizers.assistant").joinpath("assistant.lmp").read_text(encoding="utf-8")
    program, found = check_program(Source("lmc/assistant.lmp", text))
    if program is None:
        raise AssertionError(found)
    return lower(program)
