"""Rows of a query of a database: `sqlite:///mail.db#SELECT message, desk FROM mail`.

Only the user names a database, on the command line or in Python; a program cannot. The query reads:
it is one statement, in a transaction that cannot write and is rolled back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lmc.diagnostics import LmcError, error
from lmc.frozen import frozen
from lmc.redaction import redact

_AT_ONCE = 500  # rows that are fetched
_URL = re.compile(r"[a-z][a-z0-9]*(\+[a-z0-9_]+)?://", re.IGNORECASE)
_SPACE = re.compile(r"(\s+|--[^\n]*(\n|$)|/\*.*?\*/)*", re.DOTALL)
_READS = ("select", "with", "values", "table", "show", "describe", "pragma_table_info")
# What makes a transaction read only, by dialect.
_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}


def is_query(text: str) -> bool:
    """Whether a text names a database and a query, rather than a file."""
    return _URL.match(text) is not None


@frozen
class Query:
    """A query of a database. The URL is not shown whole, for it may have a password."""

    url: str
    statement: str

    @classmethod
    def read(cls, text: str) -> Query:
        """`URL#SELECT …`. Raises: LmcError[bad-query]."""
        url, _, statement = text.partition("#")
        if not statement.strip():
            message = f"`{redact(url)}` names a database, but no query"
            help = 'write the query behind `#`: "sqlite:///mail.db#SELECT message FROM mail"'
            raise LmcError.of("bad-query", message, help=help)
        query = cls(url, statement.strip().rstrip(";").rstrip())
        word = re.match(r"\w*", query.statement[_SPACE.match(query.statement).end() :])  # type: ignore[union-attr]
        if word is None or word[0].lower() not in _READS:
            message = f"the query of `{query.name}` does not begin with SELECT"
            raise LmcError.of("bad-query", message, help="rows are only read: write a SELECT")
        return query

    @property
    def name(self) -> str:
        """The URL without its password."""
        return redact(self.url)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, fetched some at a time. Raises: LmcError[cannot-query, missing-extra]."""
        with self._running() as connection:
            from sqlalchemy import text

            # A colon in a query is no parameter.
            statement = text(self.statement.replace(":", "\\:"))
            found = connection.execution_options(yield_per=_AT_ONCE).execute(statement)
            names = list(found.keys())
            if len({*names}) < len(names):
                message = f"the query of `{self.name}` gives a column twice: {', '.join(names)}"
                raise LmcError.of("bad-query", message, help="name columns with AS")
            for values in found:
                yield dict(zip(names, values))

    @contextmanager
    def _running(self) -> Iterator[Any]:
        try:
            from sqlalchemy import create_engine
            from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
            from sqlalchemy.pool import NullPool
        except ImportError:  # pragma: no cover - a dependency
            raise
        try:
            engine = create_engine(self.url, poolclass=NullPool)
            _require_file(engine)
        except ModuleNotFoundError as missing:
            message = f"`{self.name}` needs the package `{missing.name}`"
            raise LmcError.of("missing-extra", message, help="install the driver") from None
        except (ArgumentError, NoSuchModuleError, OSError, ValueError) as problem:
            raise self._failure(problem) from None
        try:
            with engine.connect() as connection:
                connection = _read_only(connection, engine.dialect.name)
                try:
                    yield connection
                finally:
                    connection.rollback()
        except SQLAlchemyError as problem:
            raise self._failure(problem) from None
        finally:
            engine.dispose()

    def _failure(self, problem: Exception) -> LmcError:
        words = str(getattr(problem, "orig", None) or problem).splitlines()
        told = f"cannot read rows from `{self.name}`: {words[0] if words else problem}"
        return LmcError(error("cannot-query", told))


def _require_file(engine: Any) -> None:
    """See that the file of an SQLite database is there: SQLite would make it. Raises: OSError."""
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not os.path.exists(file):
        raise OSError(f"there is no file `{file}`")


def _read_only(connection: Any, dialect: str) -> Any:
    if dialect == "postgresql":
        return connection.execution_options(postgresql_readonly=True)
    if command := _READ_ONLY.get(dialect):
        connection.exec_driver_sql(command)
    return connection
