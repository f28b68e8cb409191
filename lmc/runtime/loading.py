"""Load the Python functions that a program names: from files beside it, else as Python imports.

A program's folder is never on Python's own path. So no file in it can replace a library, neither
for lmc nor for the modules that lmc imports. `tools:search` is looked up in this order:

1. A name of Python's standard library, or of lmc, is that library, even if the folder has a file
   of that name.
2. Else a file `tools.py` (or a package `tools/`) beside the program is loaded by its path, under a
   private name. Two programs that each have a `tools.py` run their own. If Python's own path leads
   to the same file, as in a script beside it, the module is the one that `import tools` gives.
3. Else it is an installed module.

A module loaded by path can import its siblings. `from .helpers import x` always works.
`from helpers import x` works if the standard library and installed packages lack the name.

A module is imported in a thread of its own. One that does not end in time is left behind there.
"""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from lmc.diagnostics import LmcError, error
from lmc.source import Span
from lmc.tasks.foreign import TooLong, harmless, said

PREFIX = "lmc_beside_"  # of the packages that stand for program folders
MOST_IMPORT_S = 120.0  # for a module with all that it imports

_stuck: dict[str, Future[Any]] = {}  # imports that took too long


def load_function(
    target: str, base_dir: Path | None, span: Span | None = None, *, owner: str = ""
) -> Callable[..., Any]:
    """Import `pkg.mod:fn` for its `owner`, such as "the tool `x`".

    Raises: LmcError[tool-not-found], also for any exception that the import raises, and for an
    import that takes more than `MOST_IMPORT_S`.
    """
    module_name, _, name = target.partition(":")
    what = f"{owner}: cannot import `{target}`" if owner else f"cannot import `{target}`"
    try:
        function = _function(module_name, name, base_dir.resolve() if base_dir else None)
    except BaseException as problem:
        pressed = threading.current_thread() is threading.main_thread()
        if isinstance(problem, KeyboardInterrupt) and pressed:
            raise
        help = _shadow_help(module_name, base_dir)
        reason = str(problem) if isinstance(problem, TooLong) else said(problem)
        raise LmcError(error("tool-not-found", f"{what}: {reason}", span, help=help)) from problem
    if not callable(function):
        raise LmcError.of("tool-not-found", f"`{target}` is not a function", span)
    return function  # type: ignore[no-any-return]


def _function(module: str, name: str, folder: Path | None) -> Any:
    """A function of a module, which is imported unless it has been. Raises: TooLong, anything."""
    full_name = _full_name(module, folder)
    if full_name in sys.modules and full_name not in _stuck:
        with contextlib.suppress(AttributeError):  # it may be on its way in
            return _part(sys.modules[full_name], name)
    return _in_time(full_name, lambda: _part(importlib.import_module(full_name), name))


def _part(module: ModuleType, name: str) -> Any:
    part: Any = module
    for word in name.split("."):
        part = getattr(part, word)
    return part


def _in_time(module: str, work: Callable[[], Any]) -> Any:
    """Import a module in a thread. One that took too long is not waited for again.

    Raises: TooLong, Escape, and any Exception of the module.
    """
    imported = _stuck.pop(module, None)
    if imported is None or imported.done():
        imported = Future()
        threading.Thread(
            target=_settle, args=(imported, work), name="lmc-import", daemon=True
        ).start()
        wait([imported], MOST_IMPORT_S)
    if not imported.done():
        _stuck[module] = imported
        raise TooLong(f"importing the module took more than {MOST_IMPORT_S:g} s")
    return imported.result()


def _settle(imported: Future[Any], work: Callable[[], Any]) -> None:
    try:
        imported.set_result(work())
    except BaseException as problem:
        imported.set_exception(harmless(problem))


def _full_name(name: str, folder: Path | None) -> str:
    """The name by which Python imports a module."""
    top = name.partition(".")[0]
    beside = (
        None if folder is None or _is_library(top) else PathFinder.find_spec(top, [str(folder)])
    )
    if folder is None or beside is None or _is_pythons_own(top, beside):
        return name
    return f"{_package(folder)}.{name}"


def _is_library(top: str) -> bool:
    return top in sys.stdlib_module_names or top == __name__.partition(".")[0]


def _is_pythons_own(top: str, beside: ModuleSpec) -> bool:
    """Whether Python's own path leads to the file beside the program, or the folder has no file."""
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, AttributeError, ValueError):
        return False
    if found is None:
        return False
    if beside.origin is None:  # an installed module wins over a folder without `__init__.py`
        return True
    return found.origin is not None and Path(found.origin).resolve() == Path(beside.origin)


def _shadow_help(name: str, folder: Path | None) -> str | None:
    top = name.partition(".")[0]
    if folder is None or not _is_library(top) or not (folder / f"{top}.py").is_file():
        return None
    return f"`{top}` is a library, not the `{top}.py` beside the program; give that another name"


# --- folders of programs as packages ---


def _package(folder: Path) -> str:
    """The package that stands for a folder. It is made at first use."""
    name = PREFIX + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    if name not in sys.modules:
        package = ModuleType(name, "Modules beside a program.")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
    return name


class _Finder(MetaPathFinder):
    """Finds the modules of the packages that stand for folders, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX) or path is None:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, str(spec.loader.path))
        return spec


class _Loader(SourceFileLoader):
    """Gives a module an `import` that looks among its siblings last."""

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
        super().exec_module(module)


def _importer(package: str) -> Callable[..., Any]:
    def import_module(
        name: str,
        globals: Any = None,
        locals: Any = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top, folder = name.partition(".")[0], sys.modules[package].__path__
        try:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        except ModuleNotFoundError as problem:
            ours = not level and problem.name == top and PathFinder.find_spec(top, folder)
            if not ours:
                raise
        found = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or ())
        return found if fromlist else sys.modules[f"{package}.{top}"]

    return import_module
