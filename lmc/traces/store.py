"""The trace store: keeps every run on a row with all its calls, and reads them by filters.

It is an SQLite file in the folder `.lmc`. The environment variable `LMC_TRACES` can name another
database by its SQLAlchemy URL.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.files import MAKE_ROOM, is_full, make_private_file
from lmc.frozen import frozen
from lmc.models.base import SampledTokens
from lmc.models.tool_calls import message_data
from lmc.prompts.spec import Message
from lmc.redaction import logger
from lmc.requests.usage import Usage
from lmc.runtime.traces import CallTrace, RegionTrace, Trace

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Select, Table

_log = logger(__name__)
DEFAULT_PATH = Path(".lmc/traces.db")
BUSY_S = 60.0  # how long a writer waits for another writer
_CHUNK = 500  # ids in one query


@frozen
class Run:
    """One scored run of a program on one row. `parameters` is the digest of its parameters."""

    job: str
    program: str
    target: str
    stage: str
    row: str
    parameters: str
    values: Mapping[str, Any]
    trace: Trace
    score: float | None = None
    pred: Any = None
    feedback: str = ""
    failed: str = ""
    error: str | None = None
    training: bool = False
    sample: int = 0
    variant: str = ""  # tells runs of equal parameters apart, such as the teacher
    created: float = field(default_factory=time.time, compare=False)
    rewards: Mapping[str, float | None] = field(default_factory=dict)  # by module, if told apart

    @property
    def id(self) -> str:
        """The id of the run. If a killed job makes the run again, the id is the same."""
        parts = [self.job, self.target, self.row, self.parameters, self.training]
        return _digest(json.dumps([*parts, self.sample, self.variant], ensure_ascii=False))

    @property
    def most(self) -> float:
        """The score or the highest reward of a module; below all numbers if there is neither."""
        known = [value for value in (self.score, *self.rewards.values()) if value is not None]
        return max(known, default=float("-inf"))

    def worth(self, module: str) -> float | None:
        """What a module's calls in this run deserve; None if nothing is known about them.

        It is the reward of the module, whose name may stand without its file, else the score.
        """
        for name in (module, module.rpartition(".")[2]):
            if name in self.rewards:
                return self.rewards[name]
        return self.score


@frozen
class Filter:
    """Selects runs: those that match every field that is not None."""

    job: str | None = None
    program: str | None = None
    target: str | None = None
    stage: str | None = None
    row: str | None = None
    parameters: str | None = None
    training: bool | None = None
    module: str | None = None  # runs with a call of this module
    min_score: float | None = None
    max_score: float | None = None
    failed: bool | None = None
    ids: Sequence[str] | None = None
    limit: int | None = None


@frozen
class JobSummary:
    """A summary of the stored runs of one job."""

    job: str
    program: str
    target: str
    runs: int
    rows: int
    failed: int
    mean_score: float | None
    calls: int
    tokens: int
    cost_usd: float
    created: float


class TraceStore:
    """Runs on disk. Several processes may use it. A run that is added again is replaced."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url or os.environ.get("LMC_TRACES") or f"sqlite:///{DEFAULT_PATH}"

    def open(self) -> TraceStore:
        """Open the store now rather than at its first use. Raises: LmcError[cannot-read, …]."""
        _ = self._engine
        return self

    @cached_property
    def _engine(self) -> Engine:
        engine = _open(self._url)
        weakref.finalize(self, engine.dispose).atexit = False  # for a store that nobody closes
        return engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for a block that reads. Raises: LmcError[cannot-read]."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.connect() as db:
                yield db
        except SQLAlchemyError as problem:
            raise _cannot("read", self.location, problem) from None

    @property
    def location(self) -> str:
        """The URL of the database, without a password."""
        return self._engine.url.render_as_string(hide_password=True)

    def add(self, runs: Sequence[Run], parameters: Mapping[str, Any]) -> None:
        """Store runs of one set of parameters in one transaction.

        Raises: LmcError[cannot-write].
        """
        from sqlalchemy import delete, insert
        from sqlalchemy.exc import SQLAlchemyError

        from lmc.traces import tables as t

        if not runs:
            return
        texts: dict[str, str] = {}
        rows = [_run_row(run) for run in runs]
        regions = [_region_row(run.id, r) for run in runs for r in run.trace.regions]
        calls = [_call_row(run, call, texts) for run in runs for call in run.trace.calls]
        ids = [run.id for run in runs]
        digest = {"digest": runs[0].parameters, "data": parameters}
        try:
            with self._engine.begin() as db:
                _add_missing(db, t.parameters, [digest])
                _add_missing(db, t.texts, [{"digest": d, "text": x} for d, x in texts.items()])
                for some in _chunks(ids):
                    for table, column in ((t.calls, "run"), (t.regions, "run"), (t.runs, "id")):
                        db.execute(delete(table).where(table.c[column].in_(some)))
                for table, new in ((t.runs, rows), (t.regions, regions), (t.calls, calls)):
                    if new:
                        db.execute(insert(table), new)
        except SQLAlchemyError as problem:
            raise _cannot("write", self.location, problem) from None

    def runs(self, where: Filter | None = None) -> Iterator[Run]:
        """Runs with their traces, in the order they were added; a damaged one is left out.

        Raises: LmcError[cannot-read].
        """
        from sqlalchemy import select

        from lmc.traces import tables as t

        with self.reading() as db:
            ids = list(db.scalars(filtered(select(t.runs.c.id), where or Filter())))
            for some in _chunks(ids):
                yield from _readable(db, some)

    def parameters(self, digest: str) -> Mapping[str, Any] | None:
        """The parameters of a run, as JSON."""
        from sqlalchemy import select

        from lmc.traces import tables as t

        with self._engine.connect() as db:
            found = db.execute(select(t.parameters.c.data).where(t.parameters.c.digest == digest))
            data: Mapping[str, Any] | None = found.scalar()
            return data

    def jobs(self) -> list[JobSummary]:
        """The stored jobs, newest last. Raises: LmcError[cannot-read]."""
        from sqlalchemy import func, select

        from lmc.traces import tables as t

        r, c = t.runs.c, t.calls.c
        used = (
            select(
                c.run,
                func.sum(c.calls).label("calls"),
                func.sum(c.prompt_tokens + c.completion_tokens).label("tokens"),
                func.sum(c.cost_usd).label("usd"),
            )
            .group_by(c.run)
            .subquery()
        )
        query = (
            select(
                r.job,
                func.min(r.program),
                func.min(r.target),
                func.count(),
                func.count(r.row.distinct()),
                func.count().filter(r.failed != ""),
                func.avg(r.score),
                func.coalesce(func.sum(used.c.calls), 0),
                func.coalesce(func.sum(used.c.tokens), 0),
                func.coalesce(func.sum(used.c.usd), 0.0),
                func.max(r.created),
            )
            .outerjoin(used, used.c.run == r.id)
            .group_by(r.job)
            .order_by(func.max(r.created))
        )
        with self.reading() as db:
            return [_summary(row) for row in db.execute(query)]

    def remove(self, job: str) -> int:
        """Delete a job. Returns the number of its runs. Raises: LmcError[cannot-write]."""
        from sqlalchemy import delete, select
        from sqlalchemy.exc import SQLAlchemyError

        from lmc.traces import tables as t

        of_job = select(t.runs.c.id).where(t.runs.c.job == job)
        try:
            with self._engine.begin() as db:
                for table in (t.calls, t.regions):
                    db.execute(delete(table).where(table.c.run.in_(of_job)))
                gone = db.execute(delete(t.runs).where(t.runs.c.job == job)).rowcount
                used = select(t.runs.c.parameters)
                db.execute(delete(t.parameters).where(t.parameters.c.digest.not_in(used)))
            return int(gone)
        except SQLAlchemyError as problem:
            raise _cannot("write", self.location, problem) from None

    def close(self) -> None:
        """Close the database. It opens again at its next use."""
        engine = self.__dict__.pop("_engine", None)
        if engine is not None:
            engine.dispose()


def _summary(row: Sequence[Any]) -> JobSummary:
    """Sums are whole numbers, though PostgreSQL has another type for those of large ones."""
    job, program, target, runs, rows, failed, mean, calls, tokens, usd, created = row
    told = (job, program, target, runs, rows, failed, mean)
    return JobSummary(*told, int(calls), int(tokens), float(usd), created)


def parameters_digest(data: Mapping[str, Any]) -> str:
    """A digest of parameters: equal parameters have equal digests."""
    return _digest(json.dumps(data, sort_keys=True, ensure_ascii=False))


def _open(url: str) -> Engine:
    """An engine whose tables exist. On SQLite, it uses a write-ahead log."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    from lmc.traces import tables as t

    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{url}")
    except ArgumentError:
        help = "write a file, or a URL such as `postgresql+psycopg://user@host/db`"
        raise LmcError.of(
            "bad-url", "this is not the file or URL of a trace store", help=help
        ) from None
    shown, engine = parsed.render_as_string(hide_password=True), None
    try:
        named = parsed.database and parsed.database != ":memory:"
        if parsed.get_backend_name() == "sqlite" and named:
            make_private_file(Path(str(parsed.database)))
        engine = create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
        for table in t.metadata.sorted_tables:
            _make(table, engine)
            _add_columns(table, engine)
    except (ImportError, NoSuchModuleError) as missing:
        message = f"there is no driver for {shown}: {missing}"
        raise LmcError.of("missing-extra", message, help="install the driver") from None
    except (OSError, SQLAlchemyError) as problem:
        if engine is not None:
            engine.dispose()
        raise _cannot("open", shown, problem) from None
    return engine


def _make(table: Table, engine: Engine) -> None:
    """Create a table, unless it exists, or another process creates it at this moment."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import SQLAlchemyError

    try:
        table.create(engine, checkfirst=True)
    except SQLAlchemyError:
        if not inspect(engine).has_table(table.name):
            raise


def _add_columns(table: Table, engine: Engine) -> None:
    """Add the columns that an earlier version did not have. They may all be empty."""
    from sqlalchemy import inspect, text
    from sqlalchemy.exc import SQLAlchemyError

    there = {column["name"] for column in inspect(engine).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            kind = column.type.compile(engine.dialect)
            try:
                with engine.begin() as db:
                    db.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
            except SQLAlchemyError:  # unless another process added it at this moment
                if column.name not in {c["name"] for c in inspect(engine).get_columns(table.name)}:
                    raise


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _cannot(verb: str, where: str, problem: Exception) -> LmcError:
    reason = str(getattr(problem, "orig", None) or problem).partition("\n")[0]
    full = is_full(problem) or "full" in reason or "disk I/O" in reason
    slug = "cannot-write" if verb == "write" or full else "cannot-read"
    elsewhere = "set LMC_TRACES to another file or URL" if verb == "open" else None
    help = MAKE_ROOM if full else elsewhere
    return LmcError.of(slug, f"cannot {verb} the trace store {where}: {reason}", help=help)


def filtered(query: Select[Any], where: Filter) -> Select[Any]:
    """A query of runs that chooses those that match, in the order they were added."""
    from sqlalchemy import select

    from lmc.traces import tables as t

    r = t.runs.c
    for name in ("job", "program", "target", "stage", "row", "parameters", "training"):
        if (wanted := getattr(where, name)) is not None:
            query = query.where(r[name] == wanted)
    if where.module is not None:
        of_module = select(t.calls.c.run).where(t.calls.c.module == where.module)
        query = query.where(r.id.in_(of_module))
    if where.min_score is not None:
        query = query.where(r.score >= where.min_score)
    if where.max_score is not None:
        query = query.where(r.score <= where.max_score)
    if where.failed is not None:
        query = query.where((r.failed != "") if where.failed else (r.failed == ""))
    if where.ids is not None:
        query = query.where(r.id.in_(where.ids))
    return query.order_by(r.created, r.row, r.sample).limit(where.limit)


def _readable(db: Connection, ids: Sequence[str]) -> list[Run]:
    """The runs with these ids, but for those that are damaged."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _whole(db, ids)
    except (ValueError, LookupError, TypeError, AttributeError, SQLAlchemyError) as problem:
        if isinstance(problem, SQLAlchemyError) and "decode" not in str(problem):
            raise
        if len(ids) > 1:
            return [run for id in ids for run in _readable(db, [id])]
        _log.warning("run %s in the trace store is damaged, and left out: %s", ids[0], problem)
        return []


def _whole(db: Connection, ids: Sequence[str]) -> list[Run]:
    """Runs with their calls and regions, in the order of their ids."""
    from sqlalchemy import select

    from lmc.traces import tables as t

    query = select(t.runs).where(t.runs.c.id.in_(ids))
    by_id = {row["id"]: row for row in db.execute(query).mappings()}
    rows = [by_id[id] for id in ids]
    traces = {id: Trace() for id in ids}
    regions = db.execute(select(t.regions).where(t.regions.c.run.in_(ids))).mappings()
    for region in regions:
        traces[region["run"]].regions.append(_region(dict(region)))
    calls = db.execute(select(t.calls).where(t.calls.c.run.in_(ids))).mappings().all()
    digests = list({d for call in calls for _, *said in call["messages"] for d in said})
    texts: dict[str, str] = {}
    for some in _chunks(digests):
        stored = db.execute(select(t.texts).where(t.texts.c.digest.in_(some)))
        texts.update((digest, text) for digest, text in stored)
    for call in calls:
        traces[call["run"]].calls.append(_call(dict(call), texts))
    found = []
    for row in rows:
        trace = traces[row["id"]]
        trace.sort()
        names = ("job", "program", "target", "stage", "row", "parameters", "values", "score")
        more = ("pred", "feedback", "failed", "error", "training", "sample", "variant", "created")
        given = {name: row[name] for name in (*names, *more)}
        found.append(Run(**given, trace=trace, rewards=row["rewards"] or {}))
    return found


def _run_row(run: Run) -> dict[str, Any]:
    names = ("job", "program", "target", "stage", "row", "parameters", "score", "pred", "feedback")
    more = ("failed", "error", "training", "sample", "variant", "created")
    given = {name: getattr(run, name) for name in (*names, *more)}
    rewards = dict(run.rewards) or None
    return {**given, "id": run.id, "values": dict(run.values), "rewards": rewards}


def _region_row(run: str, region: RegionTrace) -> dict[str, Any]:
    return {
        "run": run,
        "place": region.id,
        "parent": region.parent,
        "kind": region.kind,
        "name": region.name,
        "inputs": region.inputs,
        "result": region.result,
        "detail": region.detail,
        "error": region.error,
    }


def _region(row: Mapping[str, Any]) -> RegionTrace:
    names = ("parent", "kind", "name", "inputs", "result", "detail", "error")
    return RegionTrace(_place(row["place"]), **{name: row[name] for name in names})


_CALL = (
    *("parent", "module", "role", "sample", "model", "adapter", "inputs", "outputs", "result"),
    *("check", "raw", "attempts", "latency_ms", "error", "infrastructure", "dropped"),
)
_USAGE = ("calls", "cached_calls", "prompt_tokens", "completion_tokens", "cost_usd")


def _call_row(run: Run, call: CallTrace, texts: dict[str, str]) -> dict[str, Any]:
    messages = []
    for message in call.messages:
        said = [message["content"], *filter(None, [message_data(message)])]
        texts |= {_digest(text): text for text in said}
        messages.append([message["role"], *map(_digest, said)])
    given = {name: getattr(call, name) for name in _CALL}
    used = {name: getattr(call.usage, name) for name in _USAGE}
    group = run.trace.group_of(call)
    own = {"run": run.id, "place": call.id, "sample_group": group, "messages": messages}
    logprobs = list(call.logprobs) if call.logprobs is not None else None
    sampled = None if call.sampled is None else call.sampled.to_json(call.logprobs)
    return {**given, **used, **own, "logprobs": logprobs, "sampled": sampled}


def _call(row: Mapping[str, Any], texts: Mapping[str, str]) -> CallTrace:
    sampled, logprobs = row["sampled"], row["logprobs"]
    return CallTrace(
        place=_place(row["place"]),
        messages=[_message(role, *(texts[d] for d in said)) for role, *said in row["messages"]],
        logprobs=tuple(logprobs) if logprobs is not None else None,
        usage=Usage(**{name: row[name] for name in _USAGE}),
        sampled=SampledTokens.from_json(sampled, logprobs) if sampled else None,
        **{name: row[name] for name in _CALL} | {"dropped": row["dropped"] or 0},
    )


def _message(role: str, content: str, more: str = "{}") -> Message:
    """A message, with its calls of tools if it has any."""
    return {"role": role, "content": content, **json.loads(more)}


def _place(id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in id.split("/") if part)


def _add_missing(db: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows by digest. Another process may add the same ones at this moment."""
    from sqlalchemy import insert, select

    known: set[str] = set()
    for some in _chunks([row["digest"] for row in rows]):
        known.update(db.scalars(select(table.c.digest).where(table.c.digest.in_(some))))
    if new := [row for row in rows if row["digest"] not in known]:
        if db.engine.name == "postgresql":
            from sqlalchemy.dialects import postgresql

            new.sort(key=lambda row: str(row["digest"]))  # two writers never wait for each other
            db.execute(postgresql.insert(table).on_conflict_do_nothing(), new)
        else:
            db.execute(insert(table).prefix_with("OR IGNORE", dialect="sqlite"), new)


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
