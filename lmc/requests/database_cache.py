"""A response cache in a database that several machines share, by its SQLAlchemy URL."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError, warning
from lmc.models.base import Answer
from lmc.redaction import logger, redact
from lmc.requests.cache import Cache, CacheStats, answer_from_json, answer_to_json

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

_log = logger(__name__)
VARIABLE = "LMC_CACHE"  # a file or a URL
_MOST_ROWS = 1_000  # in one statement
_PAUSE_S = 5.0  # after a failure, before the database is tried again
_CONNECT_S = 10


def open_cache(where: str | Path | None = None) -> Cache:
    """The cache in a file or database; without one, what LMC_CACHE says, else the usual file.

    Raises: LmcError[bad-url, missing-extra].
    """
    where = where or os.environ.get(VARIABLE)
    if isinstance(where, str) and "://" in where:
        return DatabaseCache(where)
    return Cache(Path(where) if where else None)


class DatabaseCache(Cache):
    """A cache in PostgreSQL, or in an SQLite file named by a URL. Like any, it never stops a run.

    Raises: LmcError[bad-url, missing-extra], at once.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        super().__init__(Path(self._engine.url.render_as_string(hide_password=True)))
        self._made = False
        self._closed_until_s = 0.0
        weakref.finalize(self, self._engine.dispose).atexit = False

    @property
    def shown(self) -> str:
        """Where it is, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    def look_up(self, keys: Sequence[str]) -> dict[str, Answer]:
        """As `Cache.look_up`."""
        from sqlalchemy import select

        answers = self._unsaved_of(keys)
        for start in range(0, len(keys), _MOST_ROWS):
            t = _tables()[0].c
            some = [key for key in keys[start : start + _MOST_ROWS] if key not in answers]
            query = select(t.key, t.answer).where(t.key.in_(some))
            for key, text in self._rows_in(query) if some else ():
                if (answer := answer_from_json(text)) is not None:
                    answers[key] = answer
        self.hits += len(answers)
        return answers

    def write(self, answers: Mapping[str, Answer]) -> None:
        """As `Cache.write`. The database has the answers when it returns."""
        if self._unsaved:
            answers, self._unsaved = {**self._unsaved, **answers}, {}
        now_s, table = int(time.time()), _tables()[0]
        rows = [
            {"key": key, "answer": answer_to_json(answer), "created_s": now_s}
            for key, answer in answers.items()
        ]
        rows.sort(key=lambda row: str(row["key"]))  # two writers never wait for each other
        if not self._do([self._replacing(table, rows[i : i + _MOST_ROWS])
                         for i in range(0, len(rows), _MOST_ROWS)]):  # fmt: skip
            self._keep(answers)

    def stats(self) -> CacheStats:
        """The entries, their size as text, and the hits so far."""
        from sqlalchemy import func, select

        answers, counters = _tables()
        size = func.coalesce(func.sum(func.length(answers.c.answer)), 0)
        found = self._rows_in(select(func.count(), size).select_from(answers)) or [(0, 0)]
        hits = self._rows_in(select(counters.c.value).where(counters.c.name == "hits"))
        earlier = hits[0][0] if hits else 0
        return CacheStats(self.path, found[0][0], int(found[0][1]), earlier + self.hits)

    def clear(self) -> int:
        """As `Cache.clear`. Raises: LmcError[cannot-write]."""
        from sqlalchemy import delete

        entries = self.stats().entries
        if not self._do([delete(table) for table in _tables()]):
            raise LmcError.of("cannot-write", f"cannot clear {self.shown}")
        self.hits = 0
        return entries

    def close(self) -> None:
        """Save the number of hits, and close the connections. A later use opens them again."""
        if self._unsaved:
            self._closed_until_s = 0.0
            self.write({})
        if self.hits and self._made:
            table = _tables()[1]
            insert = self._insert(table).values(name="hits", value=self.hits)
            more = {"value": table.c.value + insert.excluded.value}
            self._do([insert.on_conflict_do_update(index_elements=["name"], set_=more)])
            self.hits = 0
        self._engine.dispose()

    def _unsaved_of(self, keys: Sequence[str]) -> dict[str, Answer]:
        from dataclasses import replace

        found = ((key, self._unsaved.get(key)) for key in keys)
        return {key: replace(answer, cached=True) for key, answer in found if answer is not None}

    def _replacing(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> Any:
        insert = self._insert(table).values(rows)
        new = {name: insert.excluded[name] for name in ("answer", "created_s")}
        return insert.on_conflict_do_update(index_elements=["key"], set_=new)

    def _insert(self, table: Table) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        return (sqlite if self._engine.name == "sqlite" else postgresql).insert(table)

    def _rows_in(self, query: Any) -> list[Any]:
        from sqlalchemy.exc import SQLAlchemyError

        if time.monotonic() < self._closed_until_s:
            return []
        try:
            self._make()
            with self._engine.connect() as db:
                return list(db.execute(query))
        except (SQLAlchemyError, OSError) as problem:
            self._pause(problem)
            return []

    def _do(self, statements: Sequence[Any]) -> bool:
        """Whether the statements were done, in one transaction."""
        from sqlalchemy.exc import SQLAlchemyError

        if time.monotonic() < self._closed_until_s:
            return False
        try:
            self._make()
            with self._engine.begin() as db:
                for statement in statements:
                    db.execute(statement)
        except (SQLAlchemyError, OSError) as problem:
            self._pause(problem)
            return False
        self.problem = None
        return True

    def _make(self) -> None:
        """Make the tables, unless another process makes them at this moment."""
        from sqlalchemy import inspect
        from sqlalchemy.exc import SQLAlchemyError

        if self._made:
            return
        names = {table.name for table in _tables()}
        try:
            _tables()[0].metadata.create_all(self._engine)
        except SQLAlchemyError:
            if not names <= set(inspect(self._engine).get_table_names()):
                raise
        self._made = True

    def _pause(self, problem: Exception) -> None:
        """Go on without the cache for a while: answers are held, and written later."""
        self._closed_until_s = time.monotonic() + _PAUSE_S
        reason = redact(str(getattr(problem, "orig", None) or problem)).partition("\n")[0]
        message = f"answers are not cached: {self.shown}: {reason}"
        told, self.problem = self.problem, warning("cache-unusable", message)
        if told is None:
            _log.warning(message)

    def _keep(self, answers: Mapping[str, Answer]) -> None:
        problem, self.problem = self.problem, None  # it is a pause, and no end
        super()._keep(answers)
        self.problem = problem


def _engine(url: str) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        parsed = make_url(url)
    except ArgumentError:
        help = "write a file, or a URL such as `postgresql+psycopg://user@host/db`"
        raise LmcError.of("bad-url", "this is not the place of a cache", help=help) from None
    shown, kind = parsed.render_as_string(hide_password=True), parsed.get_backend_name()
    if kind not in ("postgresql", "sqlite"):
        raise LmcError.of("bad-url", f"a cache is in PostgreSQL or a file, not in {shown}")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "postgresql":
        options["connect_args"] = {"connect_timeout": _CONNECT_S}
    try:
        return create_engine(parsed, **options)
    except (ImportError, NoSuchModuleError) as missing:
        message = f"there is no driver for {shown}: {missing}"
        help = 'pip install "lmc-lang[postgres]"'
        raise LmcError.of("missing-extra", message, help=help) from None


_made: list[Table] = []


def _tables() -> tuple[Table, Table]:
    """The answers and the counters. SQLAlchemy is imported at the first use."""
    if not _made:
        from sqlalchemy import Column, Integer, MetaData, String, Table, Text

        metadata = MetaData()
        key, value = Column("key", String(64), primary_key=True), Column("answer", Text)
        _made.append(Table("lmc_answers", metadata, key, value, Column("created_s", Integer)))
        name = Column("name", String(20), primary_key=True)
        _made.append(Table("lmc_counters", metadata, name, Column("value", Integer)))
    return _made[0], _made[1]
