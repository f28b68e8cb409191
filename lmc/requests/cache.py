"""The response cache: SQLite in WAL mode, one row per sample, safe across processes and kills."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lmc.diagnostics import Diagnostic, LmcError, error, warning
from lmc.files import cache_folder, make_private_file
from lmc.frozen import frozen
from lmc.models import quick_json
from lmc.models.base import (
    NO_DETAILS,
    Answer,
    Request,
    SampledTokens,
    Sampling,
    TokenDetails,
    ToolCall,
)
from lmc.models.tool_calls import message_data
from lmc.redaction import logger

_log = logger(__name__)
IN_MEMORY = Path(":memory:")  # a cache of this process, lost when it is closed
_KEY_VERSION = 2
_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_BUSY_TIMEOUT_S = 1.0  # the event loop is blocked meanwhile
_LOCKED_S = 5.0  # pause after a lock by another process
_MOST_UNSAVED = 100_000
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_MOST_VALUES = 500  # per query; old builds of SQLite take 999
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, created_s INTEGER);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
# WAL with NORMAL: a commit survives a kill of the process at once, and costs no fsync.
_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;"


@frozen
class CacheStats:
    """The contents of the cache. `hits` counts over all processes that closed it."""

    path: Path
    entries: int
    bytes: int
    hits: int


def default_path() -> Path:
    """`responses.db` in the folder LMC_CACHE_DIR, else in the user's cache folder."""
    return cache_folder() / "responses.db"


def sample_keys(endpoint: str, request: Request) -> list[str]:
    """One key per sample of a request: a SHA-256 of everything that can change the answer."""
    digest = _setting(
        endpoint, request.model, request.sampling, request.adapter, request.logprobs
    ).copy()
    texts = [text for m in request.messages for text in _texts(m)]
    lengths = ",".join([str(len(text)) for text in texts])  # so different lists never collide
    schema = _to_json(request.schema) if request.schema is not None else ""
    bound = [schema] if request.grammar is None else [schema, request.grammar]
    if request.tools:
        bound.append("tools" + _to_json(request.tools))
    if request.media:  # their marks, which hold their hashes, stand in the texts
        digest.update(b"media\0")
    digest.update("\0".join([lengths, *texts, *bound]).encode("utf-8", "surrogatepass"))
    return [_extend(digest, i) for i in range(request.index, request.index + request.n)]


def _texts(message: Mapping[str, Any]) -> tuple[str, ...]:
    """What a message says; its calls of tools follow its text."""
    role, content = message["role"], message["content"]
    return (role, content, more) if (more := message_data(message)) else (role, content)


@lru_cache(1024)
def _setting(
    endpoint: str, model: str, sampling: Sampling, adapter: str | None, logprobs: bool
) -> hashlib._Hash:
    s = sampling
    decoding: list[Any] = [_number(s.temperature), _number(s.top_p), s.max_tokens, s.stop, s.seed]
    more = {"reasoning": s.reasoning, "strict": s.strict, "extra": s.extra, "headers": s.headers}
    if given := {name: value for name, value in more.items() if value not in (None, "", ())}:
        decoding.append(given)  # keys of requests without any are those of earlier versions
    stem = _to_json([_KEY_VERSION, endpoint, model, decoding, adapter, logprobs])
    return hashlib.sha256(stem.encode() + b"\0")


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _extend(digest: hashlib._Hash, index: int) -> str:
    one = digest.copy()
    one.update(b"#%d" % index)
    return one.hexdigest()


class Cache:
    """The response cache. It never stops a run: with a broken file, the run goes on uncached.

    Then `problem` says why nothing is kept, as a warning for the user. If another process locks
    the file, the cache pauses and writes the new answers later. A damaged row loses only itself.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()
        self.problem: Diagnostic | None = None
        self.hits = 0
        self._db: sqlite3.Connection | None = None
        self._let_go: Callable[[], object] = lambda: None  # closes the connection
        self._pid = 0
        self._pending: dict[str, Answer] = {}
        self._unsaved: dict[str, Answer] = {}  # not written yet
        self._locked_until_s = 0.0
        self._committed: list[asyncio.Future[None]] = []  # one per waiting caller
        self._wanted: list[tuple[Sequence[str], asyncio.Future[dict[str, Answer]]]] = []

    @property
    def shown(self) -> str:
        """Where it is, in words."""
        return str(self.path)

    async def find(self, keys: Sequence[str]) -> dict[int, Answer]:
        """Look up answers by place among the keys. Calls in one turn of the loop share a query.

        The caller resumes before anything stored later takes effect, so it misses no answer.
        """
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._find_wanted)
        found: asyncio.Future[dict[str, Answer]] = loop.create_future()
        self._wanted.append((keys, found))
        answers = await found
        return {place: answers[key] for place, key in enumerate(keys) if key in answers}

    def look_up(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers by key, each marked as cached. Keys without an answer are left out."""
        answers: dict[str, Answer] = {}
        for start in range(0, len(keys), _MOST_VALUES):
            for key, text in self._rows_of(keys[start : start + _MOST_VALUES]):
                answer = answer_from_json(text)
                if answer is not None:
                    answers[key.decode() if isinstance(key, bytes) else key] = answer
        if self._unsaved:
            found = ((key, self._unsaved.get(key)) for key in keys)
            answers |= {key: replace(a, cached=True) for key, a in found if a is not None}
        self.hits += len(answers)
        return answers

    def _rows_of(self, keys: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of some keys. If a page of the file is damaged, the readable rows."""
        places = ",".join("?" * len(keys))
        query = f"SELECT key, answer FROM answers WHERE key IN ({places})"  # noqa: S608
        try:
            return self._rows(query, keys)
        except sqlite3.DatabaseError as e:
            if len(keys) == 1:
                _log.warning("an answer in %s cannot be read: %s", self.path, e)
                return []
            return [row for key in keys for row in self._rows_of([key])]

    async def store(self, answers: Mapping[str, Answer]) -> None:
        """Store answers. Calls in the same turn of the event loop share one commit."""
        loop = asyncio.get_running_loop()
        if not self._committed:
            loop.call_soon(self._commit_pending)
        committed = loop.create_future()
        self._committed.append(committed)
        self._pending.update(answers)
        await committed

    def write(self, answers: Mapping[str, Answer]) -> None:
        """Store answers now. After the return, a kill of this process does not lose them."""
        if self._unsaved:
            answers, self._unsaved = {**self._unsaved, **answers}, {}
        now_s = int(time.time())
        rows = [(key, answer_to_json(answer), now_s) for key, answer in answers.items()]
        try:
            if db := self._connection():
                with db:
                    db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
                return
        except sqlite3.Error as e:
            self._keep(answers)
            self._fail(e)
        self._keep(answers)

    def _keep(self, answers: Mapping[str, Answer]) -> None:
        """Hold answers that could not be written, if a later write may succeed."""
        if self.problem is None and len(self._unsaved) < _MOST_UNSAVED:
            self._unsaved.update(answers)

    def stats(self) -> CacheStats:
        """The entries, the size on disk with the log, and the hits so far."""
        try:
            entries = self._rows("SELECT count(*) FROM answers")
            hits = self._rows("SELECT value FROM counters WHERE name = 'hits'")
        except sqlite3.DatabaseError:
            entries, hits = [], []
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        size = sum(f.stat().st_size for f in files if f.exists())
        earlier = hits[0][0] if hits else 0
        return CacheStats(self.path, entries[0][0] if entries else 0, size, earlier + self.hits)

    def clear(self) -> int:
        """Delete all answers, free the space, and return their number.

        Raises: LmcError[cannot-write].
        """
        entries = self.stats().entries
        if db := self._connection():
            try:
                with db:
                    db.execute("DELETE FROM answers")
                    db.execute("DELETE FROM counters")
                db.execute("VACUUM")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as e:
                raise LmcError.of("cannot-write", f"cannot clear {self.path}: {e}") from None
        if self.problem is not None:
            raise LmcError(error("cannot-write", f"cannot clear {self.path}"), self.problem)
        self.hits = 0
        return entries

    def close(self) -> None:
        """Save the number of hits and close the file. A later use opens it again."""
        if self._unsaved and self._pid == os.getpid():
            self._locked_until_s = 0.0
            with contextlib.suppress(LmcError):  # reported already
                self.write({})
        if self._db is None or self._pid != os.getpid():
            return
        with contextlib.suppress(sqlite3.Error):
            if self.hits:
                self._add_hits(self._db)
        with contextlib.suppress(sqlite3.Error):
            self._let_go()
        self._db, self.hits = None, 0

    def _add_hits(self, db: sqlite3.Connection) -> None:
        add = "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"
        with db:
            db.execute(f"INSERT INTO counters VALUES ('hits', ?) {add}", (self.hits,))  # noqa: S608

    def _find_wanted(self) -> None:
        wanted, self._wanted = self._wanted, []
        answers: dict[str, Answer] = {}
        problem: LmcError | None = None
        try:
            answers = self.look_up(list({key for keys, _ in wanted for key in keys}))
        except LmcError as e:
            problem = e
        for _, found in wanted:
            _settle(found, answers, problem)

    def _commit_pending(self) -> None:
        answers, waiting = self._pending, self._committed
        self._pending, self._committed = {}, []
        problem: LmcError | None = None
        try:
            self.write(answers)
        except LmcError as e:
            problem = e
        for committed in waiting:
            _settle(committed, None, problem)

    def _rows(self, query: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Run a query. Raises: sqlite3.DatabaseError if the file is damaged."""
        if db := self._connection():
            try:
                return db.execute(query, values).fetchall()
            except sqlite3.OperationalError as e:
                self._fail(e)
        return []

    def _connection(self) -> sqlite3.Connection | None:
        if self._db is not None and self._pid == os.getpid() and not self._locked_until_s:
            return self._db
        if self.problem is not None or time.monotonic() < self._locked_until_s:
            return None
        self._locked_until_s = 0.0
        if self._db is not None and self._pid == os.getpid():
            return self._db
        self._pid = os.getpid()  # a connection must not be carried over a fork
        try:
            self._hold(_open(self.path))
        except sqlite3.OperationalError as e:  # locked, read-only, no space
            self._fail(e)
        except sqlite3.DatabaseError as e:
            if (replaced := self._replace_broken(e)) is not None:
                self._hold(replaced)
        except OSError as e:
            self._give_up(e)
        return self._db

    def _hold(self, db: sqlite3.Connection) -> None:
        """Use a connection until it is closed, or until nobody has this cache any more."""
        closing = weakref.finalize(self, db.close)
        closing.atexit = False  # `close` comes later then, and still has to count the hits
        self._db, self._let_go = db, closing

    def _replace_broken(self, cause: Exception) -> sqlite3.Connection | None:
        aside = self.path.with_name(f"{self.path.name}.broken-{int(time.time())}")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            db = _open(self.path)
        except (OSError, sqlite3.Error):
            self._give_up(cause)
            return None
        _log.warning("the damaged response cache (%s) was moved to %s", cause, aside)
        return db

    def _fail(self, cause: sqlite3.Error) -> None:
        """Pause the use of a locked file, or give up an unusable one."""
        if cause.sqlite_errorcode & 0xFF in _LOCKED:
            _log.warning("%s is in use by another program: caching pauses", self.path)
            self._locked_until_s = time.monotonic() + _LOCKED_S
        else:
            self._give_up(cause)

    def _give_up(self, cause: Exception) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):  # the same error may stop it from closing
                self._db.close()
        self._db = None
        self.problem = warning(
            "cache-unusable",
            f"answers are not cached: {self.path}: {cause}",
            help="set LMC_CACHE_DIR to a folder that can be written, or pass --no-cache",
        )
        _log.warning(self.problem.message)


def _open(path: Path) -> sqlite3.Connection:
    if path != IN_MEMORY:
        make_private_file(path)
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
    db.text_factory = bytes  # bad UTF-8 loses its row, not the query
    try:
        db.executescript(_PRAGMAS)
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'counters'").fetchone():
            db.executescript(_SCHEMA)
        db.execute("SELECT key FROM answers LIMIT 1").fetchone()
    except sqlite3.Error:
        db.close()
        raise
    return db


def _settle(waiting: asyncio.Future[Any], value: Any, problem: LmcError | None) -> None:
    if waiting.done():
        return
    if problem is None:
        waiting.set_result(value)
    else:
        waiting.set_exception(problem)


_DETAILS = ("cached", "written", "audio", "reasoning", "spoken")


def answer_to_json(answer: Answer) -> str:
    """An answer as a row keeps it."""
    values = [
        answer.text, answer.prompt_tokens, answer.completion_tokens, answer.cost_usd,
        answer.finish_reason, answer.logprobs, answer.latency_ms, answer.certainty,
    ]  # fmt: skip
    tokens = answer.sampled
    more = answer.reasoning or answer.details is not NO_DETAILS or tokens is not None
    if answer.tool_calls or more:
        values.append([[c.id, c.name, c.arguments, c.extra] for c in answer.tool_calls])
    if more:
        values.append([answer.reasoning, [getattr(answer.details, name) for name in _DETAILS]])
    if tokens is not None:
        values.append(tokens.to_json(answer.logprobs))
    return quick_json.encode(values).decode()


def answer_from_json(text: Any) -> Answer | None:
    """The answer in a row; None if the row is damaged."""
    try:
        words, prompt, completion, cost_usd, finish, logprobs, latency_ms, certainty, *more = (
            quick_json.decode(text)
        )
        answer = Answer(
            words, prompt, completion, cost_usd, finish,
            None if logprobs is None else tuple(map(float, logprobs)),
            float(latency_ms),
            cached=True,
            certainty=None if certainty is None else float(certainty),
            tool_calls=tuple(ToolCall(*call) for call in more[0]) if more else (),
            reasoning=str(more[1][0]) if len(more) > 1 else "",
            details=TokenDetails(*map(int, more[1][1])) if len(more) > 1 else NO_DETAILS,
            sampled=SampledTokens.from_json(more[2], logprobs) if len(more) > 2 else None,
        )  # fmt: skip
        return answer if type(words) is str and type(finish) is str else None
    except (ValueError, TypeError, AttributeError, OverflowError):
        _log.warning("an answer in the response cache is damaged: the model is asked again")
        return None
