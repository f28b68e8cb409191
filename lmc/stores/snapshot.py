"""Snapshots: what a store held at one moment, as values of its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

from lmc.canonical import canonical
from lmc.check.width import project
from lmc.diagnostics import LmcError
from lmc.ir.graph import Store
from lmc.source import Span
from lmc.types import OptionalType, RecordType, Type, UnionType
from lmc.unions import Members
from lmc.values import InvalidValue, validate


class Snapshot:
    """The records of a store, the oldest first. Nobody changes them."""

    def __init__(self, records: Sequence[Any] = ()) -> None:
        self.records = list(records)

    @cached_property
    def digest(self) -> str:
        """A hash of the contents: equal contents have equal hashes."""
        text = canonical(self.records).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:16]


EMPTY = Snapshot()


def read_records(store: Store, texts: Sequence[str], where: str) -> Snapshot:
    """The records of a store from their JSON.

    A record that another version of the program kept is read if it fits the type of this one:
    fields that are gone are left out, new ones get their defaults, or none where that is allowed.
    Raises: LmcError[store-misfit] with the first record that does not fit.
    """
    records, misfits = [], []
    for number, text in enumerate(texts):
        try:
            records.append(validate(store.record, _adapted(store.record, json.loads(text))))
        except (InvalidValue, ValueError, RecursionError) as problem:
            misfits.append(f"number {number + 1}: {problem or 'it nests too deep'}")
    if misfits:
        raise _misfit(store, where, misfits, len(texts))
    return Snapshot(records)


def _adapted(record: Type, value: Any) -> Any:
    """A record of another version of the program, without the fields that are gone."""
    if isinstance(record, UnionType):
        place = Members(record).find(value)
        return value if isinstance(place, str) else _adapted(record.options[place], value)
    if not isinstance(value, dict) or not isinstance(record, RecordType):
        return value
    new = {
        field.name: None
        for field in record.fields
        if isinstance(field.type, OptionalType) and not field.has_default
    }
    return new | dict(project(record, value))


def _misfit(store: Store, where: str, misfits: Sequence[str], count: int) -> LmcError:
    message = (
        f"{len(misfits)} of {count} records of the store `{store.name}` in {where} do not fit"
        f" `{store.record}`: {misfits[0]}"
    )
    help = (
        "give new fields a default, or take back the change of the record;"
        " `lmc store clear` empties it"
    )
    return LmcError.of("store-misfit", message, help=help)


def require_fit(store: Store, value: Any, span: Span | None = None) -> Any:
    """A record that a store may keep: it has the refinements of its fields too.

    Raises: LmcError[kept-misfit].
    """
    try:
        return validate(store.record, value)
    except InvalidValue as problem:
        message = f"the store `{store.name}` cannot keep this `{store.record}`: {problem}"
        raise LmcError.of("kept-misfit", message, span) from None


def committed(store: Store, records: Sequence[Any], kept: Sequence[Any]) -> list[Any]:
    """The records of a store after a commit, as a database would hold them.

    Raises: LmcError[kept-misfit].
    """
    after = list(records)
    for value in map(partial(require_fit, store), kept):
        if (key := key_text(store, value)) is not None:
            after = [record for record in after if key_text(store, record) != key]
        after.append(value)
    return after[-store.keep :]


def record_text(store: Store, value: Any) -> str:
    """A record as the database holds it. Raises: LmcError[kept-misfit]."""
    return json.dumps(require_fit(store, value), ensure_ascii=False)


def key_text(store: Store, value: Any) -> str | None:
    """The key of a record as the database compares it; None if the store has no key."""
    return None if store.key is None else canonical(value[store.key])
