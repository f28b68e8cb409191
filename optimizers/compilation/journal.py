"""The journal of one improvement run: what was asked is answered from it when it starts again.

A run repeats its decisions from its seed, its data and the model's answers. So all it must not lose
is the answers: every one is kept here before it is used, whatever the program says of caching. A
killed run that is started again therefore pays for nothing twice, and ends as if never killed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Request
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.requests.budget import Budget
from lmc.requests.cache import Cache
from lmc.requests.pool import ModelPool


class RunStore(Cache):
    """The answers of one run; what the cache behind it knows is taken over."""

    def __init__(self, path: Path, behind: Cache | None = None) -> None:
        super().__init__(path)
        self.behind = behind

    def look_up(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers under some keys, of this run or of the cache behind."""
        answers = super().look_up(keys)
        if self.behind is not None and len(answers) < len(keys):
            more = self.behind.look_up([key for key in keys if key not in answers])
            if more:
                self.write(more)
            answers |= more
        return answers

    def _give_up(self, cause: Exception) -> None:
        """A run must not go on where its answers are lost. Raises: LmcError[cannot-write]."""
        message = f"the answers of this run cannot be kept in {self.path}: {cause}"
        help = "make room, and start the same command again: it goes on from what is kept"
        raise LmcError.of("cannot-write", message, help=help) from None

    async def store(self, answers: Mapping[str, Answer]) -> None:
        """Keep answers in both. Raises: LmcError[cannot-write]."""
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
    """A pool that keeps every answer, those of programs that say `cache: "off"` too.

    The budget is that of the run; those of models are for use, and would set candidates apart.
    """

    own_budgets = False

    @classmethod
    def like(cls, pool: ModelPool, store: RunStore, budget: Budget) -> JournaledPool:
        """A pool of the same models that keeps its answers in a run's store."""
        return cls(
            pool.models,
            pool.default,
            cache=store,
            budget=budget,
            backends=pool._backends,
            base_dir=pool._base_dir,
            consent=pool._consent,
            record=pool._record,
        )

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
    """How far a run is, written down in its folder; the answers of an earlier start are kept.

    `identity` is all that decides the outcome; the folder of another run is not taken over. `call`
    is how the run was begun, where that can be written down. Nothing of an earlier start is touched
    before `begin`.
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
        """Hold the folder, and find out whether it holds an earlier start of the same run.

        Raises: LmcError[run-in-use, cannot-write, other-run].
        """
        with self.folder.locked():
            if self.folder.holds_run:
                self._take_over(self.folder.record())
            yield self

    def begin(self) -> None:
        """All is checked: forget an earlier start that is not resumed, and mark this one."""
        if not self.resumed:
            self.folder.forget_responses()
        self.save("running")

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, those before a kill included."""
        return self.earlier_s + time.monotonic() - self._started_s

    def save(self, state: str, **more: Any) -> None:
        """Write down how far the run is."""
        told = {"identity": self.identity, "call": self.call, "state": state}
        self.folder.write_record({**told, "elapsed_s": self.elapsed_s, **more})

    def _take_over(self, record: Mapping[str, Any]) -> None:
        if record.get("identity") != self.identity:
            message = f"{self.folder.path} belongs to a run with other options"
            raise LmcError.of("other-run", message, help="give another --run-dir")
        if self._resume:
            self.resumed, self.earlier_s = True, float(record.get("elapsed_s", 0.0))
