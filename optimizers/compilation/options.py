"""The options of `lmc.compile`, as one frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from lmc.check.program import Step
from lmc.optimizers import events
from lmc.program.options import TaskOptions

Accept = Literal["proven", "better"]  # the gains that the gate accepts
_OF_THIS_START = (
    "resume",
    "run_dir",
    "progress",
    "on",
    "otel",
    "track",
)  # a resumed run gets its own values


@dataclass(frozen=True, kw_only=True)
class CompileOptions(TaskOptions):
    """How to improve a program. Options that are not given come from the `optimize` block.

    `optimizer` is text such as `bootstrap(demos=4) >> labeled()`. `steps` are the same, already
    parsed. `objective` weighs the metric against the cost of a row, such as
    `accuracy - 0.1 * usd` (or calls, tokens, seconds). `guards` names metrics and datasets on which
    the score must not get worse. `with_stores` puts what the stores of the program hold into the
    artifact. `accept` chooses the gains to accept: those proven on held-out rows ("proven"), or any
    gain on dev rows ("better"). `confirm_samples` is how often each of these rows runs; the mean
    counts, so that smaller gains of models that answer by chance show. `out` is the artifact to
    write.

    `run_dir` is the folder of the run, by default one below `.lmc/runs`. The same program, data and
    options continue the same run, unless `resume` is False. `progress` is called with each event
    (`lmc.optimizers.events`).
    """

    optimizer: str | None = None
    steps: Sequence[Step] | None = None
    objective: str | None = None
    guards: Sequence[str] | None = None
    accept: Accept = "proven"
    confirm_samples: int = 1
    with_stores: bool = False
    out: str | Path | None = None
    run_dir: str | Path | None = None
    resume: bool = True
    progress: events.Report | None = None

    def written(self) -> dict[str, Any] | None:
        """The options that differ from their defaults, ready for JSON, for `lmc runs resume`.

        None if one of them is not JSON.
        """
        names = [field.name for field in fields(self) if field.name not in _OF_THIS_START]
        given = {name: getattr(self, name) for name in names}
        given = {name: v for name, v in given.items() if v != getattr(_DEFAULTS, name)}
        written = {name: str(v) if isinstance(v, Path) else v for name, v in given.items()}
        return written if _is_json(written) else None


_DEFAULTS = CompileOptions()


def _is_json(value: Any) -> bool:
    match value:
        case dict():
            return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
        case list() | tuple():
            return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float | bool)
