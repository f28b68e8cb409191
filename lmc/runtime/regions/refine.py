"""A refinement: draft, judge, revise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from lmc.canonical import canonical
from lmc.diagnostics import LmcError
from lmc.ir.ops import body_numbers
from lmc.runtime.failures import is_own
from lmc.runtime.labels import require_label
from lmc.runtime.plan import Plan, PlannedNode
from lmc.runtime.scope import Scope
from lmc.types import FloatType, IntType, score_type

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

_NUMBERS = body_numbers("refine")
_UNUSABLE = ("call-failed", "agent-unfinished")  # what a model may do to a verdict


async def perform_refine(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Draft, judge, revise. Gives the draft that passed, else the best-scored, else the last.

    If a model gives no usable verdict or revision, the result is chosen from the drafts so far. A
    check that fails otherwise, such as a tool that raises, ends the run: nobody has seen the draft.
    If `until` makes calls, the revision may start speculatively.
    """
    env = dict(zip(planned.node.attrs["names"], args))
    stop = machine.resolve(planned.node.attrs.get("stop_early"))
    refinement = _Refinement(machine, planned.bodies, env, scope, stop)
    chosen = await refinement.run(machine.resolve(planned.node.attrs["rounds"]))
    scope.note(
        drafts=refinement.drafts, checks=refinement.checks, chosen=chosen, failed=refinement.failed
    )
    return refinement.drafts[chosen]


class _Refinement:
    """The drafts of one refine and the verdict on each."""

    def __init__(
        self,
        machine: Machine,
        bodies: Mapping[str, Plan],
        env: Mapping[str, Any],
        scope: Scope,
        stop: str | None,
    ) -> None:
        self.machine, self.bodies, self.env, self.scope = machine, bodies, env, scope
        self.stop = stop
        self.drafts: list[Any] = []
        self.checks: list[Any] = []
        self.failed: str | None = None  # why it ended early
        self.unchecked = False  # whether a check broke

    async def run(self, rounds: int) -> int:
        """Run the rounds and return the index of the chosen draft."""
        self.drafts.append(self._labelled(await self._body("draft", 0, {})))
        try:
            return await self._improve(rounds)
        except LmcError as failure:
            if self.unchecked or not is_own(failure):
                raise
            self.failed = str(failure)
        return self._best()

    async def _improve(self, rounds: int) -> int:
        for i in range(rounds):
            await self._judge(i)
            async with self.machine.speculation.begun(
                self.bodies.get("until"),
                self.bodies["revise"],
                partial(self._body, "revise", i + 1, self._said(i)),
            ) as revised:
                if await self._passes(i):
                    return i
                if i and self._is_idle():
                    return self._best()
                self.drafts.append(self._labelled(await revised()))
        if rounds and self._scored:
            await self._judge(rounds)
            if await self._passes(rounds):
                return rounds
        return self._best()

    def _labelled(self, draft: Any) -> Any:
        """A draft, which is one of the labels of a `one_of(options)`, whoever wrote it."""
        for node in self.bodies["revise"].graph.nodes:
            if node.op == "model":
                require_label(node.type, draft, self.env, node.span)
        return draft

    async def _judge(self, i: int) -> None:
        self.checks.append(await self._body("check", i, {"draft": self.drafts[i]}))

    async def _passes(self, i: int) -> bool:
        """Whether a draft passes `until`. Without it, the verdict or its `ok` decides."""
        if "until" in self.bodies:
            return bool(await self._body("until", i, self._said(i)))
        verdict = self.checks[i]
        return verdict if isinstance(verdict, bool) else bool(_field(verdict, "ok"))

    def _is_idle(self) -> bool:
        """Whether the last revision changed nothing or did not raise the score."""
        match self.stop:
            case "fixed_point":
                return canonical(self.drafts[-1]) == canonical(self.drafts[-2])
            case "no_gain":
                before, after = map(_score, self.checks[-2:])
                return bool(after <= before)
        return False

    def _said(self, i: int) -> dict[str, Any]:
        return {"draft": self.drafts[i], "check": self.checks[i]}

    @property
    def _scored(self) -> bool:
        """Whether a verdict on the last draft can still change the choice."""
        verdict = self.bodies["check"].graph.result
        return isinstance(score_type(verdict) or verdict, IntType | FloatType)

    def _best(self) -> int:
        """The best-scored draft, the latest on a tie. Without scores, the last draft."""
        scores = list(map(_score, self.checks))
        if len(scores) < len(self.drafts) or any(score is None for score in scores):
            return len(self.drafts) - 1
        return max(range(len(scores)), key=lambda i: (scores[i], i))

    async def _body(self, name: str, round: int, more: Mapping[str, Any]) -> Any:
        body = self.bodies[name]
        place = self.scope.at(round, _NUMBERS[name])
        try:
            return await self.machine.run_plan(body, {**self.env, **more}, place)
        except LmcError as failure:
            self.unchecked |= name in ("check", "until") and failure.code not in _UNUSABLE
            raise


def _score(verdict: Any) -> Any:
    """How good a draft is by its verdict: a number, or the field `score`; None if it has none."""
    return verdict if isinstance(verdict, int | float) else _field(verdict, "score")


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
