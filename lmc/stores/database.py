"""Databases of stores: SQLite in a file, or any other that SQLAlchemy reaches by a URL.

A commit is one transaction, and writers of one store follow one another. So a process that is
killed leaves all of a commit or nothing of it, and two processes lose nothing of each other's.
"""

from __future__ import annotations

import os
import re
import stat
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lmc.diagnostics import LmcError
from lmc.files import MAKE_ROOM, is_full, make_private_file
from lmc.ir.graph import Store
from lmc.stores.snapshot import EMPTY, Snapshot, key_text, read_records, record_text

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BUSY_S = 60.0  # how long a writer waits for another writer
MEMORY = "memory"
Kept = tuple[Store, Any]  # a store, and a record for it
_FULL = re.compile("disk is full|disk full|disk I/O|No space left")  # as databases say it


class StoreDatabase:
    """One database with any number of stores. Any thread and process may use it.

    `where` is a path, a URL, or `memory`. With `shared`, other tables may be there too. A store
    that was never written to holds what is `brought` for it. Its first commit writes that too.
    """

    def __init__(
        self, where: str, *, shared: bool = False, brought: Mapping[str, Snapshot] | None = None
    ) -> None:
        self.where, self.shared = where, shared
        self._brought = brought or {}
        self._seen: dict[str, tuple[int, Store, Snapshot]] = {}  # with the version of the store
        self._only = threading.Lock() if where == MEMORY else None  # it has one connection

    @cached_property
    def _engine(self) -> Engine:
        engine = _open(self.where, shared=self.shared)
        weakref.finalize(self, engine.dispose).atexit = False
        return engine

    def snapshots(self, stores: Sequence[Store]) -> dict[str, Snapshot]:
        """What stores hold at one moment.

        Raises: LmcError[cannot-read, store-misfit, store-unreadable, missing-extra, bad-url].
        """
        with self._use("read") as db:
            return {store.name: self._snapshot(db, store) for store in stores}

    def _snapshot(self, db: Connection, store: Store) -> Snapshot:
        from sqlalchemy import select

        from lmc.stores import tables as t

        s, r = t.stores.c, t.records.c
        found = db.execute(select(s.version, s.format).where(s.name == store.name)).one_or_none()
        if found is None:
            return self._brought.get(store.name, EMPTY)
        if found.format > t.FORMAT:
            message = f"the store `{store.name}` in {self.shown} was written by a newer lmc"
            raise LmcError.of("store-unreadable", message, help="update lmc")
        seen = self._seen.get(store.name)
        if seen is None or seen[:2] != (found.version, store):
            query = select(r.value).where(r.store == store.name).order_by(r.number.desc())
            texts = list(db.scalars(query.limit(store.keep)))[::-1]
            seen = (found.version, store, read_records(store, texts, self.shown))
            self._seen[store.name] = seen
        return seen[2]

    def commit(self, kept: Sequence[Kept]) -> None:
        """Add records in one transaction, in their order, and drop the oldest beyond the bound.

        A record replaces the one with its key, and is then the newest.
        Raises: LmcError[cannot-write, store-misfit], and those of `snapshots`.
        """
        by_store: dict[str, list[Kept]] = {}
        for store, value in kept:
            by_store.setdefault(store.name, []).append((store, value))
        rows = {name: [_row(*kept) for kept in some] for name, some in by_store.items()}
        with self._use("write") as db:
            for name in sorted(rows):  # in one order, so that no two writers wait for each other
                store = by_store[name][0][0]
                if _begins(db, name):
                    brought = self._brought.get(name, EMPTY).records
                    rows[name] = [*(_row(store, value) for value in brought), *rows[name]]
                _add(db, store, rows[name])

    def clear(self, name: str) -> int:
        """Remove all records of a store, and start with none from now on.

        Returns the number of records that were there. Raises: LmcError.
        """
        from sqlalchemy import delete, update

        from lmc.stores import tables as t

        with self._use("write") as db:
            brought = len(self._brought.get(name, EMPTY).records) if _begins(db, name) else 0
            gone = brought + db.execute(delete(t.records).where(t.records.c.store == name)).rowcount
            s = t.stores
            db.execute(update(s).where(s.c.name == name).values(version=s.c.version + 1))
            return int(gone)

    @property
    def shown(self) -> str:
        """Where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    @contextmanager
    def _use(self, verb: str) -> Iterator[Connection]:
        """A transaction. Raises: LmcError[cannot-read, cannot-write, …]."""
        from sqlalchemy.exc import SQLAlchemyError

        level = {} if self._engine.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        if verb == "write" and level:
            level = {"isolation_level": "READ COMMITTED"}
        with self._only or threading.Lock():
            try:
                with self._engine.connect().execution_options(lmc=verb, **level) as db, db.begin():
                    yield db
            except SQLAlchemyError as problem:
                raise _cannot(verb, self.shown, problem) from None

    def close(self) -> None:
        """Close the database. It opens again at its next use."""
        if self.where != MEMORY and (engine := self.__dict__.pop("_engine", None)) is not None:
            engine.dispose()


def _add(db: Connection, store: Store, rows: Sequence[tuple[str | None, str]]) -> None:
    from sqlalchemy import delete, func, insert, select, update

    from lmc.stores import tables as t

    s, r = t.stores.c, t.records.c
    own = s.name == store.name
    first = db.scalar(select(s.next).where(own).with_for_update())
    assert first is not None
    for number, (key, value) in enumerate(rows, first):
        if key is not None:
            db.execute(delete(t.records).where(r.store == store.name, r.key == key))
        new = {"store": store.name, "number": number, "key": key, "value": value}
        db.execute(insert(t.records), new)
    of_store = r.store == store.name
    count = db.scalar(select(func.count()).select_from(t.records).where(of_store)) or 0
    if count > store.keep:
        oldest = select(r.number).where(of_store).order_by(r.number.desc())
        last = db.scalar(oldest.offset(store.keep - 1).limit(1))
        db.execute(delete(t.records).where(of_store, r.number < last))
    after = {"next": first + len(rows), "version": s.version + 1}
    db.execute(update(t.stores).where(own).values(**after))


def _row(store: Store, value: Any) -> tuple[str | None, str]:
    return key_text(store, value), record_text(store, value)


def _begins(db: Connection, name: str) -> bool:
    """Whether nobody has written to a store before. Other writers of it wait from here on."""
    from sqlalchemy import insert, select
    from sqlalchemy.exc import IntegrityError

    from lmc.stores import tables as t

    query = select(t.stores.c.next).where(t.stores.c.name == name).with_for_update()
    if db.scalar(query) is not None:
        return False
    new = {"name": name, "format": t.FORMAT, "version": 0, "next": 1}
    try:
        with db.begin_nested():
            db.execute(insert(t.stores), new)
    except IntegrityError:  # another process has made it at this moment
        db.scalar(query)
        return False
    return True


# --- opening ---


def _open(where: str, *, shared: bool) -> Engine:
    """An engine whose tables exist. A file that holds something else is left alone."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import StaticPool

    memory = where == MEMORY
    try:
        url = make_url("sqlite://" if memory else where if "://" in where else f"sqlite:///{where}")
    except ArgumentError:
        help = "write a file, or a URL such as `postgresql+psycopg://user@host/db`"
        raise LmcError.of("bad-url", "this is not the place of a store", help=help) from None
    shown, engine = url.render_as_string(hide_password=True), None
    one: dict[str, Any] = {"poolclass": StaticPool} if memory else {}
    if memory:
        one["connect_args"] = {"check_same_thread": False}
    try:
        sqlite = url.get_backend_name() == "sqlite"
        file = Path(str(url.database)) if sqlite and not memory else None
        reads_only = file is not None and _is_read_only(file)
        if file is not None and reads_only:
            url = url.set(**_read_only(file))
        elif file is not None:
            _make_file(file)
        engine = create_engine(url, **one)
        if sqlite:
            event.listen(engine, "connect", _configure_read_only if reads_only else _configure)
            event.listen(engine, "begin", _begin)
        _make_tables(engine, alone=sqlite and not shared)
    except (ImportError, NoSuchModuleError) as missing:
        message = f"there is no driver for {shown}: {missing}"
        raise LmcError.of("missing-extra", message, help="install the driver") from None
    except (OSError, SQLAlchemyError) as problem:
        if engine is not None:
            engine.dispose()
        raise _cannot("open", shown, problem) from None
    return engine


def _is_read_only(path: Path) -> bool:
    """Whether a file is there that may be read only, such as one on a disk that is read-only.

    SQLite writes beside a file too, so its folder counts as well.
    """
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _read_only(path: Path) -> dict[str, Any]:
    """How SQLite opens such a file.

    Its write-ahead log wants to write even to read. Where there is no log with something in it, the
    file is taken as one that nobody changes.
    """
    log = path.with_name(path.name + "-wal")
    has_log = log.is_file() and log.stat().st_size > 0
    query = {"uri": "true", "mode": "ro", **({} if has_log else {"immutable": "1"})}
    return {"database": f"file:{quote(str(path.resolve()))}", "query": query}


def _make_file(path: Path) -> None:
    """Make the file of a store. Raises: OSError, LmcError[store-unreadable]."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise LmcError.of("store-unreadable", f"{path} is not a file that can hold a store")
    make_private_file(path)


def _make_tables(engine: Engine, *, alone: bool) -> None:
    """Make the tables, unless another process makes them at this moment.

    Raises: LmcError[store-unreadable] for a file with tables of something else.
    """
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    from lmc.stores import tables as t

    names = {table.name for table in t.metadata.sorted_tables}
    if alone:
        _require_own(engine, names)
    if names <= set(inspect(engine).get_table_names()):
        return
    try:
        with engine.connect().execution_options(lmc="write") as db, db.begin():
            t.metadata.create_all(db)
    except SQLAlchemyError:
        if not names <= set(inspect(engine).get_table_names()):
            raise


def _require_own(engine: Engine, names: set[str]) -> None:
    """Refuse a file that is not a store of lmc: it has other tables, or code in its schema."""
    from sqlalchemy import text

    with engine.connect() as db:
        found = list(db.execute(text("SELECT type, name, tbl_name FROM sqlite_master")))
    strange = [row.name for row in found if not _is_own(row.type, row.tbl_name, names)]
    if strange:
        shown = engine.url.render_as_string(hide_password=True)
        engine.dispose()
        message = f"{shown} is not a store of lmc: it has `{strange[0][:60]}`"
        raise LmcError.of("store-unreadable", message, help="give the store another file")


def _is_own(type: str, table: str, names: set[str]) -> bool:
    return type in ("table", "index") and table in names


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin in `_begin`
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA synchronous = FULL")
    _log_ahead(connection)


def _configure_read_only(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA trusted_schema = OFF")


def _log_ahead(connection: Any) -> None:
    """Turn the write-ahead log on. SQLite does not wait here for others that do the same.

    Any other failure is one at once, such as a disk that is full or may not be written.
    """
    import sqlite3

    end = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin(db: Connection) -> None:
    """A writer waits for other writers when it begins, not when it has read already."""
    writes = db.get_execution_options().get("lmc") == "write"
    db.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _cannot(verb: str, where: str, problem: Exception) -> LmcError:
    reason = str(getattr(problem, "orig", None) or problem).partition("\n")[0]
    if "not a database" in reason or "malformed" in reason:
        message = f"{where} is not a store of lmc, or it is damaged: {reason}"
        return LmcError.of("store-unreadable", message, help="give the store another file")
    full = is_full(problem) if isinstance(problem, OSError) else bool(_FULL.search(reason))
    slug = "cannot-write" if verb == "write" or full else "cannot-read"
    help = MAKE_ROOM if full else None
    return LmcError.of(slug, f"cannot {verb} the store {where}: {reason}", help=help)
