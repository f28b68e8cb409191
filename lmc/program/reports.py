"""What a run did and cost, for Python: every call of a model, and the sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from lmc.frozen import frozen
from lmc.prompts.spec import REASONING, Message
from lmc.prompts.thinking import thoughts_in
from lmc.requests.usage import Usage
from lmc.runtime.traces import CallTrace, Trace


class _Spending:
    """What `usage` counts, in the words of reports."""

    usage: Usage

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.usage.tokens

    @property
    def usd(self) -> float:
        """The cost in US dollars; 0 if the price is not known."""
        return self.usage.cost_usd

    @property
    def retries(self) -> int:
        """The requests that were sent again, as a server was busy or gave no complete answer."""
        return self.usage.retries


@frozen
class CallReport(_Spending):
    """One call of a module: what was sent, what came back, and what it cost.

    `role` is generate, critique, revise, adjudicate or act. `messages` were sent last, and `texts`
    are all answers of the model: the last one counts, the others could not be used. `reasoning` is
    what the model thought before. `finish_reason` is in the words of the server. `attempts` counts
    the requests for a usable answer, with repairs; `usage.retries` those that were sent again.
    `place` is the same in every run with the same inputs. `error` says why there is no result.
    """

    module: str
    role: str
    model: str
    place: str
    inputs: Mapping[str, Any]
    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    result: Any
    reasoning: str
    finish_reason: str
    usage: Usage
    latency_s: float
    attempts: int
    sample: int = 0
    adapter: str | None = None
    error: str | None = None

    @property
    def cached(self) -> bool:
        """Whether all answers came from the cache, or from an equal call of the same run."""
        return 0 < self.usage.calls == self.usage.cached_calls


@frozen
class RunReport(_Spending):
    """One run of a module or pipeline: its calls in the order of the program, and their sums.

    `seconds` is the time of the run, `latency_s` the sum over its calls, of which some ran at once.
    """

    target: str
    calls: tuple[CallReport, ...]
    usage: Usage
    seconds: float = field(compare=False)
    error: str | None = None

    @property
    def latency_s(self) -> float:
        """The seconds of all calls together."""
        return sum(call.latency_s for call in self.calls)

    @property
    def finish_reasons(self) -> Mapping[str, int]:
        """How many calls ended for each reason."""
        return Counter(call.finish_reason for call in self.calls if call.finish_reason)

    @property
    def reasoning(self) -> tuple[str, ...]:
        """What the models thought, by call."""
        return tuple(call.reasoning for call in self.calls if call.reasoning)


def call_report(call: CallTrace) -> CallReport:
    """The report of a call in a trace."""
    return CallReport(
        module=call.module,
        role=call.role,
        model=call.model,
        place=call.id,
        inputs=call.inputs,
        messages=tuple(call.messages),
        texts=tuple(call.raw),
        result=call.result,
        reasoning=_reasoning(call),
        finish_reason=call.finish_reason,
        usage=call.usage,
        latency_s=call.latency_ms / 1000,
        attempts=call.attempts,
        sample=call.sample,
        adapter=call.adapter,
        error=call.error,
    )


def run_report(
    target: str, trace: Trace, seconds: float, error: BaseException | None = None
) -> RunReport:
    """The report of a run that ended, well or not."""
    calls = tuple(map(call_report, trace.calls))
    return RunReport(target, calls, trace.usage, seconds, str(error) if error else None)


def _reasoning(call: CallTrace) -> str:
    """All that a model thought: what its server sent apart, in its own marks, and in the field."""
    last = call.raw[-1] if call.raw else ""
    field_text = (call.outputs or {}).get(REASONING)
    parts = (call.thoughts, thoughts_in(last), field_text if isinstance(field_text, str) else "")
    return "\n\n".join(filter(None, parts))
