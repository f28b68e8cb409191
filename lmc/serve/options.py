"""The options of a server, as frozen values with defaults that suit strangers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmc.diagnostics import LmcError, error
from lmc.program.options import require_budget

_COUNTS = ("runs", "body_bytes", "batch_rows", "job_runs", "job_rows", "waiting_rows")
_TIMES = ("body_s", "timeout_s", "keep_jobs_days", "ping_s")


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How a server treats its clients.

    At most `runs` requests run at one time, and `queue` wait. A body has at most `body_bytes` and
    comes within `body_s`. A run ends after `timeout_s`. `budget` holds for each request, and
    `total_budget` for all of them together, until the server ends.

    `keys` are API keys, each as `KEY` or `NAME:KEY`; without any, everybody may ask. `hosts` are
    the names under which clients may reach the server; None lets them use any. `origins` are the
    web sites whose pages may ask (CORS). `public_docs` shows the API to clients without a key.

    `jobs` is the database of accepted jobs, a file or a URL; None refuses jobs. `job_runs` rows of
    jobs run at one time. A job has at most `job_rows` rows, all jobs together have at most
    `waiting_rows` that wait, and what is done is kept for `keep_jobs_days`. `batch_rows` is the
    most for one request.

    `traces` is the file or URL of the trace store that keeps all runs; None keeps none. `engines`
    are models that are served by themselves under `/v1`. `adapters` are folders with LoRA weights
    by the names under which the first engine serves them.
    """

    runs: int = 256
    queue: int = 1024
    body_bytes: int = 32 << 20
    body_s: float = 30.0
    timeout_s: float = 300.0
    budget: Mapping[str, float] | None = None
    total_budget: Mapping[str, float] | None = None
    keys: Sequence[str] = ()
    hosts: Sequence[str] | None = None
    origins: Sequence[str] = ()
    public_docs: bool = False
    jobs: str | Path | None = None
    job_runs: int = 32
    job_rows: int = 10_000
    waiting_rows: int = 100_000
    keep_jobs_days: float = 7.0
    batch_rows: int = 1000
    ping_s: float = 15.0
    traces: str | Path | None = None
    engines: Sequence[str] = ()
    adapters: Mapping[str, str | Path] | None = None

    def __post_init__(self) -> None:
        """Raises: LmcError[bad-budget, bad-limit]."""
        for budget in (self.budget, self.total_budget):
            require_budget(budget)
        wrong = [
            error("bad-limit", f"`{name}` must be more than 0, not {value}")
            for name in (*_COUNTS, *_TIMES)
            if not (value := getattr(self, name)) > 0
        ]
        if self.queue < 0:
            wrong.append(
                error("bad-limit", f"`queue` must not be less than 0, but is {self.queue}")
            )
        if self.adapters and not self.engines:
            message = "adapters need a model that they belong to"
            wrong.append(error("bad-limit", message, help="name it: `--engine lmc/tiny`"))
        if wrong:
            raise LmcError(*wrong)
