"""Imports: which files make up a program, and which names each file takes from the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.check.scope import CheckContext, Declared, File
from lmc.consent import ALLOW_PATH, IMPOSSIBLE, OWN, Consent, is_absolute, outside, short
from lmc.diagnostics import Diagnostic, Label, LmcError, did_you_mean, suggestion
from lmc.regular import real_path
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.syntax.parser import parse
from lmc.types import ERROR

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

STANDARD, SUFFIX = "lmc/", ".lmp"
Reader = Callable[[str], Source]
Parser = Callable[[Source], tuple[nodes.FileTree, list[Diagnostic]]]
Loading = Generator[Any, Any, File]  # gives what it waits for, itself a Loading, and takes its file


def read_source(name: str) -> Source:
    """Read a file by path, or a standard one by `lmc/name`. Raises: OSError, ValueError."""
    if not name.startswith(STANDARD):
        return Source.read(Path(name))
    if ".." in name.split("/"):
        raise FileNotFoundError(name)
    file = _library() / (name.removeprefix(STANDARD) + ".lmp")
    return Source(name, file.read_text("utf-8-sig"))


def open_source(path: str | Path) -> Source:
    """Read a program's text. Raises: LmcError[cannot-read]."""
    try:
        return Source.read(Path(path))
    except OSError as problem:
        reason = problem.strerror or str(problem)
    except UnicodeDecodeError as problem:
        reason = f"not UTF-8 at byte {problem.start}"
    raise LmcError.of("cannot-read", f"cannot read {path}: {reason}")


def standard_names() -> list[str]:
    """The names that `from "lmc/…"` can take."""
    names = (file.name for file in _library().iterdir())
    return sorted(STANDARD + n.removesuffix(".lmp") for n in names if n.endswith(".lmp"))


def library_folder() -> Path | None:
    """The folder of the standard library, None where it is not in a folder (but in a zip)."""
    folder = _library()
    return folder if isinstance(folder, Path) else None


def _library() -> Traversable:
    from importlib import resources

    return resources.files("lmc.programs")


def import_name(path: str, importer: Source) -> str:
    """The name to pass to `read`: `lmc/name`, or the path resolved against the importing file."""
    if path.startswith(STANDARD):
        return path
    start = importer.path if importer.path is not None else Path(importer.name)
    return os.path.normpath(os.path.join(os.path.dirname(str(start)), path))


def _damaged(tree: nodes.FileTree, diagnostics: Sequence[Diagnostic]) -> Iterator[Span]:
    places = [d.span.start for d in diagnostics if d.span is not None]
    for decl in tree.decls:
        if any(decl.span.start <= place < decl.span.end for place in places):
            yield decl.span


class Linker:
    """Loads files in such an order that each follows the files it imports."""

    def __init__(
        self, ctx: CheckContext, read: Reader, consent: Consent = OWN, parser: Parser = parse
    ) -> None:
        self.ctx = ctx
        self.read, self.parse = read, parser
        self._consent, self._folder = consent, Path()
        self.files: list[File] = []
        self._by_name: dict[str, File | None] = {}
        self._open: list[str] = []
        self._prefixes = {""}

    def _load(self, source: Source, prefix: str = "") -> Loading:
        """Parse a file and all that it imports, and collect the names of each."""
        tree, diagnostics = self.parse(source)
        self.ctx.syntax += diagnostics
        self.ctx.damaged += _damaged(tree, diagnostics)
        self.ctx.program.trees.append(tree)
        file = File(tree, prefix, broken=bool(diagnostics))
        for decl in tree.decls:
            if isinstance(decl, nodes.Import):
                self._import(file, decl, (yield from self._target(file, decl)))
        self._collect(file)
        self.files.append(file)
        return file

    # --- the names of a file ---

    def _collect(self, file: File) -> None:
        for decl in file.tree.decls:
            ident = getattr(decl, "name", None)
            if isinstance(ident, nodes.Ident):
                self._declare(file, ident, Declared(ident, decl, file))

    def _declare(self, file: File, ident: nodes.Ident, declared: Declared) -> None:
        earlier = file.names.get(ident.name)
        if earlier is not None:
            place = file.imported[ident.name][0] if ident.name in file.imported else earlier.ident
            message = f"`{ident.name}` is declared twice"
            self.ctx.report("duplicate-name", message, ident.span, Label(place.span, "first here"))
        elif ident.name in ("str", "int", "float", "bool", "json", "list", "dict"):
            message = f"`{ident.name}` is a built-in type"
            self.ctx.report("duplicate-name", message, ident.span, help="choose another name")
        else:
            file.names[ident.name] = declared

    # --- imports ---

    def _import(self, file: File, decl: nodes.Import, target: File | None) -> None:
        for item in decl.items:
            ident = item.alias or item.name
            declared = target.names.get(item.name.name) if target else None
            if target is not None and (declared is None or declared.file is not target):
                declared = None
                self._report_not_exported(target, decl, item.name)
            if declared is None:
                declared = Declared(ident, decl, file, ERROR, "done")
            else:
                for place in (item.name, *([item.alias] if item.alias else ())):
                    self.ctx.use(place.span, declared.ident.span)
            if ident.name not in file.names:
                file.imported[ident.name] = (ident, False)
            self._declare(file, ident, declared)

    def _report_not_exported(self, target: File, decl: nodes.Import, ident: nodes.Ident) -> None:
        if target.may_have_lost(ident.name):
            return
        own = [name for name, d in target.names.items() if d.file is target]
        self.ctx.report(
            "unknown-import",
            f'"{decl.path.value}" does not declare `{ident.name}`',
            ident.span,
            help=suggestion(ident.name, own),
        )

    def _target(self, file: File, decl: nodes.Import) -> Generator[Loading, Any, File | None]:
        name = import_name(decl.path.value, file.tree.source)
        if name in self._open:
            cycle = " -> ".join([*self._open[self._open.index(name) :], name])
            self.ctx.report(
                "import-cycle", f"these files import each other in a cycle: {cycle}", decl.path.span
            )
            return None
        if name not in self._by_name:
            self._by_name[name] = yield from self._read(name, decl.path)
        return self._by_name[name]

    def _read(self, name: str, path: nodes.String) -> Generator[Loading, Any, File | None]:
        folder = None if is_absolute(path.value) else self._folder
        if not name.startswith(STANDARD) and real_path(Path(name)) is None:
            message = f"cannot import {short(path.value)}: {IMPOSSIBLE}"
            self.ctx.report("missing-file", message, path.span)
            return None
        if not name.startswith(STANDARD) and not self._consent.may_read(Path(name), folder):
            message = outside("the imported file", path.value)
            self.ctx.report("outside-folder", message, path.span, help=ALLOW_PATH)
            return None
        if not name.startswith(STANDARD) and not name.endswith(SUFFIX):
            # A message quotes the lines of a program. Those of other files are nobody's business.
            message = f'"{path.value}" is not a `{SUFFIX}` file, and only those can be imported'
            self.ctx.report("missing-file", message, path.span)
            return None
        try:
            source = self.read(name)
        except (OSError, ValueError) as problem:
            self._report_unread(name, path, problem)
            return None
        self._open.append(name)
        file: File = yield self._load(source, self._prefix(name))
        self._open.pop()
        return file

    def _report_unread(self, name: str, path: nodes.String, problem: Exception) -> None:
        if isinstance(problem, UnicodeDecodeError):
            message = f'cannot read "{path.value}": it is not UTF-8 text'
            self.ctx.report("missing-file", message, path.span)
        elif name.startswith(STANDARD):
            known = standard_names()
            near = did_you_mean(name, known)
            help = f'did you mean "{near}"?' if near else f"it has {', '.join(known)}"
            message = f'the standard library has no file "{name}"'
            self.ctx.report("unknown-library", message, path.span, help=help if known else None)
        else:
            self.ctx.report("missing-file", f'cannot read "{path.value}"', path.span)

    def _prefix(self, name: str) -> str:
        stem = os.path.splitext(os.path.basename(name))[0]
        prefix, number = f"{stem}.", 1
        while prefix in self._prefixes:
            number += 1
            prefix = f"{stem}_{number}."
        self._prefixes.add(prefix)
        return prefix

    def begin(self, source: Source) -> File:
        """Load the entry file. A file that imports it closes a cycle."""
        entry = import_name(os.path.basename(source.name), source)
        self._folder = Path(entry).parent
        self._open.append(entry)
        return _finished(self._load(source))


def _finished(loading: Loading) -> File:
    """Load a file. Those that it waits for are kept in a list, as Python recurses only so deep."""
    waiting: list[Loading] = [loading]
    loaded: File | None = None
    while waiting:
        try:
            waiting.append(waiting[-1].send(loaded))
            loaded = None
        except StopIteration as done:
            waiting.pop()
            loaded = done.value
    assert loaded is not None
    return loaded


def unused_imports(file: File) -> Iterator[nodes.Ident]:
    """The imported names that the file never uses."""
    return (ident for ident, used in file.imported.values() if not used)
