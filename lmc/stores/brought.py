"""What an artifact brings for the stores of its program: records, among its parameters.

An artifact is a stranger. Its records are held against the types of the stores before anything
else happens, and there are no more of them than a store may keep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.canonical import same
from lmc.ir.graph import Store
from lmc.stores.snapshot import Snapshot, key_text
from lmc.values import InvalidValue, validate

MOST_BYTES = 64 << 20  # of all records, as JSON
Records = Mapping[str, Sequence[Any]]


class BadRecords(ValueError):
    """Records that the stores of a program could not hold. The message says which."""


def require_bounded(records: Records) -> None:
    """See that an artifact can bring these records. Raises: BadRecords."""
    held = {name: list(some) for name, some in records.items()}
    size = len(json.dumps(held, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise BadRecords(f"its stores hold {size:,} bytes, more than {MOST_BYTES:,}")


def require_own(stores: Mapping[str, Store], records: Records) -> None:
    """See that records are what the stores of a program could have kept. Raises: BadRecords."""
    require_bounded(records)
    if unknown := sorted(records.keys() - stores.keys()):
        raise BadRecords(f"the program has no store `{unknown[0][:80]}`")
    for name, some in records.items():
        _require_kept(stores[name], some)


def _require_kept(store: Store, records: Sequence[Any]) -> None:
    if len(records) > store.keep:
        raise BadRecords(f"`{store.name}` keeps at most {store.keep:,} records")
    for number, record in enumerate(records, 1):
        try:
            whole = same(validate(store.record, record), record)
        except (InvalidValue, ValueError, RecursionError) as problem:
            told = problem or "it nests too deep"
            raise BadRecords(f"`{store.name}`, record {number}: {told}") from None
        if not whole:
            raise BadRecords(f"`{store.name}`, record {number}: a field is missing")
    keys = [key_text(store, record) for record in records if store.key is not None]
    if len(set(keys)) < len(keys):
        raise BadRecords(f"`{store.name}` has two records with one key")


def snapshots_of(records: Records) -> dict[str, Snapshot]:
    """The records of stores as snapshots."""
    return {name: Snapshot(held) for name, held in records.items()}
