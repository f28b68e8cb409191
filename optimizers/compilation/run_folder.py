"""The folder of a compilation run. Only this module knows its files.

lock             locked by the process that works on the run
run.json         what decides the outcome, how the run was started, and its state
responses.db     every answer of a model, so that no call is paid for twice
history.jsonl    the events of the run, for reports
rows.jsonl       the results of each test row before and after
outcome.json     the final parameters, figures and costs
summary.txt      the outcome in words
report.html      the page that `lmc report` writes
training/        checkpoints of adapters
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lmc.diagnostics import LmcError, suggestion
from lmc.files import MAKE_ROOM, cannot_write, make_private_file, write_atomically

RUNS_DIR = Path(".lmc/runs")
_RECORD, _LOCK, _RESPONSES = "run.json", "lock", "responses.db"
_HISTORY, _ROWS, _OUTCOME, _SUMMARY = "history.jsonl", "rows.jsonl", "outcome.json", "summary.txt"


class RunFolder:
    """The files of a run, by their contents. Creating this object touches nothing on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.name

    # --- files that the run itself needs ---

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, so that no other process works on it.

        A folder without a run is removed afterwards.
        Raises: LmcError[run-in-use, cannot-write].
        """
        try:
            make_private_file(self.path / _LOCK)
            lock = _lock(self.path / _LOCK)
        except OSError as problem:
            raise cannot_write(self.path, problem) from None
        try:
            yield
        finally:
            if not self.holds_run:
                self._remove_empty()
            lock.close()

    @property
    def is_free(self) -> bool:
        """Whether no process works on the run."""
        try:
            self.require_free()
        except LmcError:
            return False
        return True

    def require_free(self) -> None:
        """Raises: LmcError[run-in-use] while a process works on the run."""
        _lock(self.path / _LOCK).close()

    @property
    def responses(self) -> Path:
        """The file with the answers of models."""
        return self.path / _RESPONSES

    @property
    def training(self) -> Path:
        """The folder with the checkpoints of adapters."""
        return self.path / "training"

    def forget_responses(self) -> None:
        """Delete the answers of models."""
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.responses}{suffix}").unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the folder with all its files. Raises: LmcError[run-in-use]."""
        self.require_free()
        shutil.rmtree(self.path)

    def _remove_empty(self) -> None:
        with contextlib.suppress(OSError):
            for file in self.path.glob(f"{_LOCK}*"):  # SQLite keeps a journal beside it
                file.unlink()
            self.path.rmdir()

    # --- files that are written for people ---

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write the identity and the state of the run."""
        self._write(_RECORD, _json(record))

    def open_history(self) -> IO[str]:
        """Open the file of events, emptied. A resumed run writes the same events again.

        Raises: LmcError[cannot-write].
        """
        try:
            make_private_file(self.path / _HISTORY)
            return (self.path / _HISTORY).open("w", encoding="utf-8")
        except OSError as problem:
            raise cannot_write(self.path / _HISTORY, problem) from None

    def write_rows(self, text: str) -> None:
        """Write the results of each test row, as JSON lines."""
        self._write(_ROWS, text)

    def write_outcome(self, outcome: Mapping[str, Any], summary: str) -> None:
        """Write the outcome of the run, as JSON and in words."""
        self._write(_SUMMARY, summary)
        self._write(_OUTCOME, _json(outcome))

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode(), private=True)

    # --- reading ---

    @property
    def holds_run(self) -> bool:
        """Whether a run was started in this folder."""
        return (self.path / _RECORD).is_file()

    @property
    def changed_s(self) -> float:
        """When the run last wrote its state, in seconds since the epoch."""
        return (self.path / _RECORD).stat().st_mtime

    @property
    def report(self) -> Path:
        """The file for the page about the run."""
        return self.path / "report.html"

    @property
    def state(self) -> str:
        """`running`, `complete`, `stopped`, or what nobody could write: `killed` or `damaged`."""
        record = self.whole_record()
        if record is None:
            return "damaged"
        state = str(record.get("state", "?"))
        return "killed" if state == "running" and self.is_free else state

    def whole_record(self) -> dict[str, Any] | None:
        """The identity and the state of the run. None if they are missing or damaged."""
        return _read_json(self.path / _RECORD)

    def record(self) -> dict[str, Any]:
        """The identity and the state of the run. Raises: LmcError[no-run]."""
        record = self.whole_record()
        if record is not None:
            return record
        if self.holds_run:
            message = f"{self.path / _RECORD} is damaged"
            help = "give the command of the run again: it continues with the answers that are kept"
            raise LmcError.of("no-run", message, help=help)
        message = f"{self.path} does not hold a run"
        raise LmcError.of("no-run", message, help="`lmc runs` lists the runs")

    @property
    def job(self) -> str:
        """The name under which the trace store keeps the runs. Raises: LmcError[no-run]."""
        return job_name(self.record()["identity"])

    def outcome(self) -> dict[str, Any]:
        """The outcome of a finished run, or an empty dict."""
        return _read_json(self.path / _OUTCOME) or {}

    @property
    def history_path(self) -> Path:
        """The file of events, for what follows a run while it goes on."""
        return self.path / _HISTORY

    def history(self) -> list[dict[str, Any]]:
        """The events so far."""
        return _read_lines(self.path / _HISTORY)

    def rows(self) -> list[dict[str, Any]]:
        """The results of each test row."""
        return _read_lines(self.path / _ROWS)


def job_name(identity: Mapping[str, Any]) -> str:
    """The name of a job. Equal identities have equal names."""
    text = json.dumps(identity, sort_keys=True)
    return f"{Path(identity['program']).stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def kept_runs(home: Path = RUNS_DIR) -> list[RunFolder]:
    """The runs below a folder. The latest comes first."""
    folders = [RunFolder(record.parent) for record in home.glob(f"*/{_RECORD}")]
    return sorted(folders, key=lambda folder: -folder.changed_s)


def find_run(run: Path) -> RunFolder:
    """The run in a folder, or with a name that starts like this. Raises: LmcError[no-run]."""
    if RunFolder(run).holds_run:
        return RunFolder(run)
    kept = {folder.name: folder for folder in kept_runs()}
    fitting = [name for name in kept if name.startswith(str(run))]
    if len(fitting) == 1:
        return kept[fitting[0]]
    if fitting:
        message = f"`{run}` matches {len(fitting)} runs: {', '.join(fitting)}"
        raise LmcError.of("no-run", message, help="give more of the name")
    help = suggestion(str(run), kept, "`lmc runs` lists the runs")
    raise LmcError.of("no-run", f"there is no run `{run}`", help=help)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, without a line that a kill cut off."""
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


def _lock(path: Path) -> sqlite3.Connection:
    """An exclusive lock that always ends with the process. SQLite offers it on every platform."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as problem:
        connection.close()
        if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            text = f"cannot write {path.parent}: {problem}"
            raise LmcError.of("cannot-write", text, help=MAKE_ROOM) from None
        message = f"another process is working on this run ({path.parent})"
        raise LmcError.of("run-in-use", message, help="wait for it, or stop it") from None
    return connection
