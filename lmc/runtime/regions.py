"""Regions of a graph: conditions, maps, loops and refinements. Votes have their own file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from lmc.check.types import score_type
from lmc.diagnostics import LmcError
from lmc.ir.functions import canonical
from lmc.runtime.acting import perform_agent
from lmc.runtime.concurrency import MAX_IN_FLIGHT, for_all
from lmc.runtime.failures import is_own
from lmc.runtime.plan import Plan, Step, free_values, variable_names
from lmc.runtime.routing import perform_route
from lmc.runtime.scope import Scope
from lmc.runtime.searching import perform_search
from lmc.runtime.voting import perform_vote

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor

__all__ = [
    "perform_agent",
    "perform_cond",
    "perform_loop",
    "perform_map",
    "perform_refine",
    "perform_route",
    "perform_search",
    "perform_vote",
]

_DROPPED = object()  # an item that the filter of a map left out


async def perform_cond(executor: Executor, step: Step, args: list[Any], scope: Scope) -> Any:
    """Only the branch that is taken runs."""
    body = step.bodies["then" if args[0] else "otherwise"]
    return await executor.run_plan(body, free_values(step.node, args, 1), scope)


async def perform_map(executor: Executor, step: Step, args: list[Any], scope: Scope) -> list[Any]:
    """Items in parallel; each is filtered first."""
    count = step.node.attrs["count"]
    free, names = free_values(step.node, args, count), variable_names(step.node)
    keep, item = step.bodies.get("filter"), step.bodies["item"]

    async def work(index: int, row: tuple[Any, ...]) -> Any:
        env = free | dict(zip(names, row))
        if keep is not None and not await executor.run_plan(keep, env, scope.at(index, 0)):
            return _DROPPED
        return await executor.run_plan(item, env, scope.at(index, 1))

    in_flight = step.node.attrs.get("in_flight", MAX_IN_FLIGHT)
    results = await for_all(list(zip(*args[:count])), work, in_flight=in_flight)
    return [value for value in results if value is not _DROPPED]


async def perform_loop(executor: Executor, step: Step, args: list[Any], scope: Scope) -> Any:
    """One state after another; `until` is asked before each round, the first one included.

    Where `until` makes calls, the round after it may begin on speculation.
    """
    name, bound = step.node.attrs["name"], executor.resolve(step.node.attrs["bound"])
    body, until = step.bodies["body"], step.bodies.get("until")
    state, free = args[0], free_values(step.node, args, 1)
    for i in range(bound):
        env = {**free, name: state}
        async with executor.speculation.begun(
            until, body, partial(executor.run_plan, body, env, scope.at(i, 1))
        ) as next_state:
            if until is not None and await executor.run_plan(until, env, scope.at(i, 0)):
                break
            state = await next_state()
    return state


async def perform_refine(executor: Executor, step: Step, args: list[Any], scope: Scope) -> Any:
    """Draft, judge, revise; gives the draft that passed, else the best-scored, else the last.

    Where a verdict or a revision gives no usable answer, the drafts that are there have to do.
    Where `until` makes calls, the revision may begin on speculation.
    """
    env = dict(zip(step.node.attrs["names"], args))
    stop = executor.resolve(step.node.attrs.get("stop_early"))
    refinement = _Refinement(executor, step.bodies, env, scope, stop)
    chosen = await refinement.run(executor.resolve(step.node.attrs["rounds"]))
    scope.note(
        drafts=refinement.drafts, checks=refinement.checks, chosen=chosen, failed=refinement.failed
    )
    return refinement.drafts[chosen]


class _Refinement:
    """The drafts of one refine and what was said of each."""

    def __init__(
        self,
        executor: Executor,
        bodies: Mapping[str, Plan],
        env: Mapping[str, Any],
        scope: Scope,
        stop: str | None,
    ) -> None:
        self.executor, self.bodies, self.env, self.scope = executor, bodies, env, scope
        self.stop = stop
        self.drafts: list[Any] = []
        self.checks: list[Any] = []
        self.failed: str | None = None  # why it ended early

    async def run(self, rounds: int) -> int:
        """Index of the draft to return."""
        self.drafts.append(await self._body("draft", 0, {}))
        try:
            return await self._improve(rounds)
        except LmcError as failure:
            if not is_own(failure):
                raise
            self.failed = str(failure)
        return self._best()

    async def _improve(self, rounds: int) -> int:
        for i in range(rounds):
            await self._judge(i)
            async with self.executor.speculation.begun(
                self.bodies.get("until"),
                self.bodies["revise"],
                partial(self._body, "revise", i + 1, self._said(i)),
            ) as revised:
                if await self._passes(i):
                    return i
                if i and self._is_idle():
                    return self._best()
                self.drafts.append(await revised())
        if rounds and self._scored:
            await self._judge(rounds)
            if await self._passes(rounds):
                return rounds
        return self._best()

    async def _judge(self, i: int) -> None:
        self.checks.append(await self._body("check", i, {"draft": self.drafts[i]}))

    async def _passes(self, i: int) -> bool:
        """Whether a draft will do; without `until`, the verdict's `ok` decides."""
        if "until" in self.bodies:
            return bool(await self._body("until", i, self._said(i)))
        return bool(_field(self.checks[i], "ok"))

    def _is_idle(self) -> bool:
        """Whether the last revision changed nothing, or was not judged to be better."""
        match self.stop:
            case "fixed_point":
                return canonical(self.drafts[-1]) == canonical(self.drafts[-2])
            case "no_gain":
                before, after = (_field(check, "score") for check in self.checks[-2:])
                return bool(after <= before)
        return False

    def _said(self, i: int) -> dict[str, Any]:
        return {"draft": self.drafts[i], "check": self.checks[i]}

    @property
    def _scored(self) -> bool:
        """Whether judging the last draft can still tell which one to return."""
        return score_type(self.bodies["check"].graph.result) is not None

    def _best(self) -> int:
        """The best-scored draft, the later one of equals; the last where there are no scores."""
        scores = [_field(check, "score") for check in self.checks]
        if len(scores) < len(self.drafts) or any(score is None for score in scores):
            return len(self.drafts) - 1
        return max(range(len(scores)), key=lambda i: (scores[i], i))

    async def _body(self, name: str, round: int, more: Mapping[str, Any]) -> Any:
        body = self.bodies[name]
        place = self.scope.at(round, _BODIES.index(name))
        return await self.executor.run_plan(body, {**self.env, **more}, place)


_BODIES = ("draft", "check", "until", "revise")


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
