"""The bytes of media on disk, each once, in files named by their hash.

They are beside the response cache: in the folder `media` of LMC_CACHE_DIR, else of the user's cache
folder. Only their user can read them. What is read is compared with its hash.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path

from lmc.diagnostics import LmcError
from lmc.files import cache_folder, write_atomically
from lmc.redaction import logger
from lmc.regular import read_regular

_log = logger(__name__)
MOST_RECENT_BYTES = 32 << 20  # kept in memory for the next request
MOST_FILE_BYTES = 64 << 20
MOST_HELD_BYTES = 256 << 20  # kept in memory if the disk takes none


class MediaStore:
    """Media by hash. It may be used from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._held: dict[str, bytes] = {}  # could not be written
        self._lock = threading.Lock()

    def put(self, digest: str, data: bytes) -> None:
        """Keep some bytes. Raises: LmcError[cannot-write] if neither disk nor memory takes them."""
        path = self._path(digest)
        if not path.is_file():
            try:
                write_atomically(path, data, private=True)
            except LmcError as problem:
                self._hold(digest, data, problem)
        self._remember(digest, data)

    def get(self, digest: str) -> bytes:
        """The bytes with a hash. Raises: LmcError[media-missing]."""
        with self._lock:
            data = self._recent.get(digest) or self._held.get(digest)
            if digest in self._recent:
                self._recent.move_to_end(digest)
        if data is None:
            data = self._read(digest)
            self._remember(digest, data)
        return data

    def stats(self) -> tuple[int, int]:
        """How many files there are, and how many bytes they have."""
        sizes = [path.stat().st_size for path in self._files()]
        return len(sizes), sum(sizes)

    def clear(self) -> int:
        """Delete all media, and return their number."""
        with self._lock:
            self._recent.clear()
            self._held.clear()
        files = self._files()
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)

    def _files(self) -> list[Path]:
        return [path for path in self.root.glob("??/*") if len(path.name) == 64]

    def _path(self, digest: str) -> Path:
        return self.root / digest[:2] / digest

    def _read(self, digest: str) -> bytes:
        path = self._path(digest)
        try:
            data = read_regular(path, MOST_FILE_BYTES)
        except OSError:
            raise self._missing(digest, "not there") from None
        if hashlib.sha256(data).hexdigest() != digest:
            path.unlink(missing_ok=True)
            raise self._missing(digest, "damaged")
        return data

    def _missing(self, digest: str, how: str) -> LmcError:
        message = f"the media {digest[:12]}… are {how} in {self.root}"
        help = "give the file again, or load the artifact that holds it"
        return LmcError.of("media-missing", message, help=help)

    def _hold(self, digest: str, data: bytes, problem: LmcError) -> None:
        with self._lock:
            if len(data) + sum(map(len, self._held.values())) > MOST_HELD_BYTES:
                raise problem
            if not self._held:
                _log.warning("media stay in memory: %s", problem.diagnostics[0].message)
            self._held[digest] = data

    def _remember(self, digest: str, data: bytes) -> None:
        with self._lock:
            self._recent[digest] = data
            self._recent.move_to_end(digest)
            while sum(map(len, self._recent.values())) > MOST_RECENT_BYTES:
                self._recent.popitem(last=False)


_stores: dict[Path, MediaStore] = {}


def media_store() -> MediaStore:
    """The store in the cache folder as it is set now."""
    root = cache_folder() / "media"
    return _stores.setdefault(root, MediaStore(root))
