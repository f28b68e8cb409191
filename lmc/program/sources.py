"""Check whether the graph of an artifact matches its sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.serialize import graph_from_json, graph_to_json
from lmc.program.held import check_held
from lmc.program.program import lower_checked
from lmc.version import __version__

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph
    from lmc.program.artifact import Artifact


def strangeness(artifact: Artifact) -> str | None:
    """A sentence that says why the graph does not match its sources; None if it matches."""
    try:
        graph = _lowered(artifact.manifest.entry, artifact.sources)
    except LmcError as problem:
        found = f"its sources cannot be compiled here ({problem.code})"
    else:
        if graph == artifact.graph or _without_files(graph) == _without_files(artifact.graph):
            return None
        found = "its sources are compiled to another graph here"
    made_by = artifact.manifest.lmc
    other = f"; it says that lmc {made_by} made it" if made_by != __version__ else ""
    return f"the graph is not shown to be what the sources say: {found}{other}"


def _without_files(graph: ProgramGraph) -> ProgramGraph:
    """A graph without what its files hold: sources name files, and do not have them."""
    return graph_from_json(_stripped(json.loads(json.dumps(graph_to_json(graph)))))


def _stripped(part: Any) -> Any:
    match part:
        case {"media": str(mime), "sha256": str(), "bytes": int(), **rest} if not rest:
            return {"media": mime.partition("/")[0]}
        case dict():
            return {key: _stripped(value) for key, value in part.items()}
        case list():
            return list(map(_stripped, part))
    return part


def _lowered(entry: str, sources: Mapping[str, str]) -> ProgramGraph:
    """The graph of source texts, after writing and reading it. Raises: LmcError."""
    graph = lower_checked(check_held(entry, sources))
    return graph_from_json(json.loads(json.dumps(graph_to_json(graph))))
