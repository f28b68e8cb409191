"""Check whether the graph of an artifact matches its sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lmc.check import check_program, read_source
from lmc.check.imports import STANDARD
from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.program.program import lower_checked
from lmc.source import Source
from lmc.version import __version__

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph
    from lmc.program.artifact import Artifact

OUTSIDE = "outside/"  # prefix of files outside the program's folder


def strangeness(artifact: Artifact) -> str | None:
    """A sentence that says why the graph does not match its sources; None if it matches."""
    try:
        graph = _lowered(artifact.manifest.entry, artifact.sources)
    except LmcError as problem:
        found = f"its sources cannot be compiled here ({problem.code})"
    else:
        if graph == artifact.graph:
            return None
        found = "its sources are compiled to another graph here"
    made_by = artifact.manifest.lmc
    other = f"; it says that lmc {made_by} made it" if made_by != __version__ else ""
    return f"the graph is not shown to be what the sources say: {found}{other}"


def _lowered(entry: str, sources: Mapping[str, str]) -> ProgramGraph:
    """The graph of source texts, after writing and reading it. Raises: LmcError."""

    def read(name: str) -> Source:
        if name.startswith(STANDARD):  # this lmc's own library, not the copy in the file
            return read_source(name)
        for key in (name, OUTSIDE + Path(name).name):
            if key in sources:
                return Source(name, sources[key])
        raise FileNotFoundError(name)

    source = Source(entry, sources.get(entry, ""))
    anywhere = Consent(paths=(Path("/"),))  # no file is read
    program, found = check_program(source, read=read, consent=anywhere)
    if program is None:
        raise LmcError(*(d for d in found if d.severity == "error"))
    return graph_from_json(json.loads(json.dumps(graph_to_json(lower_checked(program)))))
