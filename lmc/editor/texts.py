"""The texts that an editor works on: its unsaved buffers, and the files on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from lmc.check import read_source
from lmc.check.imports import STANDARD, SUFFIX, library_folder
from lmc.frozen import frozen
from lmc.source import Source

MOST_FILES, MOST_FOLDERS = 2000, 5000  # of the roots, in a search
_SKIPPED = frozenset(("node_modules", "__pycache__", "site-packages", "build", "dist"))


@frozen
class Buffer:
    """A document that is open in the editor."""

    uri: str
    version: int
    source: Source


Stamp = tuple[int, int, int]  # of a file: when it changed, its size, and its number


class Texts:
    """Gives each text as one `Source` object, the same one until the text changes.

    A name is a path, `lmc/NAME` for a file of the standard library, or the URI of a document that
    is no file.
    """

    def __init__(self) -> None:
        self.roots: list[Path] = []
        self.buffers: dict[str, Buffer] = {}
        self._disk: dict[str, tuple[Stamp, Source]] = {}
        self._standard: dict[str, Source] = {}

    # --- names ---

    def name_of(self, uri: str) -> str:
        """The name of a document."""
        try:
            parts = urlsplit(uri)
        except ValueError:  # such as `file://[`
            return uri
        if parts.scheme != "file":
            return uri
        host = f"//{parts.netloc}" if parts.netloc else ""
        return os.path.normpath(url2pathname(host + parts.path))

    def uri_of(self, source: Source) -> str:
        """The URI under which an editor finds a text. That of an open document is its own."""
        if source.name.startswith(STANDARD) and source.path is None:
            folder = library_folder()
            path = folder / (source.name.removeprefix(STANDARD) + SUFFIX) if folder else None
            return path.as_uri() if path else source.name
        if buffer := self.buffers.get(source.name):
            return buffer.uri
        return source.path.absolute().as_uri() if source.path else source.name

    def is_library(self, source: Source) -> bool:
        """Whether a text belongs to the standard library, which nobody edits."""
        folder = library_folder()
        inside = folder is not None and source.path is not None and source.path.parent == folder
        return inside or (source.path is None and source.name.startswith(STANDARD))

    # --- texts ---

    def put(self, uri: str, version: int, text: str) -> Source:
        """Take the text of an open document."""
        name = self.name_of(uri)
        path = Path(name) if name != uri else None
        source = Source(name, without_mark(text), path)
        self.buffers[name] = Buffer(uri, version, source)
        return source

    def drop(self, uri: str) -> None:
        """Forget an open document; the file on the disk counts from now on."""
        self.buffers.pop(self.name_of(uri), None)

    def read(self, name: str) -> Source:
        """The text behind a name. Raises: OSError, ValueError."""
        if buffer := self.buffers.get(name):
            return buffer.source
        if name.startswith(STANDARD):
            if name not in self._standard:
                self._standard[name] = read_source(name)
            return self._standard[name]
        stamp, known = _stamp(name), self._disk.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        source = read_source(name)
        self._disk[name] = stamp, source
        return source

    def current(self, name: str) -> Source | None:
        """The text behind a name, None where there is none."""
        try:
            return self.read(name)
        except (OSError, ValueError):
            self._disk.pop(name, None)
            return None

    def programs(self) -> Iterator[str]:
        """The names of the programs under the roots and of those that are open, each once."""
        seen = dict.fromkeys(self.buffers)
        yield from seen
        left = MOST_FILES
        for path in _files_under(self.roots):
            if str(path) not in seen:
                seen[str(path)] = None
                yield str(path)
                left -= 1
            if not left:
                return


def without_mark(text: str) -> str:
    """A text with a space for its byte order mark, so that no offset changes."""
    return " " + text[1:] if text.startswith("\ufeff") else text


def _stamp(name: str) -> Stamp:
    status = os.stat(name)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _files_under(roots: list[Path]) -> Iterator[Path]:
    folders = list(reversed(roots))
    for _ in range(MOST_FOLDERS):
        if not folders:
            return
        try:
            entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED:
                continue
            if entry.name.endswith(SUFFIX) and entry.is_file():
                yield Path(os.path.normpath(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
