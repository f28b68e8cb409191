"""From a request to its answers: budget, cache, requests in flight, retries, fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmc.consent import OWN, Consent
from lmc.diagnostics import Diagnostic, LmcError, suggestion
from lmc.models import border
from lmc.models.base import Answer, Backend, ModelFailure, Request
from lmc.models.batch_api import BatchApi
from lmc.models.border import Outcome
from lmc.models.media_parts import lacking
from lmc.models.recorded import Recorded
from lmc.models.registry import TINY, open_backend
from lmc.models.thinking_budgets import tokens
from lmc.redaction import logger
from lmc.requests.bound import (
    BUDGETED_MAX_TOKENS,
    BoundModel,
    bind,
    fallbacks,
    merge,
    unknown_price,
)
from lmc.requests.budget import Budget, ModelBudgetExceeded
from lmc.requests.cache import IN_MEMORY, Cache, sample_keys
from lmc.requests.flights import Flights
from lmc.requests.payers import Payers, payers
from lmc.requests.reservations import UNLIMITED, Held, reserve
from lmc.requests.retry import RetryPolicy
from lmc.requests.sending import Sender, Sending
from lmc.requests.spans import Spans
from lmc.requests.usage import Usage

_log = logger(__name__)
ANY_MODEL = "*"
Opener = Callable[[str, Mapping[str, Any]], tuple[Backend, str]]
OF_ONE_MODEL = (
    *("name", "base_url", "api_key_env", "price", "dialect", "extra", "headers", "load_adapters"),
)


class ModelPool:
    """All models of a program behind one `ask`.

    `models` has the settings by declared name. They override those of the program, `default`.
    `backends` replaces the backends of models, by declared or full name; "*" replaces all. With
    `cache` None, nothing is kept on disk. Paths in model names are relative to `base_dir`.
    `consent` says what the user allows the program. `record` is a file that keeps all answers. A
    model's own budget lasts as long as the pool. `spans` hears of each request. `opener` opens the
    backends of full names. With `batch_api`, servers that have one are asked by their batch API.
    Belongs to one event loop.
    """

    own_budgets = True  # whether the budgets of models apply

    def __init__(
        self,
        models: Mapping[str, Mapping[str, Any]] | None = None,
        default: Mapping[str, Any] | None = None,
        *,
        cache: Cache | None = None,
        budget: Budget | None = None,
        backends: Mapping[str, Backend] | None = None,
        base_dir: Path | None = None,
        consent: Consent = OWN,
        record: Path | None = None,
        spans: Spans | None = None,
        opener: Opener | None = None,
        batch_api: BatchApi | None = None,
    ) -> None:
        self.models, self.default = dict(models or {}), dict(default or {})
        self.cache, self.budget = cache, budget
        self.usage = Usage()
        self.given_backends, self._base_dir = dict(backends or {}), base_dir
        self.opener, self.batch_api = opener or open_backend, batch_api
        self._consent, self._record, self.spans = consent, record, spans
        self._bound: dict[str, BoundModel] = {}
        self._unset: set[str] = set()  # models whose server chooses the temperature
        self._flights = Flights()
        self._sender = Sender(budget, self._require, spans)
        self._memory: Cache | None = None
        # The layouts that models do best, by the names of models that were measured.
        self.layouts: dict[str, str] = {}
        self.fitting = asyncio.Lock()  # held while a model is measured
        # Whether models call tools that they are offered, by the names of models that were asked.
        self.calls_tools: dict[str, bool] = {}

    def bind(self, name: str | None = None) -> BoundModel:
        """Open a model by its declared or full name. None is the program's default, else lmc/tiny.

        Raises: LmcError as `lmc.models.registry.open_backend`.
        """
        name = name or self.default.get("model") or TINY
        if name not in self._bound:
            self._bound[name] = self._bind(name)
        return self._bound[name]

    def preflight(
        self, names: Iterable[str | None] = (None,), *, with_fallbacks: bool = True
    ) -> list[Diagnostic]:
        """Check in advance what would fail at the first request of these models and fallbacks.

        Raises: LmcError with one diagnostic for each missing extra or key, each unknown model, and
        each model without a known price under a budget in money. Returns: warnings.
        """
        errors: dict[Diagnostic, None] = {}
        for name in self._with_fallbacks(names) if with_fallbacks else self._opened(names):
            try:
                bound = self.bind(name)
            except LmcError as e:
                errors.update(dict.fromkeys(e.diagnostics))
                continue
            if any(_has_no_price(bound, budget) for budget in self._payers()):
                errors[unknown_price(bound)] = None
        if errors:
            raise LmcError(*errors)
        return []

    async def ask(
        self,
        model: str | None,
        request: Request,
        *,
        retry: Any = None,
        fallback: Sequence[str] | str | None = None,
        cache: bool | str | None = None,
    ) -> list[Answer]:
        """Get `request.n` answers from this model or the first of its fallbacks that has them.

        The next fallback is asked if a model fails or its own budget is spent. The settings fill
        in `request.model` and open values of the sampling; `retry`, `fallback` and `cache` override
        the settings. Raises: ModelFailure (that of the first model), LmcError[budget-exceeded],
        LmcError of `bind`.
        """
        bound = self.bind(model)
        try:
            return await self._ask(bound, request, retry, cache)
        except (ModelFailure, ModelBudgetExceeded) as failure:
            if isinstance(failure, ModelFailure) and failure.heard:
                raise
            given = bound.settings.get("fallback") if fallback is None else fallback
            names = [name for name in fallbacks(given) if name != bound.name]
            for name in names:
                try:
                    return await self._ask(self.bind(name), request, retry, cache)
                except (ModelFailure, ModelBudgetExceeded) as second:
                    failure.add_note(f"fallback `{name}` failed too: {second}")
            raise

    def full_name(self, name: str) -> str:
        """The full name of a model, from its declared or full name."""
        return str(self.models.get(name, {}).get("name") or name)

    def counts(self, name: str | None) -> bool:
        """Whether requests to a model count. Vectors that are computed here do not.

        A search among hundreds of demonstrations needs as many of them, and all of them take less
        time than one answer.
        """
        return _counts(self.bind(name))

    def keeps(self, name: str | None, cache: bool | str | None = None) -> bool:
        """Whether answers of a model are stored, if a module has this `cache` setting."""
        return self.cache is not None and bool(self.bind(name).keeping(cache))

    def idle(self) -> bool:
        """Whether every opened model could take another request now."""
        return not any(bound.gate.full for bound in self._bound.values())

    def _require(self) -> None:
        """Check before each attempt what would make its answer useless. Raises: LmcError."""

    async def close(self) -> None:
        """Close all backends and the cache."""
        backends = {id(bound.backend): bound.backend for bound in self._bound.values()}
        self._bound.clear()
        await asyncio.gather(*(b.close() for b in backends.values()), return_exceptions=True)
        for cache in (self.cache, self._memory):
            if cache is not None:
                cache.close()

    async def _ask(
        self, bound: BoundModel, request: Request, retry: Any, cache: bool | str | None
    ) -> list[Answer]:
        if request.media and (failure := lacking_media(bound, request)):
            raise failure
        request = self._complete(bound, request)
        if self.spans is None:
            return await self._answers(bound, request, retry, cache)
        with self.spans.request(bound, self.full_name(bound.name), request) as span:
            answers = await self._answers(bound, request, retry, cache)
            span.answered(answers)
            return answers

    async def _answers(
        self, bound: BoundModel, request: Request, retry: Any, cache: bool | str | None
    ) -> list[Answer]:
        policy = bound.retry if retry is None else RetryPolicy.from_settings(retry)
        keep = bound.keeping(cache)
        with await self._reserve(bound, request) as held:
            sending = Sending(bound, policy, held)
            try:
                if keep:
                    answers = await self._ask_once(sending, request, self._store(keep))
                else:
                    answers = await self._sender.send(sending, request)
            except ModelFailure:  # each attempt costs a call
                whole, retries = Usage.of(sending.whole), Usage(retries=sending.retries)
                held.settle(whole + retries)
                self._count(bound, whole + retries + sending.lost)
                raise
            return self._settle(sending, answers)

    def _settle(self, sending: Sending, answers: list[Answer]) -> list[Answer]:
        used = Usage.of(answers)
        if sending.retries:
            used += Usage(retries=sending.retries)
        sending.held.settle(used)
        answers = sending.answered(answers)
        self._count(sending.bound, used + sending.lost)
        return answers

    def _count(self, bound: BoundModel, used: Usage) -> None:
        if _counts(bound):
            self.usage += used

    def _store(self, keep: bool | str) -> Cache | None:
        """The store for answers: on disk, or in memory until the pool is closed."""
        if keep != "memory" or self.cache is None:
            return self.cache
        if self._memory is None:
            self._memory = Cache(IN_MEMORY)
        return self._memory

    async def _ask_once(
        self, sending: Sending, request: Request, cache: Cache | None
    ) -> list[Answer]:
        """Take answers from the cache, from equal requests in flight, and from the backend."""
        keys = sample_keys(sending.bound.backend.endpoint, request)
        known = await cache.find(keys) if cache is not None else {}
        found = {place: a for place, old in known.items() if (a := border.kept(old)) is not None}
        if len(found) < request.n:

            def fetch(places: Sequence[int]) -> Awaitable[dict[int, Answer]]:
                return self._fetch(sending, request, keys, places, cache)

            await self._flights.complete(keys, found, fetch)
        return [found[place] for place in range(request.n)]

    async def _fetch(
        self,
        sending: Sending,
        request: Request,
        keys: Sequence[str],
        places: Sequence[int],
        cache: Cache | None,
    ) -> dict[int, Answer]:
        """Ask for the samples at some places, and store each run of them as soon as it arrives."""

        async def keep(run: Sequence[int], outcomes: Sequence[Outcome]) -> dict[int, Answer]:
            answers = {p: o for p, o in zip(run, outcomes) if isinstance(o, Answer)}
            if cache is not None and answers:
                await cache.store({keys[place]: a for place, a in answers.items()})
            return answers

        async def one(run: Sequence[int]) -> dict[int, Answer]:
            whole = len(run) == request.n
            start = request.index + run[0]
            part = request if whole else replace(request, index=start, n=len(run))
            try:
                outcomes: Sequence[Outcome] = await self._sender.send(sending, part)
            except ModelFailure as failure:
                await keep(run, failure.outcomes)
                raise
            return await keep(run, outcomes)

        if len(places) == request.n:
            return await one(places)
        parts = await _all(*(one(run) for run in _runs(places)))
        return {place: answer for part in parts for place, answer in part.items()}

    async def _reserve(self, bound: BoundModel, request: Request) -> Held:
        wholes = self._payers()
        if bound.budget is None and not wholes:  # no estimate needed
            return UNLIMITED
        if not _counts(bound):
            return UNLIMITED
        if any(_has_no_price(bound, budget) for budget in payers()):  # which no preflight knows
            raise LmcError(unknown_price(bound))
        return await reserve(bound, wholes, bound.worst_case(request))

    def _payers(self) -> Payers:
        """The budgets of the run, but for those of models."""
        return payers() if self.budget is None else (self.budget, *payers())

    def _complete(self, bound: BoundModel, request: Request) -> Request:
        sampling = merge(request.sampling, bound.sampling)
        if sampling.temperature is None and not bound.backend.capabilities.local:
            self._tell_unset(bound.name)
        if sampling.max_tokens is None and _counts_tokens(bound.budget, *self._payers()):
            thoughts = 0 if sampling.reasoning is None else tokens(sampling.reasoning)
            sampling = replace(sampling, max_tokens=BUDGETED_MAX_TOKENS + thoughts)
        timeout_s = request.timeout_s if request.timeout_s is not None else bound.timeout_s
        logprobs = request.logprobs or bound.logprobs
        return Request(  # `replace` would double the cost
            bound.model, request.messages, sampling, request.schema, request.grammar,
            request.adapter, request.n, request.index, logprobs, timeout_s, request.on_text,
            tools=request.tools, media=request.media,
        )  # fmt: skip

    def _tell_unset(self, name: str) -> None:
        """Say once that a server decides on the temperature: it may be any, unlike that of here."""
        embeds = self.full_name(name).startswith("embed/")
        if name not in self._unset and not embeds:
            self._unset.add(name)
            _log.warning("model `%s` has no `temperature:`, so its server chooses one", name)

    def _bind(self, name: str) -> BoundModel:
        own = self.models.get(name, {})
        full_name = self.full_name(name)
        settings = self._settings(name, full_name)
        backend, model = self._open(name, full_name, settings)
        if self._record is not None:
            backend = Recorded(self._record, backend, full_name)
        budget = Budget.within(own["budget"]) if self.own_budgets and "budget" in own else None
        bound = bind(name, backend, model, settings, budget)
        if any(backend is one for one in self.given_backends.values()):
            bound = replace(bound, given=True)
        _tell_unheeded(bound)
        if self.batch_api is not None:
            _tell_ordinary(bound)
        if _has_no_price(bound, budget):  # of the model's own; `preflight` tells of the run's
            raise LmcError(unknown_price(bound))
        return bound

    def _settings(self, name: str, full_name: str) -> dict[str, Any]:
        """Those of a model over those of the program; an address and its key are a model's own."""
        shared = {k: v for k, v in self.default.items() if k not in OF_ONE_MODEL}
        consent = self._consent
        users = full_name in consent.models and name not in self.models
        known = {
            "base_dir": self._base_dir, "consent": consent, "users": users,
            "batch_api": self.batch_api,
        }  # fmt: skip
        return {**shared, **self.models.get(name, {}), **known}

    def _open(self, name: str, full_name: str, settings: Mapping[str, Any]) -> tuple[Backend, str]:
        for key in (name, full_name, ANY_MODEL):
            if key in self.given_backends:
                return self.given_backends[key], full_name.partition("/")[2] or full_name
        help = suggestion(name, self.models) if "/" not in full_name else None
        if help:
            raise LmcError.of("unknown-model", f"model `{name}` does not exist", help=help)
        return self.opener(full_name, settings)

    def _opened(self, names: Iterable[str | None]) -> list[str]:
        return [name or self.default.get("model") or TINY for name in names]

    def _with_fallbacks(self, names: Iterable[str | None]) -> list[str]:
        todo = self._opened(names)
        seen: dict[str, None] = {}
        while todo:
            name = todo.pop(0)
            if name not in seen:
                seen[name] = None
                todo += fallbacks({**self.default, **self.models.get(name, {})}.get("fallback"))
        return list(seen)


def lacking_media(bound: BoundModel, request: Request) -> ModelFailure | None:
    """The failure if a model does not take the media of a request."""
    return lacking(request, bound.backend.capabilities.media, bound.name)


def _has_no_price(bound: BoundModel, budget: Budget | None) -> bool:
    """Whether a budget in money could not hold, as a model may cost anything."""
    limited = budget is not None and budget.usd is not None
    return limited and bound.price is None and not bound.backend.capabilities.local


def _tell_unheeded(bound: BoundModel) -> None:
    """Say which settings do nothing, as only servers heed them."""
    can = bound.backend.capabilities
    names = [n for n in ("reasoning", "extra", "headers") if bound.settings.get(n)]
    if names and can.local and can.grammar:
        told = " and ".join(f"`{name}`" for name in names)
        _log.warning("model `%s` runs here, where %s does nothing", bound.name, told)


def _tell_ordinary(bound: BoundModel) -> None:
    """Say which models at servers do not go by a batch API although the user wants that."""
    can = bound.backend.capabilities
    if not (can.deferred or can.local):
        _log.warning("model `%s` has no batch API in lmc, so it is asked at once", bound.name)


def _counts(bound: BoundModel) -> bool:
    can = bound.backend.capabilities
    return not (can.local and can.embeds)


def _counts_tokens(*budgets: Budget | None) -> bool:
    return any(budget is not None and budget.counts_tokens for budget in budgets)


async def _all(*parts: Any) -> list[Any]:
    """The results of all coroutines. All finish before the first failure is raised."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _runs(places: Sequence[int]) -> list[range]:
    """Neighbouring places as ranges: [0, 1, 3] gives 0..1 and 3."""
    runs: list[range] = []
    for place in sorted(places):
        if runs and runs[-1].stop == place:
            runs[-1] = range(runs[-1].start, place + 1)
        else:
            runs.append(range(place, place + 1))
    return runs
