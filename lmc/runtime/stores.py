"""Stores at run time: a run reads one snapshot of each, and commits what it keeps when it ends.

What a run keeps, it does not see itself: reads have one answer wherever they stand, so calls that
do not depend on each other still run at once. A run that fails commits nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from lmc.ir.graph import Store
from lmc.runtime.traces import Place
from lmc.stores.database import StoreDatabase
from lmc.stores.snapshot import EMPTY, Snapshot


class Stores(Protocol):
    """Where the stores of a program are. Both methods may take a while: call them in a thread."""

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """What the named stores hold now. Raises: LmcError."""
        ...

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Add records to stores, all of a database or none. Raises: LmcError."""
        ...


class NoStores:
    """Stores that are always empty and forget what they are given."""

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """Nothing."""
        return dict.fromkeys(names, EMPTY)

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Nothing happens."""


class BroughtStores(NoStores):
    """Stores that hold what an artifact brought, for a program that keeps nothing."""

    def __init__(self, brought: Mapping[str, Snapshot]) -> None:
        self._brought = brought

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """What was brought; the other stores are empty."""
        return {name: self._brought.get(name, EMPTY) for name in names}


class KeptStores:
    """Stores in databases."""

    def __init__(self, stores: Mapping[str, Store], places: Mapping[str, StoreDatabase]) -> None:
        self.stores, self.places = stores, places

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """Read the stores, those of one database at one moment."""
        found: dict[str, Snapshot] = {}
        for database, some in self._by_place(names):
            found |= database.snapshots([self.stores[name] for name in some])
        return found

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Write what was kept, one transaction for each database."""
        for database, some in self._by_place([name for name, _ in kept]):
            mine = [(self.stores[name], value) for name, value in kept if name in some]
            database.commit(mine)

    def close(self) -> None:
        """Close the databases. They open again at their next use."""
        for place in self.places.values():
            place.close()

    def _by_place(self, names: Sequence[str]) -> Iterator[tuple[StoreDatabase, Sequence[str]]]:
        by_place: dict[int, dict[str, None]] = {}
        for name in names:
            by_place.setdefault(id(self.places[name]), {})[name] = None
        for some in by_place.values():
            yield self.places[next(iter(some))], [*some]


class FrozenStores:
    """Stores as they are when first read. Nothing is kept, so runs do not see one another."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._seen: dict[str, Snapshot] = {}
        self._turn = threading.Lock()

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """The stores as the first run found them."""
        with self._turn:
            if missing := [name for name in names if name not in self._seen]:
                self._seen |= self._stores.read(missing)
        return self._seen

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Nothing happens."""


class FilledStores:
    """Stores of which some hold other records, for a candidate that filled them. Nothing is kept.

    What is in the place of a store's records may be more than was there before, or less.
    """

    def __init__(self, stores: Stores, filled: Mapping[str, Snapshot]) -> None:
        self._stores, self._filled = stores, filled

    def read(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        """The stores, those that were filled with what they were filled with."""
        others = [name for name in names if name not in self._filled]
        own = {name: self._filled[name] for name in names if name in self._filled}
        return {**(self._stores.read(others) if others else {}), **own}

    def commit(self, kept: Sequence[tuple[str, Any]]) -> None:
        """Nothing happens."""


class RunStores:
    """The snapshots that one run reads, and what it will keep."""

    def __init__(self, snapshots: Mapping[str, Snapshot] | None = None) -> None:
        self._snapshots = snapshots or {}
        self._kept: list[tuple[Place, str, Any]] = []

    def __getitem__(self, name: str) -> Snapshot:
        return self._snapshots.get(name, EMPTY)

    def keep(self, place: Place, name: str, value: Any) -> None:
        """Note a record that a run will keep. `place` decides the order."""
        self._kept.append((place, name, value))

    def kept(self) -> list[tuple[str, Any]]:
        """What the run keeps, in the order of the program, whichever came first."""
        ordered = sorted(self._kept, key=lambda kept: kept[0])
        return [(name, value) for _, name, value in ordered]
