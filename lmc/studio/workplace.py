"""The folder that a studio works in: which files it has, and how new ones are written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lmc.diagnostics import LmcError
from lmc.files import cannot_write, write_atomically
from lmc.frozen import frozen

PROGRAM, ARTIFACT, RESULTS = "program", "artifact", "results"
ROWS = "rows"
KINDS = {
    ".lmp": PROGRAM, ".lmpc": ARTIFACT,
    **dict.fromkeys((".jsonl", ".json", ".csv", ".tsv", ".parquet"), ROWS),
}  # fmt: skip
RESULT_FILES = (".results.jsonl", ".results.parquet")
MOST_FILES, MOST_FOLDERS = 500, 2000
MOST_TEXT = 1 << 20  # bytes of a program
_SKIPPED = frozenset(("node_modules", "__pycache__", "site-packages", "build", "dist"))


@frozen
class Listed:
    """A file of the folder: its name from there, and what it is."""

    name: str
    kind: str

    def to_json(self) -> dict[str, str]:
        """What the page gets."""
        return {"name": self.name, "kind": self.kind}


@frozen
class FileText:
    """A program's text with the digest of its file, by which a later change is noticed."""

    text: str
    digest: str


class Workplace:
    """A folder. No name leads out of it, and nothing in it is written over but saved programs."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def runs(self) -> Path:
        """Where the runs of compilations are."""
        return self.root / ".lmc" / "runs"

    def files(self) -> list[Listed]:
        """The programs, artifacts, rows and results, by name."""
        found = []
        for path in self._walk():
            if kind := kind_of(path.name):
                found.append(Listed(path.relative_to(self.root).as_posix(), kind))
            if len(found) == MOST_FILES:
                break
        return sorted(found, key=lambda one: one.name)

    def _walk(self) -> Iterator[Path]:
        for number, (folder, inner, names) in enumerate(os.walk(self.root), start=1):
            inner[:] = sorted(n for n in inner if not n.startswith(".") and n not in _SKIPPED)
            yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
            if number == MOST_FOLDERS:
                return

    def place(self, name: object, *kinds: str) -> Path:
        """The path of a name, which may be new. Raises: LmcError[outside-studio]."""
        shown = name if isinstance(name, str) else ""
        known = kind_of(shown)
        parts = Path(shown).parts
        path = (self.root / shown).resolve() if "\0" not in shown else self.root
        hidden = any(part.startswith(".") for part in parts)
        inside = path.is_relative_to(self.root) and path != self.root
        if not shown or hidden or not inside or known not in kinds:
            message = f"`{shown[:80]}` is no file that the studio may use here"
            help = f"name a file in its folder: {', '.join(kinds)}"
            raise LmcError.of("outside-studio", message, help=help)
        return path

    def there(self, name: object, *kinds: str) -> Path:
        """The path of a file that exists. Raises: LmcError[outside-studio, unknown-file]."""
        path = self.place(name, *kinds)
        if not path.is_file():
            raise LmcError.of("unknown-file", f"there is no file `{name}` any more")
        return path

    # --- programs ---

    def read(self, name: object) -> FileText:
        """The text of a program. Raises: LmcError."""
        path = self.there(name, PROGRAM)
        try:
            if path.stat().st_size > MOST_TEXT:
                message = f"`{name}` has more than {MOST_TEXT:,} bytes"
                raise LmcError.of("cannot-read", message)
            data = path.read_bytes()
            return FileText(data.decode("utf-8-sig"), _digest(data))
        except (OSError, UnicodeDecodeError) as problem:
            raise LmcError.of("cannot-read", f"cannot read `{name}`: {problem}") from None

    def save(self, name: object, text: str, known: str) -> str:
        """Write a program whose file is as it was read. Returns its new digest.

        Lines end as they did before. Raises: LmcError[changed-file], if somebody else wrote it.
        """
        path, before = self.there(name, PROGRAM), self.read(name)
        if before.digest != known:
            message = f"`{name}` was changed elsewhere since you opened it"
            help = "save under a new name, or open the file again and lose your changes"
            raise LmcError.of("changed-file", message, help=help)
        if "\r\n" in before.text:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        data = text.encode("utf-8", "replace")
        write_atomically(path, data)
        return _digest(data)

    # --- new files ---

    def write_new(self, name: object, data: bytes, *kinds: str) -> Path:
        """Write a file that is not there yet. Raises: LmcError[file-there, cannot-write]."""
        path = self.place(name, *kinds)
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            help = "give another name: nothing is written over"
            raise LmcError.of("file-there", f"`{name}` is there already", help=help) from None
        except OSError as problem:
            raise cannot_write(path, problem) from None
        return path

    def create(self, name: object, text: str) -> str:
        """Write a new program. Returns its digest. Raises: LmcError."""
        data = text.encode("utf-8", "replace")
        self.write_new(name, data, PROGRAM)
        return _digest(data)

    def free_name(self, name: str) -> str:
        """A name like this that no file has: `mail.jsonl` becomes `mail-2.jsonl`."""
        path, number = self.root / name, 2
        stem, suffix = path.stem, path.suffix
        while path.exists():
            path, number = path.with_name(f"{stem}-{number}{suffix}"), number + 1
        return path.relative_to(self.root).as_posix()


def kind_of(name: str) -> str | None:
    """What a file is, by its name."""
    if name.endswith(RESULT_FILES):
        return RESULTS
    return KINDS.get(Path(name).suffix.lower())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
