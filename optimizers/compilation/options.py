"""The options of `lmc.compile`, as one frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from lmc.check.program import Step
from lmc.optimizers import events
from lmc.program.options import TaskOptions

Accept = Literal["proven", "better"]  # what the gate lets pass
_OF_THIS_START = ("resume", "run_dir", "progress")  # a run that is resumed gets its own


@dataclass(frozen=True, kw_only=True)
class CompileOptions(TaskOptions):
    """How a program is improved; the `optimize` block says what is left out.

    `optimizer` is text such as `bootstrap(demos=4) >> labeled()`; `steps` are the same already
    parsed. `objective` weighs the metric against the cost of a row, such as
    `accuracy - 0.1 * usd` (or calls, tokens, seconds). `guards` names metrics and datasets that
    must not get worse. `accept` tells the gate what to let pass: a gain that is proven on rows that
    did not choose it ("proven"), or any gain on dev ("better"). `out` is the artifact to write.
    `run_dir` is the folder of the run, else one below `.lmc/runs`. The same program, data and
    options continue the same run, unless `resume` is False. `progress` is called with the events of
    `lmc.optimizers.events`.
    """

    optimizer: str | None = None
    steps: Sequence[Step] | None = None
    objective: str | None = None
    guards: Sequence[str] | None = None
    accept: Accept = "proven"
    out: str | Path | None = None
    run_dir: str | Path | None = None
    resume: bool = True
    progress: events.Report | None = None

    def written(self) -> dict[str, Any] | None:
        """The options that differ from their defaults, ready for JSON; for `lmc runs resume`.

        None where one of them cannot be written down.
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
