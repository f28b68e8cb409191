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
from lmc.media.content import MOST_BYTES, Media
from lmc.redaction import logger
from lmc.regular import read_regular

_log = logger(__name__)
MOST_RECENT_BYTES = 32 << 20  # kept in memory for the next request
MOST_HELD_BYTES = 256 << 20  # kept in memory if the disk takes none


class MediaStore:
    """Media by hash. It may be used from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._held: dict[str, bytes] = {}  # could not be written
        self._lock = threading.Lock()

    def put(self, media: Media, data: bytes) -> None:
        """Keep some bytes. Raises: LmcError[cannot-write] if neither disk nor memory takes them."""
        if not self._path(media).is_file():
            try:
                write_atomically(self._path(media), data, private=True)
            except LmcError as problem:
                self._hold(media, data, problem)
        self._remember(media.sha256, data)

    def get(self, media: Media) -> bytes:
        """The bytes of media. Raises: LmcError[media-missing]."""
        with self._lock:
            data = self._recent.get(media.sha256) or self._held.get(media.sha256)
            if media.sha256 in self._recent:
                self._recent.move_to_end(media.sha256)
        if data is None:
            data = self._read(media)
            self._remember(media.sha256, data)
        return data

    def has(self, media: Media) -> bool:
        """Whether the bytes are here."""
        return media.sha256 in self._held or self._path(media).is_file()

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

    def _path(self, media: Media) -> Path:
        return self.root / media.sha256[:2] / media.sha256

    def _read(self, media: Media) -> bytes:
        path = self._path(media)
        try:
            data = read_regular(path, max(MOST_BYTES.values()))
        except OSError:
            raise _missing(media, "is not in") from None
        if hashlib.sha256(data).hexdigest() != media.sha256:
            path.unlink(missing_ok=True)
            raise _missing(media, "is damaged in")
        return data

    def _hold(self, media: Media, data: bytes, problem: LmcError) -> None:
        with self._lock:
            if len(data) + sum(map(len, self._held.values())) > MOST_HELD_BYTES:
                raise problem
            if not self._held:
                _log.warning("media stay in memory: %s", problem.diagnostics[0].message)
            self._held[media.sha256] = data

    def _remember(self, digest: str, data: bytes) -> None:
        with self._lock:
            self._recent[digest] = data
            self._recent.move_to_end(digest)
            while sum(map(len, self._recent.values())) > MOST_RECENT_BYTES:
                self._recent.popitem(last=False)


def _missing(media: Media, what: str) -> LmcError:
    message = f"the {media.kind} {media.sha256[:12]}… {what} {media_store().root}"
    help = "give the file again, or load the artifact that holds it"
    return LmcError.of("media-missing", message, help=help)


_stores: dict[Path, MediaStore] = {}


def media_store() -> MediaStore:
    """The store in the cache folder as it is set now."""
    root = cache_folder() / "media"
    return _stores.setdefault(root, MediaStore(root))
