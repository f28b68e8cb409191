"""The journal of accepted jobs: an SQLite file that holds each row until it has an answer.

A job is in the file, and the file on the disk, before its client hears that it was accepted. So a
process that is killed loses none. One server uses the file; another one is refused.
"""

from __future__ import annotations

import json
import secrets
import time
import weakref
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.files import MAKE_ROOM, is_full, make_private_file
from lmc.frozen import frozen

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

WAITING, OK, FAILED, CANCELLED = "waiting", "ok", "failed", "cancelled"
FORMAT = 1
_DAY_S = 86_400.0


@frozen
class AcceptedJob:
    """An accepted job. `counts` has how many rows are in each state."""

    id: str
    owner: str
    key: str | None
    digest: str
    program: str
    target: str
    created: float
    rows: int
    counts: dict[str, int]

    @property
    def state(self) -> str:
        """`waiting`, `running`, `done` or `cancelled`."""
        if self.counts.get(CANCELLED):
            return CANCELLED
        waiting = self.counts.get(WAITING, 0)
        return "done" if not waiting else WAITING if waiting == self.rows else "running"


@frozen
class JobRow:
    """One row of a job, with its inputs as they were given."""

    job: str
    number: int
    program: str
    target: str
    owner: str
    inputs: dict[str, Any]


@frozen
class RowAnswer:
    """The outcome of a row: the body of its answer, or a problem document."""

    job: str
    number: int
    state: str
    answer: dict[str, Any]


class JobJournal:
    """The database of a server's jobs. Use it in one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _engine(self) -> Engine:
        engine = _open(self.path)
        weakref.finalize(self, engine.dispose).atexit = False  # for a journal that nobody closes
        return engine

    def open(self) -> None:
        """Open the file. Raises: LmcError[cannot-open-jobs], also if another server has it."""
        _ = self._engine

    def close(self) -> None:
        """Close the file, so that another server may use it."""
        if "_engine" in self.__dict__:
            self.__dict__.pop("_engine").dispose()

    def accept(
        self,
        owner: str,
        key: str | None,
        digest: str,
        target: tuple[str, str],
        rows: Sequence[dict[str, Any]],
        most_waiting: int,
    ) -> tuple[AcceptedJob, bool]:
        """Add a job, unless one has the owner's key. Returns it, and whether it is new.

        Raises: LmcError[key-reused, too-busy, cannot-write].
        """
        from sqlalchemy import func, insert, select

        from lmc.serve import tables as t

        with self._use() as db:
            if key is not None:
                same = (t.jobs.c.owner == owner) & (t.jobs.c.key == key)
                known = db.execute(select(t.jobs.c.id, t.jobs.c.digest).where(same)).one_or_none()
                if known is not None:
                    _require_same(known.digest, digest)
                    return self._job(db, known.id), False
            waiting = db.scalar(select(func.count()).where(t.rows.c.state == WAITING)) or 0
            if waiting + len(rows) > most_waiting:
                message = f"{waiting:,} rows wait already, and at most {most_waiting:,} may"
                raise LmcError.of("too-busy", message, help="try again later")
            id = secrets.token_hex(16)
            program, name = target
            values = (id, owner, key, digest, program, name, time.time(), len(rows))
            names = [column.name for column in t.jobs.columns]
            db.execute(insert(t.jobs), [dict(zip(names, values))])
            new = [
                {"job": id, "number": i, "state": WAITING, "inputs": json.dumps(row)}
                for i, row in enumerate(rows)
            ]
            db.execute(insert(t.rows), new)
            return self._job(db, id), True

    def job(self, id: str, owner: str) -> AcceptedJob:
        """A job of its owner. Raises: LmcError[unknown-job]."""
        with self._use() as db:
            found = self._job(db, id, owner)
        return found

    def answers(self, id: str, start: int, most: int) -> list[RowAnswer]:
        """The outcomes of so many rows from a number on; those that wait have none."""
        from sqlalchemy import select

        from lmc.serve import tables as t

        r = t.rows.c
        query = select(r.number, r.state, r.answer).where(r.job == id, r.number >= start)
        with self._use() as db:
            found = db.execute(query.order_by(r.number).limit(most)).all()
        return [RowAnswer(id, x.number, x.state, json.loads(x.answer or "{}")) for x in found]

    def waiting(self, most: int) -> list[JobRow]:
        """Rows that wait: the first of each job, then the second of each, and so on."""
        from sqlalchemy import select

        from lmc.serve import tables as t

        r, j = t.rows.c, t.jobs.c
        query = (
            select(r.job, r.number, j.program, j.target, j.owner, r.inputs)
            .join(t.jobs, j.id == r.job)
            .where(r.state == WAITING)
            .order_by(r.number, j.created)
            .limit(most)
        )
        with self._use() as db:
            found = db.execute(query).all()
        return [JobRow(*row[:5], json.loads(row.inputs)) for row in found]

    def finish(self, answers: Iterable[RowAnswer]) -> set[str]:
        """Keep the answers of rows that still wait. Returns the jobs that are done now."""
        from sqlalchemy import func, select, update

        from lmc.serve import tables as t

        r, touched = t.rows.c, set()
        with self._use() as db:
            for one in answers:
                touched.add(one.job)
                this = (r.job == one.job) & (r.number == one.number) & (r.state == WAITING)
                kept = {"state": one.state, "answer": json.dumps(one.answer)}
                db.execute(update(t.rows).where(this).values(kept))
            open_ = select(r.job).where(r.job.in_(touched), r.state == WAITING)
            return touched - set(db.scalars(open_.group_by(r.job).having(func.count() > 0)))

    def cancel(self, id: str, owner: str) -> AcceptedJob:
        """Take the waiting rows of a job back. Raises: LmcError[unknown-job]."""
        from sqlalchemy import update

        from lmc.serve import tables as t

        with self._use() as db:
            self._job(db, id, owner)
            waiting = (t.rows.c.job == id) & (t.rows.c.state == WAITING)
            db.execute(update(t.rows).where(waiting).values(state=CANCELLED))
            return self._job(db, id)

    def purge(self, keep_days: float) -> int:
        """Forget jobs without waiting rows that are older. Returns how many."""
        from sqlalchemy import delete, select

        from lmc.serve import tables as t

        r, j = t.rows.c, t.jobs.c
        busy = select(r.job).where(r.state == WAITING)
        old = (j.created < time.time() - keep_days * _DAY_S) & j.id.not_in(busy)
        with self._use() as db:
            ids = list(db.scalars(select(j.id).where(old)))
            for start in range(0, len(ids), 500):
                some = ids[start : start + 500]
                db.execute(delete(t.rows).where(r.job.in_(some)))
                db.execute(delete(t.jobs).where(j.id.in_(some)))
        return len(ids)

    def _job(self, db: Connection, id: str, owner: str | None = None) -> AcceptedJob:
        from sqlalchemy import func, select

        from lmc.serve import tables as t

        found = db.execute(select(t.jobs).where(t.jobs.c.id == id)).one_or_none()
        if found is None or owner not in (None, found.owner):
            raise LmcError.of("unknown-job", f"there is no job `{id[:40]}`")
        counted = select(t.rows.c.state, func.count().label("n")).where(t.rows.c.job == id)
        by_state = db.execute(counted.group_by(t.rows.c.state))
        counts = {row.state: row.n for row in by_state}
        return AcceptedJob(**found._mapping, counts=counts)

    def _use(self) -> _Transaction:
        return _Transaction(self._engine, self.path)


class _Transaction:
    """A transaction whose failures are LmcErrors."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._begun, self._path = engine.begin(), path

    def __enter__(self) -> Connection:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return self._begun.__enter__()
        except SQLAlchemyError as problem:
            raise _cannot("use", self._path, problem) from None

    def __exit__(self, *exc: Any) -> bool | None:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._begun.__exit__(*exc)
        except SQLAlchemyError as problem:
            raise _cannot("write", self._path, problem) from None
        if isinstance(exc[1], SQLAlchemyError):
            raise _cannot("use", self._path, exc[1]) from None
        return None


def _require_same(known: str, given: str) -> None:
    if known != given:
        message = "this `Idempotency-Key` came with another request before"
        raise LmcError.of("key-reused", message, help="use a new key for a new request")


def _open(path: Path) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import StaticPool

    from lmc.serve import tables as t

    engine = None
    try:
        make_private_file(path)
        # One connection, which holds the lock of the file as long as it is open.
        options: dict[str, Any] = {"poolclass": StaticPool}
        options["connect_args"] = {"check_same_thread": False, "timeout": 1.0}
        engine = create_engine(f"sqlite:///{path}", **options)
        event.listen(engine, "connect", _configure)
        with engine.begin() as db:
            t.metadata.create_all(db)
            version = db.exec_driver_sql("PRAGMA user_version").scalar() or FORMAT
            if version > FORMAT:
                raise OSError("a newer lmc wrote it")
            db.exec_driver_sql(f"PRAGMA user_version = {FORMAT}")
    except (OSError, SQLAlchemyError) as problem:
        if engine is not None:
            engine.dispose()
        raise _cannot("open", path, problem) from None
    return engine


def _configure(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was accepted survives a power cut


def _cannot(verb: str, path: Path, problem: Exception) -> LmcError:
    reason = str(getattr(problem, "orig", None) or problem).partition("\n")[0]
    if "locked" in reason:
        message = f"another server has the jobs in {path}"
        return LmcError.of("cannot-open-jobs", message, help="name another file: `--jobs FILE`")
    full = is_full(problem) or "full" in reason
    slug = "cannot-open-jobs" if verb == "open" else "cannot-write"
    message = f"cannot {verb} the jobs in {path}: {reason}"
    return LmcError.of(slug, message, help=MAKE_ROOM if full else None)
