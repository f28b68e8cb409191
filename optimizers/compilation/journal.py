"""The journal of a compilation run. A resumed run reads its earlier answers from it.

The seed, the data and the model's answers decide what a run does. So only the answers must be kept.
Each one is stored here before it is used, even if the program turns its cache off. A killed run
that starts again therefore pays for no call twice, and ends as if it had never been killed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.files import MAKE_ROOM
from lmc.models.base import Answer, Request
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.requests.budget import Budget
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool


class RunStore(Cache):
    """The answers of one run. It copies answers that the cache behind it already has.

    An answer that cannot be stored stops the run: a resumed run would pay for it again.
    """

    def __init__(self, path: Path, behind: Cache | None = None) -> None:
        super().__init__(path)
        self.behind = behind
        self._failure: LmcError | None = None

    def look_up(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers under some keys, from this run or from the cache behind it."""
        answers = super().look_up(keys)
        if self.behind is not None and len(answers) < len(keys):
            more = self.behind.look_up([key for key in keys if key not in answers])
            if more:
                self.write(more)
            answers |= more
        return answers

    def require_kept(self) -> None:
        """Raises: LmcError[cannot-write] once an answer could not be stored."""
        if self._failure is not None:
            raise LmcError(*self._failure.diagnostics)

    def _give_up(self, cause: Exception) -> None:
        """Stop a run whose answers would be lost. Raises: LmcError[cannot-write]."""
        message = f"cannot store the answers of this run in {self.path}: {cause}"
        self._failure = LmcError.of("cannot-write", message, help=MAKE_ROOM)
        raise self._failure from None

    async def store(self, answers: Mapping[str, Answer]) -> None:
        """Store answers in both. Raises: LmcError[cannot-write]."""
        kept = [super().store(answers)]
        if self.behind is not None:
            kept.append(self.behind.store(answers))
        await asyncio.gather(*kept)

    def close(self) -> None:
        """Close both."""
        super().close()
        if self.behind is not None:
            self.behind.close()


class JournaledPool(ModelPool):
    """A pool that stores every answer, also for programs with `cache: "off"`.

    It has the budget of the run. It ignores the budgets of models: they are meant for use, and
    would treat candidates differently.
    """

    own_budgets = False
    cache: RunStore

    def _require(self) -> None:
        self.cache.require_kept()

    @classmethod
    def like(cls, pool: ModelPool, store: RunStore, budget: Budget) -> JournaledPool:
        """A pool of the same models that stores its answers in a run's store."""
        return cls(
            pool.models,
            pool.default,
            cache=store,
            budget=budget,
            backends=pool.given_backends,
            opener=pool.opener,
            base_dir=pool._base_dir,
            consent=pool._consent,
            record=pool._record,
            spans=pool.spans,
        )

    def keeps(self, name: str | None, cache: bool | str | None = None) -> bool:
        """As `ModelPool.keeps`: every answer that may be kept."""
        return super().keeps(name, True)

    async def ask(
        self,
        model: str | None,
        request: Request,
        *,
        cache: bool | str | None = None,
        **options: Any,
    ) -> list[Answer]:
        """As `ModelPool.ask`."""
        return await super().ask(model, request, cache=True, **options)


class Journal:
    """Records the progress of a run in its folder, and keeps the answers of an earlier start.

    `identity` is everything that decides the outcome. A folder with another identity is refused.
    `call` is how the run was started, or None if that is not JSON. Nothing of an earlier start
    changes before `begin`.
    """

    def __init__(
        self,
        folder: RunFolder,
        identity: Mapping[str, Any],
        call: Mapping[str, Any] | None = None,
        *,
        resume: bool = True,
    ) -> None:
        self.folder, self.identity, self.call = folder, dict(identity), call
        self.resumed, self.earlier_s = False, 0.0
        self._resume = resume
        self._started_s = time.monotonic()

    @contextmanager
    def taken(self) -> Iterator[Journal]:
        """Lock the folder, and find out whether it holds an earlier start of the same run.

        Raises: LmcError[run-in-use, cannot-write, other-run].
        """
        with self.folder.locked():
            if self.folder.holds_run:
                self._take_over(self.folder.whole_record())
            yield self

    def begin(self) -> None:
        """Begin once everything is checked. Delete the answers of a start that is not resumed."""
        if not self.resumed:
            self.folder.forget_responses()
        self.save("running")

    @property
    def elapsed_s(self) -> float:
        """The seconds that the run has taken, including those before a kill."""
        return self.earlier_s + time.monotonic() - self._started_s

    def save(self, state: str, **more: Any) -> None:
        """Write the state of the run to its folder."""
        told = {"identity": self.identity, "call": self.call, "state": state}
        self.folder.write_record({**told, "elapsed_s": self.elapsed_s, **more})

    def _take_over(self, record: Mapping[str, Any] | None) -> None:
        """Check that a record is that of this run. After a damaged one, only its time is lost."""
        record = {"identity": self.identity} if record is None else record
        if record.get("identity") != self.identity:
            message = f"{self.folder.path} belongs to a run with other options"
            raise LmcError.of("other-run", message, help="give another --run-dir")
        if self._resume:
            self.resumed, self.earlier_s = True, float(record.get("elapsed_s", 0.0))
