"""The journal of batches: what was submitted and is not yet used up, one file for each batch.

A file says which requests a batch has, by hashes, and nothing of what they say. It is written
before the batch is submitted, and with the batch's id right after. So a run that was killed at any
time finds its batch again, and nothing is paid for twice.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from lmc.files import cache_folder, write_atomically
from lmc.frozen import frozen

IS_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")  # of batches and files; part of a URL
_KEPT_S = 30 * 24 * 3600.0  # providers delete the answers by then
_MOST_BYTES = 8 << 20
_NAME = "*.json"


@frozen
class JournaledBatch:
    """One batch: its mark at the server, its requests in order, and its id if that is known."""

    token: str
    endpoint: str
    keys: tuple[str, ...]
    id: str | None = None

    @classmethod
    def new(cls, endpoint: str, keys: Sequence[str]) -> JournaledBatch:
        """A batch that was not submitted yet."""
        return cls(secrets.token_hex(12), endpoint, tuple(keys))


class BatchJournal:
    """A folder of batches, private to its user."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder() / "batches"

    def write(self, batch: JournaledBatch) -> None:
        """Keep a batch, or its id. Raises: LmcError[cannot-write]."""
        fields = {"endpoint": batch.endpoint, "id": batch.id, "keys": batch.keys}
        write_atomically(self._path(batch), json.dumps(fields).encode(), private=True)

    def forget(self, batch: JournaledBatch) -> None:
        """Remove a batch that nobody needs again."""
        with contextlib.suppress(OSError):
            self._path(batch).unlink()

    def batches(self, endpoint: str) -> list[JournaledBatch]:
        """The batches at an endpoint, the oldest first. Old and damaged files are passed over."""
        found: list[tuple[float, JournaledBatch]] = []
        for path in self.folder.glob(_NAME) if self.folder.is_dir() else ():
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                told = path.stat()
                if time.time() - told.st_mtime > _KEPT_S:
                    path.unlink()
                elif told.st_size <= _MOST_BYTES:
                    batch = _read(path)
                    if batch.endpoint == endpoint:
                        found.append((told.st_mtime_ns, batch))
        return [batch for _, batch in sorted(found, key=lambda pair: pair[0])]

    def _path(self, batch: JournaledBatch) -> Path:
        return self.folder / f"{batch.token}.json"


def _read(path: Path) -> JournaledBatch:
    """Read a file. Raises: OSError, ValueError, TypeError, KeyError."""
    told = json.loads(path.read_bytes())
    id, keys = told["id"], told["keys"]
    if id is not None and not IS_ID.fullmatch(id):
        raise ValueError("no id of a batch")
    if not all(isinstance(key, str) for key in keys):
        raise TypeError("keys are texts")
    return JournaledBatch(path.stem, str(told["endpoint"]), tuple(keys), id)
