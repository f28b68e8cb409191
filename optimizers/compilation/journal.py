"""The folder of one improvement run: what was asked is answered from here when it starts again.

A run repeats its decisions from its seed, its data and the model's answers. So all it must not lose
is the answers: every one is kept here before it is used, whatever the program says of caching. A
killed run that is started again therefore pays for nothing twice, and ends as if never killed.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError, error
from lmc.files import make_private, make_private_file, write_atomically
from lmc.models.base import Answer, Request
from lmc.requests.budget import Budget
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool

RUNS_DIR = Path(".lmc/runs")
_RECORD = "run.json"


class RunStore(Cache):
    """The answers of one run; what the cache behind it knows is taken over."""

    def __init__(self, path: Path, behind: Cache | None = None) -> None:
        super().__init__(path)
        self.behind = behind

    def look_up(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers under some keys, of this run or of the cache behind."""
        answers = super().look_up(keys)
        if self.behind is not None and len(answers) < len(keys):
            more = self.behind.look_up([key for key in keys if key not in answers])
            if more:
                self.write(more)
            answers |= more
        return answers

    async def store(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers in both."""
        kept = [super().store(answers)]
        if self.behind is not None:
            kept.append(self.behind.store(answers))
        await asyncio.gather(*kept)

    def close(self) -> None:
        """Close both."""
        super().close()
        if self.behind is not None:
            self.behind.close()


class JournaledPool(ModelPool):
    """A pool that keeps every answer, those of programs that say `cache: "off"` too.

    The budget is that of the run; those of models are for use, and would set candidates apart.
    """

    own_budgets = False

    @classmethod
    def like(cls, pool: ModelPool, store: RunStore, budget: Budget) -> JournaledPool:
        """A pool of the same models that keeps its answers in a run's store."""
        return cls(
            pool.models,
            pool.default,
            cache=store,
            budget=budget,
            backends=pool._backends,
            base_dir=pool._base_dir,
        )

    async def ask(
        self,
        model: str | None,
        request: Request,
        *,
        cache: bool | str | None = None,
        **options: Any,
    ) -> list[Answer]:
        """As `ModelPool.ask`."""
        return await super().ask(model, request, cache=True, **options)


class Journal:
    """One run's folder: its identity, its state, its answers, and a lock on all of it.

    `identity` is all that decides the outcome; the folder of another run is not taken over. `call`
    is how the run was begun, where that can be written down.
    """

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], call: Mapping[str, Any] | None = None
    ) -> None:
        self.folder, self.identity, self.call = folder, dict(identity), call
        self.resumed, self.earlier_s = False, 0.0
        self._started_s = time.monotonic()
        self._lock: sqlite3.Connection | None = None

    def open(self, *, resume: bool = True) -> None:
        """Take the folder. Raises: LmcError[run-in-use, cannot-write, other-run]."""
        try:
            make_private(self.folder)
            make_private_file(self.folder / "lock")
            self._lock = _lock(self.folder / "lock")
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise LmcError(error("cannot-write", f"cannot write {self.folder}: {reason}")) from None
        record = self._read()
        if record is not None and record.get("identity") != self.identity:
            self.close()
            message = f"{self.folder} belongs to a run with other options"
            raise LmcError(error("other-run", message, help="give another --run-dir"))
        if record is not None and resume:
            self.resumed, self.earlier_s = True, float(record.get("elapsed_s", 0.0))
        elif record is not None:
            self._forget()
        self.save("running")

    @property
    def responses(self) -> Path:
        """Where the answers are."""
        return self.folder / "responses.db"

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, those before a kill included."""
        return self.earlier_s + time.monotonic() - self._started_s

    def save(self, state: str, **more: Any) -> None:
        """Write down how far the run is."""
        told = {"identity": self.identity, "call": self.call, "state": state}
        record = {**told, "elapsed_s": self.elapsed_s, **more}
        text = json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True)
        write_atomically(self.folder / _RECORD, text.encode() + b"\n", private=True)

    def write(self, name: str, text: str) -> None:
        """Leave something for a person to read."""
        write_atomically(self.folder / name, text.encode(), private=True)

    @staticmethod
    def require_free(folder: Path) -> None:
        """Raises: LmcError[run-in-use] while a process is at work on a run."""
        _lock(folder / "lock").close()

    @staticmethod
    def is_free(folder: Path) -> bool:
        """Whether no process is at work on a run."""
        try:
            Journal.require_free(folder)
        except LmcError:
            return False
        return True

    def close(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.folder / _RECORD).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def _forget(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.responses}{suffix}").unlink(missing_ok=True)


def _lock(path: Path) -> sqlite3.Connection:
    """An exclusive lock that ends with the process, however that ends. SQLite has it everywhere."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        message = f"another process is at work on this run ({path.parent})"
        raise LmcError(error("run-in-use", message, help="wait for it, or stop it")) from None
    return connection
