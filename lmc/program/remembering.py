"""Where the stores of a program lie: beside it, at its own place, or where the user says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmc.consent import Consent
from lmc.diagnostics import LmcError
from lmc.ir.graph import ProgramGraph, Store, all_nodes
from lmc.runtime.stores import BroughtStores, KeptStores, NoStores, Stores
from lmc.stores.database import MEMORY, StoreDatabase
from lmc.stores.snapshot import Snapshot

VARIABLE = "LMC_STORES"  # a path or URL for all stores
DEFAULT_FILE = ".lmc/stores.db"


def open_stores(
    graph: ProgramGraph,
    where: str | Path | None,
    base_dir: Path | None,
    consent: Consent,
    brought: Mapping[str, Snapshot] | None = None,
) -> Stores:
    """The stores of a program. Nothing is opened before a run reads or writes one.

    `where` is a path, a URL or `memory` for all stores, as the user gave it. An artifact is a
    stranger's, and its stores need that word, unless they only hold what it brought itself.
    Raises: LmcError[store-not-allowed, outside-folder].
    """
    if not graph.stores:
        return NoStores()
    if where is None and consent.stranger:
        return BroughtStores(brought) if brought and not _keeps(graph) else _Refused(graph)
    databases: dict[tuple[str, bool], StoreDatabase] = {}
    places: dict[str, StoreDatabase] = {}
    for name, store in graph.stores.items():
        place = _place(store, where, base_dir or Path(), consent)
        database = StoreDatabase(place[0], shared=place[1], brought=brought)
        places[name] = databases.setdefault(place, database)
    return KeptStores(graph.stores, places)


def _keeps(graph: ProgramGraph) -> bool:
    """Whether any part of a program writes to a store."""
    return any(node.op == "keep" for one in graph.graphs.values() for node in all_nodes(one))


def _place(
    store: Store, where: str | Path | None, base_dir: Path, consent: Consent
) -> tuple[str, bool]:
    """The path or URL of a store, and whether other tables may be there too."""
    if where is not None:
        text = str(where)
        return text, "://" in text and not text.startswith("sqlite")
    if "url" in store.place:
        url = store.place["url"]
        _require_plain(store, url)
        return url, True
    name = store.place.get("path", DEFAULT_FILE)
    path = consent.place(base_dir, name, f"the file of the store `{store.name}`", root=base_dir)
    return str(path), False


def _require_plain(store: Store, url: str) -> None:
    """A URL of the source leads to a server; a file has rules of its own, and is a `path`."""
    if url.startswith("sqlite") or "://" not in url:
        message = f"the store `{store.name}` is in a file, which its `url` cannot name"
        raise LmcError.of("bad-url", message, help='write `path: "notes.db"`')


class _Refused:
    """The stores of an artifact whose user did not say where they are."""

    def __init__(self, graph: ProgramGraph) -> None:
        self.names = tuple(graph.stores)

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """Raises: LmcError[store-not-allowed]."""
        told = ", ".join(f"`{name}`" for name in names or self.names)
        message = f"the artifact would remember things between its runs, in {told}"
        help = (
            f'say where: `--stores FILE`, `stores="FILE"` in Python, or {VARIABLE};'
            f" `{MEMORY}` forgets them at the end"
        )
        raise LmcError.of("store-not-allowed", message, help=help)

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Never called: no run begins."""
