"""Find out what a model's server can do, by a few short requests.

Each ability is tried alone, and what the server refuses is told from what it takes and ignores. The
table of dialects is not believed: whatever it leaves out is sent here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lmc.frozen import frozen
from lmc.models.base import Answer, Backend, Message, ModelFailure, Price, Request, Sampling
from lmc.models.border import prompt_estimate
from lmc.models.dialect import Dialect, dialect_of, forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import OTHER, ServerKind, recognised
from lmc.models.thinking_budgets import PARAMETERS

Verdict = Literal["yes", "partly", "no", "unknown"]
MOST_TOKENS = 64  # of one answer
_TIMEOUT_S = 120.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # before the one repetition of what failed by chance
_SAMPLES = 3
_PLAIN: tuple[Message, ...] = ({"role": "user", "content": "Say hello."},)
_RANDOM: tuple[Message, ...] = (
    {"role": "user", "content": "Make up a sentence of ten words about any animal you like."},
)
_SYSTEM: tuple[Message, ...] = (
    {"role": "system", "content": "Answer every question with the one word: zebra."},
    {"role": "user", "content": "Which animal barks?"},
)
# A prompt for one answer and a schema for another one tell whether the schema binds.
_AGAINST: tuple[Message, ...] = (
    {"role": "user", "content": 'Answer with this JSON and nothing else: {"colour": "red"}'},
)
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"kept": {"type": "string", "enum": ["qxv"]}},
    "required": ["kept"],
    "additionalProperties": False,
}
_TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a town.",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
        },
    },
}
_ASKS: tuple[Message, ...] = ({"role": "user", "content": "How is the weather in Oslo?"},)


@frozen
class Finding:
    """What was found out about one ability. `told` says what the server did."""

    ability: str
    verdict: Verdict
    told: str = ""


@frozen
class Probed:
    """What a server can do. `reached` is False if it gave no answer at all."""

    endpoint: str
    model: str
    kind: str
    models: tuple[str, ...]
    findings: tuple[Finding, ...]
    requests: int
    prompt_tokens: int
    completion_tokens: int
    reached: bool = True

    def of(self, ability: str) -> Finding | None:
        """The finding on an ability, if it was tried."""
        return next((f for f in self.findings if f.ability == ability), None)


@dataclass(slots=True)
class _Asker:
    """Sends the requests of a probe one after another, and counts them."""

    backend: Backend
    model: str
    asked: int = 0
    answers: list[Answer] = field(default_factory=list)
    draws: bool = True  # two answers to one prompt differed

    async def ask(self, messages: tuple[Message, ...], **more: Any) -> list[Answer]:
        """The answers to one request. Raises: ModelFailure."""
        sampling = replace(Sampling(max_tokens=MOST_TOKENS), **more.pop("sampling", {}))
        request = Request(self.model, messages, sampling, **more)
        try:
            found = await self._once(request)
        except ModelFailure as failure:
            if not failure.retryable:
                raise
            await asyncio.sleep(min(failure.retry_after_s or _PAUSE_S, _LONGEST_PAUSE_S))
            found = await self._once(request)
        self.answers += found
        return found

    async def _once(self, request: Request) -> list[Answer]:
        self.asked += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return list(await self.backend.generate(request))
        except TimeoutError:
            raise ModelFailure("timeout", "it gave no answer in time", retryable=False) from None

    @property
    def requests(self) -> int:
        """What was sent, with the parts and repetitions that a server made necessary."""
        return self.backend.requests if isinstance(self.backend, OpenAICompatible) else self.asked

    @property
    def dialect(self) -> Dialect | None:
        """What was learnt of a server; None of a model that runs here."""
        if isinstance(self.backend, OpenAICompatible):
            return dialect_of(self.backend.endpoint, self.model, self.backend.kind)
        return None

    def refuses(self, *names: str) -> bool:
        """Whether the server refuses some parameter."""
        return self.dialect is not None and any(name in self.dialect.refused for name in names)


# --- one function for each ability ---


async def _usage(asker: _Asker) -> Finding:
    (answer,) = await asker.ask(_PLAIN)
    if answer.prompt_tokens and answer.completion_tokens:
        told = f"{answer.prompt_tokens} + {answer.completion_tokens} tokens"
        return Finding("usage", "yes", told)
    return Finding("usage", "no", "no token is counted, so budgets count estimates")


async def _system(asker: _Asker) -> Finding:
    (answer,) = await asker.ask(_SYSTEM)
    if asker.dialect is not None and asker.dialect.roles:
        return Finding("system role", "no", "refused; lmc joins it with the user's turn")
    heeded = "zebra" in answer.text.lower()
    return Finding("system role", "yes", "heeded" if heeded else "taken, and not heeded here")


async def _sampling(asker: _Asker) -> Finding:
    hot = {"temperature": 1.0}
    texts = [(await asker.ask(_RANDOM, sampling=hot, index=i))[0].text for i in range(2)]
    if asker.refuses("temperature"):
        return Finding("sampling", "partly", "it refuses a temperature, and keeps to its own")
    asker.draws = len(set(texts)) > 1
    if not asker.draws:
        return Finding(
            "sampling", "no", "two answers at temperature 1 are equal: votes gain nothing"
        )
    return Finding("sampling", "yes", "two answers at temperature 1 differ")


async def _samples(asker: _Asker) -> Finding:
    answers = await asker.ask(_RANDOM, n=_SAMPLES, sampling={"temperature": 1.0})
    most = asker.dialect.most_n if asker.dialect else _SAMPLES
    if most >= _SAMPLES:
        same = len({answer.text for answer in answers}) == 1
        told = ", all equal" if same else ""
        return Finding("n", "partly" if same else "yes", f"{_SAMPLES} samples in one request{told}")
    told = f"{most} a request; lmc asks for them in parts" if most > 1 else "one a request"
    return Finding("n", "partly", told)


async def _schema(asker: _Asker) -> Finding:
    (answer,) = await asker.ask(_AGAINST, schema=dict(_SCHEMA))
    if asker.refuses("response_format"):
        return Finding("schema", "no", "refused; lmc reads and repairs answers")
    if '"kept"' in answer.text and "qxv" in answer.text:
        return Finding("schema", "yes", "it binds answers")
    return Finding("schema", "no", "taken, and not kept to: lmc validates and repairs answers")


async def _logprobs(asker: _Asker) -> Finding:
    (answer,) = await asker.ask(_PLAIN, logprobs=True)
    if answer.logprobs:
        return Finding("logprobs", "yes", f"of {len(answer.logprobs)} tokens")
    told = "refused" if asker.refuses("logprobs") else "taken, and not given"
    return Finding("logprobs", "no", f"{told}: `certainty` is not known")


async def _seed(asker: _Asker) -> Finding:
    drawn = {"temperature": 1.0, "seed": 11}
    one, two = [(await asker.ask(_RANDOM, sampling=drawn))[0].text for _ in range(2)]
    if asker.refuses("seed", "random_seed"):
        return Finding("seed", "no", "refused")
    if one != two:
        return Finding("seed", "no", "taken, and two answers under one seed differ")
    if not asker.draws:
        return Finding("seed", "unknown", "answers are equal without one too")
    return Finding("seed", "yes", "two answers under one seed are equal")


async def _stream(asker: _Asker) -> Finding:
    pieces: list[str] = []
    (answer,) = await asker.ask(_PLAIN, on_text=pieces.append)
    counted = "" if answer.completion_tokens else ", without usage"
    if len(pieces) > 1:
        return Finding(
            "stream", "yes" if not counted else "partly", f"{len(pieces)} pieces{counted}"
        )
    told = "refused" if asker.refuses("stream") else "the text comes in one piece"
    return Finding("stream", "no", told)


async def _tools(asker: _Asker) -> Finding:
    try:
        (answer,) = await asker.ask(_ASKS, tools=(dict(_TOOL),))
    except ModelFailure as failure:
        if failure.kind != "no_tools":
            raise
        return Finding("tools", "no", "refused; agents describe their tools in the prompt")
    if answer.tool_calls:
        free = ", not under demand" if asker.refuses("tool_choice") else ""
        return Finding("tools", "yes", f"it called `{answer.tool_calls[0].name}`{free}")
    return Finding("tools", "no", "offered, and none was called")


async def _thinking(asker: _Asker) -> Finding:
    (answer,) = await asker.ask(_PLAIN, sampling={"reasoning": "low"})
    if asker.refuses(*PARAMETERS):
        return Finding("reasoning", "no", "refused")
    tokens = answer.details.reasoning
    if answer.reasoning or tokens:
        shown = "shown" if answer.reasoning else "hidden"
        return Finding("reasoning", "yes", f"thoughts are {shown}, {tokens or 'no'} tokens counted")
    return Finding("reasoning", "unknown", "taken, and no thought came")


_PROBES: Mapping[str, tuple[int, Callable[[_Asker], Awaitable[Finding]]]] = {
    "usage": (1, _usage),
    "system role": (1, _system),
    "sampling": (2, _sampling),
    "n": (1, _samples),
    "schema": (1, _schema),
    "logprobs": (1, _logprobs),
    "seed": (2, _seed),
    "stream": (1, _stream),
    "tools": (1, _tools),
    "reasoning": (1, _thinking),
}
PLANNED = sum(count for count, _ in _PROBES.values())  # requests, if none is refused


def most_usd(price: Price | None) -> float | None:
    """The most that a probe costs where nothing is refused; None if the price is not known."""
    if price is None:
        return None
    longest = max(
        prompt_estimate(Request("", prompt, tools=(_TOOL,) if prompt is _ASKS else ()))
        for prompt in (_PLAIN, _RANDOM, _SYSTEM, _AGAINST, _ASKS)
    )
    samples = PLANNED + _SAMPLES - 1
    return price.most_usd(samples * longest, samples * MOST_TOKENS, audio=False)


async def probe(backend: Backend, model: str) -> Probed:
    """Try each ability of a model. What fails otherwise is a finding too."""
    forget_dialects()  # of this process, which may know of refusals already
    kind, models = await _listed(backend)
    asker, findings, reached = _Asker(_unprejudiced(backend, kind), model), [], True
    for ability, (_, tried) in _PROBES.items():
        try:
            findings.append(await tried(asker))
        except ModelFailure as failure:
            findings.append(Finding(ability, "unknown", failure.message[:300]))
            if ability == "usage":  # nothing works
                reached = False
                break
    if reached:
        findings.append(_adapters(backend, kind, models))
    forget_dialects()
    return Probed(
        backend.endpoint, model, _kind_name(backend, kind), _names(models), tuple(findings),
        asker.requests, sum(a.prompt_tokens for a in asker.answers),
        sum(a.completion_tokens for a in asker.answers), reached,
    )  # fmt: skip


def _kind_name(backend: Backend, kind: ServerKind | None) -> str:
    """The name of the dialect; empty for a model that runs here."""
    return (kind or OTHER).name if isinstance(backend, OpenAICompatible) else ""


def _unprejudiced(backend: Backend, kind: ServerKind | None) -> Backend:
    """The backend, sending what its kind is said not to take."""
    if isinstance(backend, OpenAICompatible):
        known = kind or backend.kind
        backend.kind = replace(
            known, most_n=None, schema="json_schema", strict=False, logprobs=True,
            tool_choice=True, seed=known.seed or "seed", stream_usage=True,
        )  # fmt: skip
    return backend


async def _listed(backend: Backend) -> tuple[ServerKind | None, Any]:
    """The kind of a server, and the list of its models; neither of a model that runs here."""
    if not isinstance(backend, OpenAICompatible):
        return None, None
    known = None if backend.kind is OTHER else backend.kind
    try:
        headers, models = await backend.listed()
    except ModelFailure:
        return known, None
    return recognised(headers, models) or known, models


def _names(models: Any) -> tuple[str, ...]:
    listed = models.get("data") if isinstance(models, Mapping) else None
    found: Sequence[Any] = listed if isinstance(listed, list) else ()
    return tuple(str(m["id"])[:200] for m in found[:100] if isinstance(m, Mapping) and "id" in m)


def _adapters(backend: Backend, kind: ServerKind | None, models: Any) -> Finding:
    """Which adapters the server lists. vLLM says of each whose it is."""
    if not isinstance(backend, OpenAICompatible):
        can = backend.capabilities.adapters
        return Finding("adapters", "yes" if can else "no", "by lmc" if can else "")
    listed = models.get("data") if isinstance(models, Mapping) else None
    found = [m for m in listed if isinstance(m, Mapping) and m.get("parent")] if listed else []
    if found:
        return Finding("adapters", "yes", ", ".join(str(m.get("id"))[:60] for m in found[:8]))
    way = (kind or OTHER).adapters
    words = {
        "": ("no", "servers of this kind name none in requests"),
        "name": ("unknown", "it lists none; one is named in the place of the model"),
        "suffix": ("unknown", "it lists none; one is named as `model:adapter`"),
        "loaded": ("unknown", "it lists none; `load_adapters: true` loads lmc's own"),
    }
    verdict, told = words[way]
    return Finding("adapters", verdict, told)  # type: ignore[arg-type]
