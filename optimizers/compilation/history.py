"""What a run did, kept in its folder for people to look at: events, costs by module, rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError, error
from lmc.files import make_private_file
from lmc.optimizers import events
from lmc.requests.usage import Usage

if TYPE_CHECKING:
    from lmc.measure.evaluate import RowResult
    from lmc.measure.rows import Row

HISTORY, ROWS, OUTCOME = "history.jsonl", "rows.jsonl", "outcome.json"
_KEPT = {
    events.RunStarted: "started",
    events.CandidateScored: "candidate",
    events.LeaderChanged: "leader",
    events.GateDecided: "gate",
    events.Note: "note",
    events.RunFinished: "finished",
}


class History:
    """Writes events as they come; a run that starts again writes the same ones once more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_module: dict[str, Usage] = {}
        make_private_file(folder / HISTORY)
        self._file = (folder / HISTORY).open("w", encoding="utf-8")

    def hear(self, event: events.Event) -> None:
        """Write down an event, if it is one that tells the story."""
        kind = _KEPT.get(type(event))
        if kind is None:
            return
        line: dict[str, Any] = {"event": kind}
        for name in event.__dataclass_fields__:
            value = getattr(event, name)
            line[name] = asdict(value) if name == "totals" else value
        if isinstance(event, events.CandidateScored):
            line["parameters"] = event.parameters.to_json()
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()

    def count(self, results: Iterable[RowResult]) -> None:
        """Add up what the modules used in some runs."""
        for result in results:
            for call in result.trace.calls if result.trace else ():
                used = self.by_module.get(call.module, Usage())
                self.by_module[call.module] = used + call.usage

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rows_text(rows: Sequence[Row], before: Sequence[RowResult], after: Sequence[RowResult]) -> str:
    """What became of each test row, as JSON lines."""
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


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of one of these files; a line that was cut off by a kill is left out."""
    try:
        text = path.read_text("utf-8")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def read_record(folder: Path) -> Mapping[str, Any]:
    """What a run's folder says of it. Raises: LmcError[no-run]."""
    try:
        record: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        message = f"{folder} holds no run"
        raise LmcError(error("no-run", message, help="`lmc runs` lists them")) from None
    return record


def read_outcome(folder: Path) -> dict[str, Any]:
    """The outcome of a run that came to its end, else nothing."""
    try:
        found: dict[str, Any] = json.loads((folder / OUTCOME).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found
