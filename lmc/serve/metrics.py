"""Figures for Prometheus: requests, runs, calls, tokens, money, and what was refused."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lmc.requests.usage import Usage

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The figures of one server. Its labels are names that the server knows, never a client's."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "lmc_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "lmc_request_seconds", "Time to the end of an answer.", ["route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.runs = Counter(
            "lmc_runs", "Runs ended, by outcome: ok, left, or the slug of the failure.",
            ["program", "target", "outcome"], registry=registry,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "lmc_run_seconds", "Time of a run, without its wait for a place.",
            ["program", "target"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.running = Gauge("lmc_runs_in_progress", "Runs in progress.", registry=registry)
        self.waiting = Gauge("lmc_runs_waiting", "Requests that wait.", registry=registry)
        self.calls = Counter(
            "lmc_model_calls", "Samples asked of models.", ["program", "cached"], registry=registry
        )
        self.tokens = Counter(
            "lmc_tokens", "Tokens, cached ones included.", ["program", "kind"], registry=registry
        )
        self.usd = Counter("lmc_cost_usd", "US dollars.", ["program"], registry=registry)
        self.rows = Counter("lmc_job_rows", "Rows of jobs ended.", ["outcome"], registry=registry)
        self.reloads = Counter("lmc_reloads", "Programs reloaded.", ["outcome"], registry=registry)

    def used(self, program: str, usage: Usage) -> None:
        """Count what a run used."""
        asked = usage.calls - usage.cached_calls
        self.calls.labels(program, "no").inc(asked)
        self.calls.labels(program, "yes").inc(usage.cached_calls)
        self.tokens.labels(program, "prompt").inc(usage.prompt_tokens)
        self.tokens.labels(program, "completion").inc(usage.completion_tokens)
        self.usd.labels(program).inc(usage.cost_usd)

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
