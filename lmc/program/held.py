"""The blocks that say how to measure a program: its datasets and `optimize` blocks.

An artifact has them in the sources that it holds. They are a stranger's claims: the graph of the
artifact is what runs, and they name nothing that the graph does not have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lmc.check import check_program, read_source
from lmc.check.imports import STANDARD
from lmc.check.media import held_media
from lmc.check.optimize import METRICS
from lmc.check.program import CheckedProgram, DatasetDef, OptimizeDef
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.source import Source

if TYPE_CHECKING:
    from lmc.program.artifact import Artifact

OUTSIDE = "outside/"  # prefix of files outside the program's folder


@frozen
class Blocks:
    """The datasets of a program by name, and its `optimize` blocks.

    `problem` says why an artifact's cannot be read. `held` says that they are an artifact's.
    """

    datasets: Mapping[str, DatasetDef] = field(default_factory=dict)
    optimizes: tuple[OptimizeDef, ...] = ()
    held: bool = False
    problem: str | None = None

    def require(self, what: str, option: str) -> None:
        """See that the blocks can be read, since they decide `what`.

        Raises: LmcError[held-sources].
        """
        if self.problem is not None:
            message = f"{what} should come from the sources in the artifact, but {self.problem}"
            raise LmcError.of("held-sources", message, help=f"give it yourself: {option}")


def blocks_of(program: CheckedProgram) -> Blocks:
    """The blocks of a program that was read from its text."""
    return Blocks(program.datasets, tuple(program.optimizes))


def held_blocks(artifact: Artifact, folder: Path) -> Blocks:
    """The blocks in the sources of an artifact, which lies in a folder.

    Their steps are left out: who compiles an artifact again says by which steps.
    """
    entry, sources = artifact.manifest.entry, artifact.sources
    if entry not in sources:
        return Blocks(held=True, problem=None if not sources else f"`{entry}` is not among them")
    try:
        checked = check_held(entry, sources, folder)
    except LmcError as failure:
        return Blocks(held=True, problem=f"they cannot be compiled here ({failure.code})")
    unknown = sorted({*_metrics(checked)} - {*METRICS, *artifact.graph.metrics})
    if unknown:
        return Blocks(held=True, problem=f"its graph has no metric `{unknown[0]}`")
    optimizes = (replace(block, steps=()) for block in checked.optimizes)
    return Blocks(checked.datasets, tuple(optimizes), held=True)


def check_held(entry: str, sources: Mapping[str, str], folder: Path = Path()) -> CheckedProgram:
    """Check source texts as if they lay in a folder. Reads no file. Raises: LmcError."""

    def read(name: str) -> Source:
        if name.startswith(STANDARD):  # this lmc's own library, not the copy in the file
            return read_source(name)
        inner = Path(os.path.relpath(name, folder)).as_posix()
        for key in (inner, OUTSIDE + Path(name).name):
            if key in sources:
                return Source(inner, sources[key], Path(name))
        raise FileNotFoundError(name)

    source = Source(entry, sources.get(entry, ""), folder / entry)
    anywhere = Consent(paths=(Path("/"),))  # no file is read
    program, found = check_program(source, read=read, consent=anywhere, media=held_media)
    errors = [d for d in found if d.severity == "error"]
    if program is None or errors:
        raise LmcError(*errors)
    return program


def _metrics(program: CheckedProgram) -> Iterator[str]:
    """The metrics that the blocks name. Any other text could stand for a Python function."""
    for block in program.optimizes:
        guards = block.settings.get("guards", ())
        yield from (name for name in guards if name not in program.datasets)
        if block.metric is not None:
            yield block.metric
