"""Runs as spans of OpenTelemetry: a span for each region and each request, and two histograms.

The current span is kept in a context variable, which tasks inherit. So the parent of a span is
right whatever runs at the same time, and a span of the caller is the parent of a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import context, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from lmc.diagnostics import LmcError
from lmc.models.base import ModelFailure
from lmc.redaction import logger, redact
from lmc.requests.usage import Usage
from lmc.telemetry import conventions as words
from lmc.telemetry.conventions import Attributes

if TYPE_CHECKING:
    from lmc.models.base import Answer, Request
    from lmc.requests.bound import BoundModel
    from lmc.requests.spans import SpannedRegion

_log = logger(__name__)
_OF_METRICS = (words.OPERATION, words.PROVIDER, words.MODEL, words.ADDRESS, words.PORT)
_TOKEN_STEPS = [4**power for power in range(14)]  # as the conventions say
_SECOND_STEPS = [0.01 * 2**power for power in range(14)]
_W3C = (b"traceparent", b"tracestate")  # baggage of strangers is not taken
_asking: ContextVar[Attributes | None] = ContextVar("_asking", default=None)


class _Used:
    """What a run has used so far."""

    def __init__(self) -> None:
        self.usage = Usage()


_used: ContextVar[_Used | None] = ContextVar("_used", default=None)


class OtelSpans:
    """Tells a tracer of OpenTelemetry what happens. With `contents`, prompts and answers too."""

    def __init__(self, tracer: trace.Tracer, meter: Meter, *, contents: bool = False) -> None:
        self.tracer, self.contents, self._told = tracer, contents, False
        self.seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "The time of requests to models.",
            explicit_bucket_boundaries_advisory=_SECOND_STEPS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "The tokens of requests to models.",
            explicit_bucket_boundaries_advisory=_TOKEN_STEPS,
        )

    def region(self, region: SpannedRegion, *, outermost: bool) -> _OpenRegion:
        """A part of a run. The outermost one is the run."""
        return _OpenRegion(self, region, outermost=outermost)

    @contextmanager
    def asking(self, facts: Mapping[str, str | int]) -> Iterator[None]:
        """The requests inside are made for this."""
        before = _asking.get()
        _asking.set({f"lmc.{name}": value for name, value in facts.items()})
        try:
            yield
        finally:
            _asking.set(before)

    def request(self, bound: BoundModel, full_name: str, request: Request) -> _OpenRequest:
        """One request to a model."""
        return _OpenRequest(self, bound, full_name, request)

    def exchange(self, scope: Mapping[str, Any]) -> _OpenExchange:
        """A request to a server of lmc's."""
        return _OpenExchange(self, scope)

    def retried(self, kind: str, wait_s: float) -> None:
        """The current request is sent again."""
        self._event("retry", {words.ERROR: kind, "lmc.wait_s": round(wait_s, 3)})

    def repaired(self, attempt: int, problem: str) -> None:
        """An answer cannot be used. The problem may quote it."""
        told: Attributes = {"lmc.attempt": attempt}
        if self.contents:
            told["lmc.problem"] = redact(problem)
        self._event("unusable answer", told)

    def _event(self, name: str, attributes: Attributes) -> None:
        self.safely(lambda: trace.get_current_span().add_event(name, attributes))

    def safely(self, tell: Callable[[], Any]) -> None:
        """Do something that must not fail a run. A failure is logged once."""
        try:
            tell()
        except Exception as problem:
            if not self._told:
                self._told = True
                _log.warning("a span could not be written: %s: %s", type(problem).__name__, problem)


class _Open:
    """A span in progress: the current one of all that runs inside the `with`."""

    kind = SpanKind.INTERNAL
    _span: trace.Span = trace.INVALID_SPAN

    def __init__(self, spans: OtelSpans) -> None:
        self.spans = spans
        self._token: Any = None

    def _parent(self) -> context.Context | None:
        """The context around the span, if it is not the current one."""
        return None

    def _begun(self) -> tuple[str, Attributes]:
        raise NotImplementedError

    def _ended(self, failure: BaseException | None) -> Attributes:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.spans.safely(self._begin)
        return self

    def _begin(self) -> None:
        name, attributes = self._begun()
        self._span = self.spans.tracer.start_span(
            name, self._parent(), kind=self.kind, attributes=attributes
        )
        self._token = context.attach(trace.set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if self._token is not None:
            context.detach(self._token)
        self.spans.safely(lambda: self._end(failure))

    def _end(self, failure: BaseException | None) -> None:
        try:
            for name, value in self._ended(failure).items():
                self._span.set_attribute(name, value)
            if isinstance(failure, Exception):
                self._failed(failure)
            elif failure is not None:
                self._span.set_attribute("lmc.cancelled", True)
        finally:
            self._span.end()

    def _failed(self, failure: Exception) -> None:
        name = error_type(failure)
        self._span.set_attribute(words.ERROR, name)
        # A message may quote what a model wrote.
        text = redact(str(failure)) if self.spans.contents else name
        self._span.set_status(Status(StatusCode.ERROR, text))


class _OpenRegion(_Open):
    """The span of a module, pipeline or tool."""

    def __init__(self, spans: OtelSpans, region: SpannedRegion, *, outermost: bool) -> None:
        super().__init__(spans)
        self.region = region
        self._used = _Used() if outermost else None
        self._before: _Used | None = None

    def _begun(self) -> tuple[str, Attributes]:
        name, attributes = words.region_start(self.region)
        if self.spans.contents:
            attributes |= words.region_contents(self.region, ended=False)
        return name, attributes

    def __enter__(self) -> Self:
        if self._used is not None:
            self._before = _used.get()
            _used.set(self._used)
        return super().__enter__()

    def _ended(self, failure: BaseException | None) -> Attributes:
        found = words.region_end(self.region)
        if self._used is not None:
            _used.set(self._before)
            found |= words.run_end(self._used.usage)
        if self.spans.contents and failure is None:
            found |= words.region_contents(self.region, ended=True)
        return found


class _OpenRequest(_Open):
    """The span of a request to a model."""

    def __init__(
        self, spans: OtelSpans, bound: BoundModel, full_name: str, request: Request
    ) -> None:
        super().__init__(spans)
        self._asked = (bound, full_name, request)
        self._answers: Sequence[Answer] = ()
        self._labels: Attributes = {}
        if not bound.backend.capabilities.local:
            self.kind = SpanKind.CLIENT

    def answered(self, answers: Sequence[Answer]) -> None:
        """Take the answers."""
        self._answers = answers

    def _begun(self) -> tuple[str, Attributes]:
        self._start_s = time.perf_counter()
        name, attributes = words.request_start(*self._asked)
        self._labels = {key: attributes[key] for key in _OF_METRICS if key in attributes}
        attributes |= _asking.get() or {}
        if self.spans.contents:
            attributes |= words.request_contents(self._asked[2])
        return name, attributes

    def _ended(self, failure: BaseException | None) -> Attributes:
        answers = failure.paid if isinstance(failure, ModelFailure) else self._answers
        found, paid = words.request_end(answers) if answers else ({}, Usage())
        cached = sum(answer.cached for answer in answers)
        if isinstance(failure, ModelFailure) and failure.retries:
            found["lmc.retries"] = failure.retries
            paid += Usage(retries=failure.retries)
        if (run := _used.get()) is not None:
            run.usage += replace(paid, calls=len(answers), cached_calls=cached)
        self._measure(failure, paid, asked=not answers or cached < len(answers))
        if self.spans.contents and answers:
            found |= words.answer_contents(answers)
        return found

    def _measure(self, failure: BaseException | None, paid: Usage, *, asked: bool) -> None:
        """Add to the histograms. What the cache answered is no request to a model."""
        if not asked or (failure is not None and not isinstance(failure, Exception)):
            return
        labels = dict(self._labels)
        for kind, tokens in (("input", paid.prompt_tokens), ("output", paid.completion_tokens)):
            if tokens:
                self.spans.tokens.record(tokens, labels | {words.TOKEN_TYPE: kind})
        if failure is not None:
            labels[words.ERROR] = error_type(failure)
        self.spans.seconds.record(time.perf_counter() - self._start_s, labels)


class _OpenExchange(_Open):
    """The span of a request to a server, until the answer is sent.

    It goes on the trace of the client, or that of the application around the server.
    """

    kind = SpanKind.SERVER

    def __init__(self, spans: OtelSpans, scope: Mapping[str, Any]) -> None:
        super().__init__(spans)
        self._scope, self.status = scope, 0

    def _parent(self) -> context.Context | None:
        if trace.get_current_span().get_span_context().is_valid:
            return None
        told = {k.decode(): v.decode("latin-1") for k, v in self._scope["headers"] if k in _W3C}
        return TraceContextTextMapPropagator().extract(told)

    def _begun(self) -> tuple[str, Attributes]:
        method = self._scope["method"]
        told: Attributes = {"http.request.method": method, "url.scheme": self._scope["scheme"]}
        return method, told | {"url.path": self._scope["path"]}

    def _ended(self, failure: BaseException | None) -> Attributes:
        told: Attributes = {}
        if route := self._scope.get("lmc.route"):
            told["http.route"] = route
            self._span.update_name(f"{self._scope['method']} {route}")
        if self.status:
            told["http.response.status_code"] = self.status
        if self.status >= 500:
            told[words.ERROR] = str(self.status)
            self._span.set_status(Status(StatusCode.ERROR))
        return told

    def _failed(self, failure: Exception) -> None:
        """What the client did wrong is no error of the server."""
        self._span.set_attribute(words.ERROR, error_type(failure))


def error_type(failure: BaseException) -> str:
    """The kind of a model's failure, the slug of an error, or else the name of its class."""
    if isinstance(failure, ModelFailure):
        return failure.kind
    return failure.code if isinstance(failure, LmcError) else type(failure).__name__
