"""Typed errors of a run: which node failed, what was asked, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field

from lmc.diagnostics import LmcError, error
from lmc.models.base import SAID, ModelFailure
from lmc.prompts.spec import Message
from lmc.source import Span

EXCERPT_CHARS = 160
# Failures of the program itself. All others come from its surroundings, such as a missing key.
OWN_CODES = (
    *("call-failed", "tool-failed", "evaluation-failed", "kept-misfit", "episode-too-long"),
    *("agent-unfinished", "out-of-range"),
)


def no_continuation(module: str, model: str, span: Span | None) -> LmcError:
    """A model cannot go on with the beginning that a module gives its answer."""
    message = f"`{model}` cannot go on with the `begin` of `{module}`"
    help = "ask for the beginning in the instruction, or use a model run here or by vLLM"
    return LmcError.of("no-continuation", message, span, help=help)


@dataclass(slots=True)
class Attempts:
    """What one model call sent and received, over all repairs, retries and fallbacks."""

    messages: list[Message] = field(default_factory=list)  # of the last request
    raw: list[str] = field(default_factory=list)
    count: int = 0


class CallFailure(LmcError):
    """One model call gave no result.

    `infrastructure` marks failures such as no connection, no key or a full queue. They say nothing
    about the program, so no metric counts them. `kind` is that of the ModelFailure if no complete
    answer came.
    """

    def __init__(
        self,
        module: str,
        span: Span | None,
        message: str,
        attempts: Attempts,
        *,
        infrastructure: bool = False,
        help: str | None = None,
        kind: str = "",
        heard: bool = False,
    ) -> None:
        code = "infrastructure-failure" if infrastructure else "call-failed"
        super().__init__(error(code, message, span, help=help))
        self.module, self.message, self.infrastructure = module, message, infrastructure
        self.kind, self.heard = kind, heard
        self.messages, self.raw, self.attempts = attempts.messages, attempts.raw, attempts.count
        self.file = span.source.name if span else None
        self.line = span.source.position(span.start)[0] if span else None


def is_own(failure: LmcError) -> bool:
    """Whether the program itself failed on its inputs, not its surroundings."""
    return failure.code in OWN_CODES


def is_infrastructure(failure: LmcError) -> bool:
    """Whether the failure says nothing about the program, since no answer came."""
    return isinstance(failure, CallFailure) and failure.infrastructure


def unusable_answer(
    module: str, model: str, span: Span | None, problem: str, attempts: Attempts
) -> CallFailure:
    """The failure for answers that are not values of the module's type.

    `model` is the model as messages show it.
    """
    times = "once" if attempts.count == 1 else f"{attempts.count} times"
    said = f"; it said: {excerpt(attempts.raw[-1])!r}" if attempts.raw else ""
    message = f"`{module}` asked {model} {times} and got no usable answer: {problem}{said}"
    return CallFailure(module, span, message, attempts)


def no_answer(
    module: str, model: str, span: Span | None, failure: ModelFailure, attempts: Attempts
) -> CallFailure:
    """The failure for a missing or incomplete answer. `model` is shown as it is.

    A failure that prompt or model caused counts as the program's own.
    """
    again = f" (after {failure.retries} more requests)" if failure.retries else ""
    notes = "".join(f"; {note}" for note in getattr(failure, "__notes__", ()))
    message = f"`{module}` got no answer from {model}: {failure.message}{again}{notes}"
    outside = failure.kind not in ("context_length", *SAID)
    return CallFailure(
        module, span, message, attempts,
        infrastructure=outside, help=failure.hint or None, kind=failure.kind, heard=failure.heard,
    )  # fmt: skip


def excerpt(text: str, length: int = EXCERPT_CHARS) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
