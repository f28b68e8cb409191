"""The history of a run in its folder: events, costs by module, and test rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from lmc.files import cannot_write
from lmc.optimizers import events
from lmc.requests.usage import Usage

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult
    from lmc.measure.rows import Row
    from lmc.optimizers.compilation.run_folder import RunFolder

_KEPT = {
    events.RunStarted: "started",
    events.CandidateScored: "candidate",
    events.LeaderChanged: "leader",
    events.RoundMeasured: "round",
    events.GateDecided: "gate",
    events.Note: "note",
    events.RunFinished: "finished",
}


class History:
    """Writes events to a file. A resumed run writes the same events again."""

    def __init__(self) -> None:
        self.by_module: dict[str, Usage] = {}
        self._file: IO[str] | None = None

    def begin(self, folder: RunFolder) -> None:
        """Open the file and empty it."""
        self._file = folder.open_history()

    def hear(self, event: events.Event) -> None:
        """Write an event if the report needs it. Raises: LmcError[cannot-write]."""
        kind = _KEPT.get(type(event))
        if kind is None or self._file is None:
            return
        line: dict[str, Any] = {"event": kind}
        for name in event.__dataclass_fields__:
            value = getattr(event, name)
            line[name] = asdict(value) if name == "totals" else value
        if isinstance(event, events.CandidateScored):
            line["parameters"] = event.parameters.to_json()
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as problem:
            raise cannot_write(self._file.name, problem) from None

    def count(self, results: Iterable[RowResult]) -> None:
        """Add the usage of each module in some runs."""
        for result in results:
            for call in result.trace.calls if result.trace else ():
                used = self.by_module.get(call.module, Usage())
                self.by_module[call.module] = used + call.usage

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # `hear` raised it: every line is flushed
                self._file.close()


def rows_text(rows: Sequence[Row], before: Sequence[RowResult], after: Sequence[RowResult]) -> str:
    """The results of each test row before and after, as JSON lines."""
    first = {result.id: result for result in before}
    second = {result.id: result for result in after}
    lines = []
    for row in rows:
        if row.id in first and row.id in second:
            line = {"id": row.id, "values": row.values}
            line |= {"before": _outcome(first[row.id]), "after": _outcome(second[row.id])}
            lines.append(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    return "".join(lines)


def _outcome(result: RowResult) -> dict[str, Any]:
    used = {"calls": result.usage.calls, "tokens": result.usage.tokens}
    return {"score": result.value, "pred": result.pred, "error": result.error, **used}
