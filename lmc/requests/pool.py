"""The way from a request to answers: budget, cache, requests in flight, retries, fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmc.consent import OWN, Consent
from lmc.diagnostics import Diagnostic, LmcError, error, suggestion, warning
from lmc.frozen import frozen
from lmc.models.base import Answer, Backend, ModelFailure, Price, Request, Sampling
from lmc.models.recorded import Recorded
from lmc.models.registry import TINY, open_backend
from lmc.requests.budget import Budget, BudgetExceeded, ModelBudgetExceeded, Reservation
from lmc.requests.cache import IN_MEMORY, Cache, sample_keys
from lmc.requests.deadlines import Deadlines
from lmc.requests.flights import Flights
from lmc.requests.retry import RetryPolicy
from lmc.requests.usage import Usage

DEFAULT_CONCURRENCY = 64
_LOCAL_CONCURRENCY = 4096  # a local engine forms its own batches, from what waits
_TIMEOUT_S = 120.0
_LOCAL_TIMEOUT_S = 3600.0
# Only under a budget in tokens or money, where a bound is needed and the program gives none.
_BUDGETED_MAX_TOKENS = 4096
ANY_MODEL = "*"
OF_ONE_MODEL = ("name", "base_url", "api_key_env", "price")


@frozen
class BoundModel:
    """A model of the program together with what answers for it."""

    name: str  # as declared, or in full
    backend: Backend
    model: str  # as the backend knows it
    settings: Mapping[str, Any]  # of the model, over those of the program
    sampling: Sampling
    retry: RetryPolicy
    price: Price | None
    timeout_s: float
    slots: asyncio.Semaphore
    budget: Budget | None = None  # its own

    @property
    def logprobs(self) -> bool:
        """Whether the model's settings ask for log-probabilities of its answers."""
        return bool(self.settings.get("logprobs")) and self.backend.capabilities.logprobs

    def keeping(self, cache: bool | str | None) -> bool | str:
        """Where answers are kept, by a module's own setting: True on disk, "memory", or False."""
        keep: bool | str = self.settings.get("cache", True) if cache is None else cache
        return False if keep == "off" or not self.backend.capabilities.cacheable else keep


class ModelPool:
    """All models of a program behind one `ask`.

    `models` are settings by declared name and `default` those of the program, which a model's own
    go before. `backends` puts backends in the place of models, by declared or full name; "*" takes
    the place of all. `cache` None keeps nothing on disk. Paths in model names are relative to
    `base_dir`; `consent` says what the user allows the program. `record` is a file that keeps all
    answers. A model's own budget holds as long as the pool lives. Belongs to one event loop.
    """

    own_budgets = True  # whether those of models count

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
    ) -> None:
        self.models, self.default = dict(models or {}), dict(default or {})
        self.cache, self.budget = cache, budget
        self.usage = Usage()
        self._backends, self._base_dir = dict(backends or {}), base_dir
        self._consent, self._record = consent, record
        self._bound: dict[str, BoundModel] = {}
        self._flights = Flights()
        self._deadlines = Deadlines()
        self._memory: Cache | None = None

    def bind(self, name: str | None = None) -> BoundModel:
        """Open a model by its declared or full name; None is the program's default, else lmc/tiny.

        Raises: LmcError as `lmc.models.registry.open_backend`.
        """
        name = name or self.default.get("model") or TINY
        if name not in self._bound:
            self._bound[name] = self._bind(name)
        return self._bound[name]

    def preflight(
        self, names: Iterable[str | None] = (None,), *, with_fallbacks: bool = True
    ) -> list[Diagnostic]:
        """Find what would fail at the first request of these models or their fallbacks.

        Raises: LmcError with one diagnostic for each missing extra or key and each unknown model.
        Returns warnings: a budget in money for a model whose price is not known.
        """
        errors: dict[Diagnostic, None] = {}
        warnings: dict[Diagnostic, None] = {}
        for name in self._with_fallbacks(names) if with_fallbacks else self._opened(names):
            try:
                bound = self.bind(name)
            except LmcError as e:
                errors.update(dict.fromkeys(e.diagnostics))
                continue
            if bound.price is None and self.budget is not None and self.budget.usd is not None:
                warnings[_unknown_price(bound)] = None
        if errors:
            raise LmcError(*errors)
        return list(warnings)

    async def ask(
        self,
        model: str | None,
        request: Request,
        *,
        retry: Any = None,
        fallback: Sequence[str] | str | None = None,
        cache: bool | str | None = None,
    ) -> list[Answer]:
        """`request.n` answers, from this model or the first of its fallbacks that gives them.

        A model hands on where it fails, and where its own budget is used up.

        `request.model` and what the sampling leaves open are filled in from the settings; `retry`,
        `fallback` and `cache` go before them. Raises: ModelFailure (that of the first model),
        LmcError[budget-exceeded], LmcError of `bind`.
        """
        bound = self.bind(model)
        try:
            return await self._ask(bound, request, retry, cache)
        except (ModelFailure, ModelBudgetExceeded) as failure:
            if isinstance(failure, ModelFailure) and failure.kind == "broken_stream":
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
        """The full name of a model, given as declared or in full."""
        return str(self.models.get(name, {}).get("name") or name)

    def idle(self) -> bool:
        """Whether every model that was opened could take another request at once."""
        return not any(bound.slots.locked() for bound in self._bound.values())

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
        request = self._complete(bound, request)
        policy = bound.retry if retry is None else RetryPolicy.from_settings(retry)
        keep = bound.keeping(cache)
        with await self._reserve(bound, request) as reservation:
            if keep:
                answers = await self._ask_once(bound, request, policy, self._store(keep))
            else:
                answers = await self._send(bound, request, policy)
            return self._settle(reservation, answers)

    def _settle(self, reservation: Reserved, answers: list[Answer]) -> list[Answer]:
        used = Usage.of(answers)
        reservation.settle(used)
        self.usage += used
        return answers

    def _store(self, keep: bool | str) -> Cache | None:
        """Where answers are kept: on disk, or in memory until the pool is closed."""
        if keep != "memory" or self.cache is None:
            return self.cache
        if self._memory is None:
            self._memory = Cache(IN_MEMORY)
        return self._memory

    async def _ask_once(
        self, bound: BoundModel, request: Request, policy: RetryPolicy, cache: Cache | None
    ) -> list[Answer]:
        """Answers from the cache, from equal requests in flight, and the rest from the backend."""
        keys = sample_keys(bound.backend.endpoint, request)
        found = await cache.find(keys) if cache is not None else {}
        if len(found) < request.n:

            def fetch(places: Sequence[int]) -> Awaitable[dict[int, Answer]]:
                return self._fetch(bound, request, policy, keys, places, cache)

            await self._flights.complete(keys, found, fetch)
        return [found[place] for place in range(request.n)]

    async def _fetch(
        self,
        bound: BoundModel,
        request: Request,
        policy: RetryPolicy,
        keys: Sequence[str],
        places: Sequence[int],
        cache: Cache | None,
    ) -> dict[int, Answer]:
        """Ask for the samples at some places, and keep each run of them as soon as it is there."""

        async def one(run: Sequence[int]) -> dict[int, Answer]:
            whole = len(run) == request.n
            start = request.index + run[0]
            part = request if whole else replace(request, index=start, n=len(run))
            answers = dict(zip(run, await self._send(bound, part, policy)))
            if cache is not None:
                await cache.store({keys[place]: a for place, a in answers.items()})
            return answers

        if len(places) == request.n:
            return await one(places)
        parts = await _all(*(one(run) for run in _runs(places)))
        return {place: answer for part in parts for place, answer in part.items()}

    async def _send(self, bound: BoundModel, request: Request, policy: RetryPolicy) -> list[Answer]:
        if request.n > 1 and not bound.backend.capabilities.multiple_samples:
            singles = (replace(request, index=request.index + i, n=1) for i in range(request.n))
            parts = await _all(*(self._send(bound, one, policy) for one in singles))
            return [answer for part in parts for answer in part]
        answers = await policy.run(self._attempts(bound, request))
        if bound.price is None:
            return list(answers)
        return [a if a.cost_usd else _priced(a, bound.price) for a in answers]

    def _attempts(
        self, bound: BoundModel, request: Request
    ) -> Callable[[], Awaitable[Sequence[Answer]]]:
        """Send the request each time it is called; the first time is what was reserved."""
        sent = False

        def attempt() -> Awaitable[Sequence[Answer]]:
            nonlocal sent
            if sent:
                self._charge(bound, Usage(calls=request.n))
            sent = True
            return self._generate(bound, request)

        return attempt

    async def _generate(self, bound: BoundModel, request: Request) -> Sequence[Answer]:
        """One attempt, under the model's concurrency; the time runs from when it may start."""
        async with bound.slots:
            try:
                with self._deadlines.limit(request.timeout_s):
                    return await bound.backend.generate(request)
            except TimeoutError:
                message = f"model `{bound.name}` gave no answer within {request.timeout_s:g} s"
                hint = "raise `timeout`, or lower `concurrency`"
                raise ModelFailure("timeout", message, retryable=True, hint=hint) from None

    def _charge(self, bound: BoundModel, used: Usage) -> None:
        if bound.budget is not None:
            with _own_budget(bound):
                bound.budget.charge(used)
        if self.budget is not None:
            self.budget.charge(used)

    async def _reserve(self, bound: BoundModel, request: Request) -> Reserved:
        own, whole = bound.budget, self.budget
        if own is None:  # without any, the estimate is spared
            return await whole.reserve(_worst_case(bound, request)) if whole else _UNLIMITED
        worst = _worst_case(bound, request)
        with _own_budget(bound):
            reserved = await own.reserve(worst)
        if whole is None:
            return reserved
        try:
            return _Both(reserved, await whole.reserve(worst))
        except BaseException:
            reserved.settle(Usage())  # nothing is sent
            raise

    def _complete(self, bound: BoundModel, request: Request) -> Request:
        sampling = _merge(request.sampling, bound.sampling)
        if sampling.max_tokens is None and _counts_tokens(self.budget, bound.budget):
            sampling = replace(sampling, max_tokens=_BUDGETED_MAX_TOKENS)
        timeout_s = request.timeout_s if request.timeout_s is not None else bound.timeout_s
        logprobs = request.logprobs or bound.logprobs
        return Request(  # not `replace`, which costs as much as the rest of this
            bound.model, request.messages, sampling, request.schema, request.adapter,
            request.n, request.index, logprobs, timeout_s, request.on_text,
        )  # fmt: skip

    def _bind(self, name: str) -> BoundModel:
        own = self.models.get(name, {})
        full_name = self.full_name(name)
        settings = self._settings(name, full_name)
        backend, model = self._open(name, full_name, settings)
        if self._record is not None:
            backend = Recorded(self._record, backend, full_name)
        local = backend.capabilities.local
        return BoundModel(
            name, backend, model, settings, _sampling(settings),
            RetryPolicy.from_settings(settings.get("retry")),
            Price.from_settings(settings) or backend.price,
            float(settings.get("timeout") or (_LOCAL_TIMEOUT_S if local else _TIMEOUT_S)),
            asyncio.Semaphore(_concurrency(settings, local=local)),
            Budget.within(own["budget"]) if self.own_budgets and "budget" in own else None,
        )  # fmt: skip

    def _settings(self, name: str, full_name: str) -> dict[str, Any]:
        """Those of a model over those of the program; an address and its key are a model's own."""
        shared = {k: v for k, v in self.default.items() if k not in OF_ONE_MODEL}
        consent = self._consent
        users = full_name in consent.models and name not in self.models
        known = {"base_dir": self._base_dir, "consent": consent, "users": users}
        return {**shared, **self.models.get(name, {}), **known}

    def _open(self, name: str, full_name: str, settings: Mapping[str, Any]) -> tuple[Backend, str]:
        for key in (name, full_name, ANY_MODEL):
            if key in self._backends:
                return self._backends[key], full_name.partition("/")[2] or full_name
        help = suggestion(name, self.models) if "/" not in full_name else None
        if help:
            raise LmcError.of("unknown-model", f"there is no model `{name}`", help=help)
        return open_backend(full_name, settings)

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


class _Both:
    """A reservation in a model's own budget, and one in that of the run."""

    def __init__(self, *reservations: Reservation) -> None:
        self._reservations = reservations

    def settle(self, used: Usage) -> None:
        for reservation in self._reservations:
            reservation.settle(used)

    def __enter__(self) -> _Both:
        return self

    def __exit__(self, *exc: object) -> None:
        for reservation in self._reservations:
            reservation.__exit__(None, None, None)


class _Unlimited:
    """Stands for a reservation where there is no budget."""

    def settle(self, used: Usage) -> None:
        pass

    def __enter__(self) -> _Unlimited:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


_UNLIMITED = _Unlimited()
Reserved = Reservation | _Both | _Unlimited


@contextmanager
def _own_budget(bound: BoundModel) -> Iterator[None]:
    """Tell that it is the model's own budget that is used up, so that its fallbacks are asked."""
    try:
        yield
    except BudgetExceeded as spent:
        text = f"model `{bound.name}` has used up its own budget: {spent.diagnostics[0].message}"
        help = "raise `budget`, or name a model to ask in its place: `fallback: [other]`"
        raise ModelBudgetExceeded(error("budget-exceeded", text, help=help)) from None


def _counts_tokens(*budgets: Budget | None) -> bool:
    return any(budget is not None and budget.counts_tokens for budget in budgets)


async def _all(*parts: Any) -> list[Any]:
    """Results of all coroutines; all are finished before the first failure is raised."""
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


def _worst_case(bound: BoundModel, request: Request) -> Usage:
    """Bound what a request uses from above: no token is shorter than a byte."""
    text = sum(len(m["content"].encode()) + 16 for m in request.messages) + 16
    if request.schema is not None:
        text += len(str(request.schema))
    prompt = text if bound.backend.capabilities.multiple_samples else text * request.n
    completion = (request.sampling.max_tokens or _BUDGETED_MAX_TOKENS) * request.n
    usd = bound.price.cost_usd(prompt, completion) if bound.price else 0.0
    return Usage(request.n, 0, prompt, completion, usd)


def _priced(answer: Answer, price: Price) -> Answer:
    cost_usd = price.cost_usd(answer.prompt_tokens, answer.completion_tokens)
    return replace(answer, cost_usd=cost_usd) if cost_usd else answer


def _sampling(settings: Mapping[str, Any]) -> Sampling:
    stop = settings.get("stop") or ()
    return Sampling(
        settings.get("temperature"),
        settings.get("top_p"),
        settings.get("max_tokens"),
        (stop,) if isinstance(stop, str) else tuple(stop),
        settings.get("seed"),
    )


def _merge(own: Sampling, given: Sampling) -> Sampling:
    """Take what is set in `own`, and the rest from `given`."""
    return Sampling(
        given.temperature if own.temperature is None else own.temperature,
        given.top_p if own.top_p is None else own.top_p,
        given.max_tokens if own.max_tokens is None else own.max_tokens,
        own.stop or given.stop,
        given.seed if own.seed is None else own.seed,
    )


def _concurrency(settings: Mapping[str, Any], *, local: bool) -> int:
    given = settings.get("concurrency")
    return max(1, int(given)) if given else _LOCAL_CONCURRENCY if local else DEFAULT_CONCURRENCY


def fallbacks(value: Sequence[str] | str | None) -> list[str]:
    """The names in a `fallback:` setting."""
    return [value] if isinstance(value, str) else list(value or ())


def _unknown_price(bound: BoundModel) -> Diagnostic:
    return warning(
        "unknown-price",
        f"the price of model `{bound.name}` is not known: only the cost that it reports counts",
        help="add `price: {input: …, output: …}` in US dollars per million tokens",
    )
