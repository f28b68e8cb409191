"""The options of the public functions, as frozen values with defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lmc.consent import Consent, Tools, read_tools
from lmc.diagnostics import Diagnostic, LmcError, error, suggestion

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult
    from lmc.measure.metrics import Metric
    from lmc.models.base import Backend
    from lmc.models.batch_api import BatchApi
    from lmc.program.watching import OnCall

LIMITS = ("calls", "tokens", "usd", "minutes")  # of a budget
Part = Literal["train", "dev", "test", "all"]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which models answer the calls of a program, and what the program may do.

    `model` replaces every model of the program. `cache=False` stores no answers on disk; a path
    or the URL of a PostgreSQL database stores them there. `backend` answers instead of the models:
    one backend for all, or a mapping from model names to backends. `base_url` is the server of all
    models that are called over HTTP. `record` is a file that stores all answers; the model
    `recorded/FILE` replays them.

    `tools` allows an artifact to run Python functions. It is a list of their names, a list or
    mapping of functions that replace them, or True for all. `hosts` are the hosts to which the
    program may send keys. `paths` are the folders that it may read besides its own. `urls` are the
    hosts from which an input may fetch images, audio and PDFs.

    `stores` is where all stores of the program are: a file, the URL of a database, or "memory". The
    environment variable LMC_STORES says the same.

    `on_call` is called with the `CallReport` of each call of a model as it ends. It runs in a
    thread of its own, or is a coroutine function, and what it raises is only logged.

    `on` is a cluster whose processes do the runs: "ray", or "ray://host:10001". After a `?` it
    says how many there are and what each of them needs: "ray?workers=8&cpus=0.5&gpus=1".

    `otel` sends runs to a tracing tool by OpenTelemetry. By default the environment variable
    LMC_OTEL decides, and without it nothing is sent.

    `batch_api` sends requests by the batch APIs of the models' servers: at half the price, within a
    day. True stands for `BatchApi()`.
    """

    model: str | None = None
    cache: bool | str | Path = True
    backend: Backend | Mapping[str, Backend] | None = None
    base_url: str | None = None
    record: str | Path | None = None
    tools: Tools | None = None
    hosts: str | Sequence[str] = ()
    paths: str | Path | Sequence[str | Path] = ()
    urls: str | Sequence[str] = ()
    stores: str | Path | None = None
    on_call: OnCall | None = None
    on: str | None = None
    otel: bool | None = None
    batch_api: bool | BatchApi = False

    def consent(self, *, stranger: bool) -> Consent:
        """What a program may do; one that is a stranger's runs no function without consent."""
        names, functions = read_tools(self.tools)
        return Consent(
            stranger=stranger,
            tools=names,
            functions=functions,
            hosts=_several(self.hosts),
            paths=tuple(Path(path).absolute() for path in _several(self.paths)),
            models=frozenset([self.model] if self.model else []),
            base_url=self.base_url,
            urls=_several(self.urls),
        )


def _several(given: Any) -> tuple[Any, ...]:
    """A single name or path as one of several: a text is a sequence too."""
    return (given,) if isinstance(given, str | Path) else tuple(given)


@dataclass(frozen=True, kw_only=True)
class LoadOptions(ModelOptions):
    """How to load a program.

    `speculate` is the number of calls that may start early, before it is known that they are
    needed.
    """

    speculate: int = 0


@dataclass(frozen=True, kw_only=True)
class TaskOptions(ModelOptions):
    """The task of an evaluation or compilation: target, rows, metric, seed and budget.

    Options that are not given come from the `optimize` block. `target` is a module or pipeline.
    `data` is a dataset of the program, a file, or rows as mappings. `metric` is a name,
    a function or its name `pkg.mod:fn`, or an object with `score`. `seed` fixes every random
    choice. `budget` limits calls, tokens, usd and minutes.

    `effects` says that the tools with `effect: true` may run: on every row, and when compiling, in
    every trial of every row.

    `track="mlflow"` writes parameters, scores and files to MLflow.
    """

    target: str | None = None
    data: str | Path | Rows | None = None
    metric: str | Metric | Callable[..., Any] | None = None
    seed: int = 0
    budget: Mapping[str, float] | None = None
    effects: bool = False
    track: str | None = None

    def __post_init__(self) -> None:
        """Raises: LmcError[bad-budget] for an unknown limit, or one that is not a number."""
        require_budget(self.budget)


def require_budget(budget: Mapping[str, float] | None) -> None:
    """Check the limits of a budget.

    Raises: LmcError[bad-budget] for an unknown limit, or one that is not a number.
    """
    if budget is not None and not isinstance(budget, Mapping):
        message = f"a budget is a mapping such as {{'calls': 100}}, not {budget!r:.60}"
        raise LmcError.of("bad-budget", message)
    wrong = [problem for item in (budget or {}).items() if (problem := _problem(*item))]
    if wrong:
        raise LmcError(*wrong)


def _problem(name: str, limit: Any) -> Diagnostic | None:
    """The mistake in one limit of a budget, if there is one."""
    if name not in LIMITS:
        help = suggestion(name, LIMITS, f"the limits are {', '.join(LIMITS)}")
        return error("bad-budget", f"a budget has no limit `{name}`", help=help)
    number = isinstance(limit, int | float) and not isinstance(limit, bool)
    if not number or not 0 <= limit < math.inf:
        message = f"the limit `{name}` of the budget must be a number from 0 up, not {limit!r}"
        return error("bad-budget", message)
    return None


@dataclass(frozen=True)
class EvaluateOptions(TaskOptions):
    """How to measure a program. `data` and `metric` may also be given by position.

    `part` chooses the rows: by default the test rows, or all rows if the dataset has no split.
    `limit` uses only the first rows. `progress` is called with the result of each row.
    """

    data: str | Path | Rows | None = None
    metric: str | Metric | Callable[..., Any] | None = None
    _: KW_ONLY
    part: Part | None = None
    limit: int | None = None
    speculate: int = 0
    progress: Callable[[RowResult], None] | None = None
