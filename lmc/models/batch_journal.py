"""The journal of batches: what was submitted and is not yet used up, one file for each batch.

A file says which requests a batch has, by hashes, and nothing of what they say. It is written
before the batch is submitted, and with the batch's id right after. So a run that was killed at any
time finds its batch again, and nothing is paid for twice.

Whoever writes holds a lock that ends with the process: a batch of a run that goes on is its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from lmc.files import cache_folder, cannot_write, make_private_file, write_atomically
from lmc.frozen import frozen

IS_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")  # of batches and files; part of a URL
_KEPT_S = 30 * 24 * 3600.0  # providers delete the answers by then
_MOST_BYTES = 8 << 20
_ANY_BATCH, _ANY_LOCK = "*.json", "*.lock"
_IS_TOKEN = re.compile(r"[0-9a-f]{24}-\d{1,6}")  # the owner and a number


@frozen
class JournaledBatch:
    """One batch: its mark at the server, its requests in order, and its id if that is known.

    `begun_s` is when it was first kept, in seconds since 1970; 0 if that is not known.
    """

    token: str
    endpoint: str
    keys: tuple[str, ...]
    id: str | None = None
    begun_s: float = 0.0

    @property
    def owner(self) -> str:
        """Whoever submitted it."""
        return self.token.partition("-")[0]


class BatchJournal:
    """A folder of batches, private to its user. Each journal owns those that it submits."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "batches"
        self._owner, self._count = secrets.token_hex(12), 0
        self._locks: dict[str, sqlite3.Connection] = {}  # by owners

    def new(self, endpoint: str, keys: Sequence[str]) -> JournaledBatch:
        """Keep a batch that is not submitted yet. Raises: LmcError[cannot-write]."""
        self._lock(self._owner)
        self._count += 1
        token = f"{self._owner}-{self._count}"
        batch = JournaledBatch(token, endpoint, tuple(keys), begun_s=time.time())
        self.write(batch)
        return batch

    def adopt(self, batch: JournaledBatch) -> bool:
        """Take over a batch. False if its owner goes on, or used it up in the meantime.

        Raises: LmcError[cannot-write].
        """
        return self._lock(batch.owner) and self._path(batch).exists()

    def _lock(self, owner: str) -> bool:
        """Own all batches of an owner. False if another one does. Raises: LmcError[cannot-write].

        The lock is an empty SQLite database: every system ends it with the process.
        """
        if owner in self._locks:
            return True
        path = self.folder / f"{owner}.lock"
        try:
            make_private_file(path)
            lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except OSError as problem:
            raise cannot_write(path, problem) from None
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            lock.close()
            return False
        self._locks[owner] = lock
        return True

    def close(self) -> None:
        """Leave the batches that are still there to whoever comes next."""
        for owner, lock in self._locks.items():
            lock.close()
            if not any(self.folder.glob(f"{owner}-*.json")):
                with contextlib.suppress(OSError):  # another process opened it just now
                    (self.folder / f"{owner}.lock").unlink()
        self._locks.clear()
        self._owner, self._count = secrets.token_hex(12), 0

    def write(self, batch: JournaledBatch) -> None:
        """Keep a batch, or its id. Raises: LmcError[cannot-write]."""
        fields = {
            "endpoint": batch.endpoint, "id": batch.id, "keys": batch.keys,
            "begun_s": batch.begun_s,
        }  # fmt: skip
        write_atomically(self._path(batch), json.dumps(fields).encode(), private=True)

    def forget(self, batch: JournaledBatch) -> None:
        """Remove a batch that nobody needs again."""
        with contextlib.suppress(OSError):
            self._path(batch).unlink()

    def batches(self, endpoint: str) -> list[JournaledBatch]:
        """The batches at an endpoint, the oldest first. Old and damaged files are passed over."""
        found: list[tuple[float, JournaledBatch]] = []
        self._drop_old_locks()
        for path in self.folder.glob(_ANY_BATCH):
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                told = path.stat()
                if time.time() - told.st_mtime > _KEPT_S:
                    path.unlink()
                elif told.st_size <= _MOST_BYTES:
                    batch = _read(path)
                    if batch.endpoint == endpoint:
                        found.append((told.st_mtime_ns, batch))
        return [batch for _, batch in sorted(found, key=lambda pair: pair[0])]

    def _drop_old_locks(self) -> None:
        for path in self.folder.glob(_ANY_LOCK):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _KEPT_S:
                    path.unlink()

    def _path(self, batch: JournaledBatch) -> Path:
        return self.folder / f"{batch.token}.json"


def _read(path: Path) -> JournaledBatch:
    """Read a file. Raises: OSError, ValueError, TypeError, KeyError."""
    told = json.loads(path.read_bytes())
    id, keys = told["id"], told["keys"]
    if not _IS_TOKEN.fullmatch(path.stem):
        raise ValueError("no name of a batch")
    if id is not None and not IS_ID.fullmatch(id):
        raise ValueError("no id of a batch")
    if not all(isinstance(key, str) for key in keys):
        raise TypeError("keys are texts")
    begun_s = float(told.get("begun_s", 0.0))
    return JournaledBatch(path.stem, str(told["endpoint"]), tuple(keys), id, begun_s)
