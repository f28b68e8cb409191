"""An agent: a model calls tools and observes their results until it knows the answer.

Source: ReAct, Yao et al. 2022, arXiv 2210.03629, section 2. Here the loop is bounded and tools are
typed. The model observes a type error in its arguments as it observes a tool's failure. It may ask
for several calls at once. Each of them counts as a step, so the bound holds for any model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError, did_you_mean
from lmc.ir.actions import ACTION, FINISH, is_environment
from lmc.ir.graph import Tool
from lmc.ir.ops import TOOLS, body_numbers
from lmc.prompts.tool_turns import CALL, CALLS
from lmc.runtime.failures import is_own
from lmc.runtime.plan import PlannedNode
from lmc.runtime.regions.agent_tools import may_act, toolset_of
from lmc.runtime.regions.told import done, said
from lmc.runtime.scope import Scope
from lmc.runtime.toolset import BadArgument, Card, Toolset
from lmc.tasks.together import for_all
from lmc.types import JsonType, OptionalType
from lmc.values import InvalidValue

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine

_NUMBERS = body_numbers("agent")
SHOWN_CHARS = 2000  # of a tool's result
NO_ANSWER = "error: `finish` needs the answer in the field `answer`"
LAST = "There are no steps left: finish now, with your answer."
NOT_RUN = "error: not run, since there are no steps left"


async def perform_agent(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Take steps until the agent finishes. Raises: LmcError[agent-unfinished] after the last."""
    env = dict(zip(planned.node.attrs["names"], args))
    steps = machine.resolve(planned.node.attrs["steps"])
    toolset = await toolset_of(machine, planned, scope)
    run = _Run(machine, planned, scope, toolset, env, left=steps)
    scope.note(transcript=run.transcript)
    while True:
        given = {**env, "transcript": list(run.transcript)}
        place = run.place("act").offering(toolset)
        action = await machine.run_plan(planned.bodies["act"], given, place)
        over = not run.left
        if over and not run.ends(action):
            message = f"the agent gave no answer within {steps} steps"
            raise LmcError.of("agent-unfinished", message, planned.node.span)
        await run.take(action)
        if run.ends(action):
            answer = action.get("answer")
            if scope.turns is not None:
                scope.turns[:] = [*done(run.transcript), said(answer)]
            return answer


@dataclass(slots=True)
class _Run:
    """An agent at work. `left` is how many calls it may still make, and `turn` counts its steps.

    `walks` are the actions that it has taken in each of its environments.
    """

    machine: Machine
    planned: PlannedNode
    scope: Scope
    toolset: Toolset
    inputs: Mapping[str, Any]
    left: int
    turn: int = 0
    transcript: list[dict[str, Any]] = field(default_factory=list)
    walks: dict[str, list[Any]] = field(default_factory=dict)

    def ends(self, action: Mapping[str, Any]) -> bool:
        """Whether an action gives the answer, which may be none where the type allows it."""
        none = isinstance(self.planned.node.type, OptionalType | JsonType)
        return action["tool"] == FINISH and (none or action.get("answer") is not None)

    def place(self, body: str, number: int = 0) -> Scope:
        """The scope of a part of this turn."""
        return self.scope.at(self.turn, _NUMBERS[body] + number)

    async def take(self, action: Mapping[str, Any]) -> None:
        """Do what the model decided, and note what it gets to see."""
        asked = _asked(action, ends=self.ends(action))
        seen = await self._observe(asked[: self.left])
        seen += [NOT_RUN] * (len(asked) - len(seen))
        self.left -= min(len(asked), self.left)
        if not self.left and seen:
            seen[-1] = f"{seen[-1]}\n{LAST}"
        for call, text in zip(asked, seen):
            self.transcript.append(_entry(call, text, action, self.turn))
        self.turn += 1

    async def _observe(self, calls: Sequence[Mapping[str, Any]]) -> list[str]:
        """The results of some calls in order. Those that may act wait for the ones before."""
        seen: list[str] = []
        while len(seen) < len(calls):
            first = len(seen)
            group = [calls[first]]
            if len(calls) - first > 1 and not self._acts(calls[first]):
                rest = calls[first + 1 :]
                more = next((i for i, call in enumerate(rest) if self._acts(call)), len(rest))
                group += rest[:more]

            async def one(i: int, call: Mapping[str, Any], first: int = first) -> str:
                return await self._call(call, self.place(TOOLS, first + i))

            seen += await for_all(group, one)
        return seen

    def _acts(self, call: Mapping[str, Any]) -> bool:
        card = self.toolset.cards.get(call["tool"])
        if card is None:
            return False
        return self._environment(card) is not None or may_act(self.machine, self.planned, card)

    def _environment(self, card: Card) -> Tool | None:
        tool = self.machine.program.tools.get(card.body)
        return tool if is_environment(card.offer, tool) else None

    async def _call(self, call: Mapping[str, Any], scope: Scope) -> str:
        """The result of a call as text, or the error message if it fails."""
        if call["tool"] == FINISH:
            return NO_ANSWER
        card = self.toolset.cards.get(call["tool"])
        if card is None:
            return f"error: {_unknown(call['tool'], self.toolset)}"
        if "problem" in call:
            return f"error: {call['problem']}"
        try:
            value = await self._perform(card, call.get("arguments"), scope)
        except InvalidValue as problem:
            return shortened(f"error: {problem}")
        except LmcError as failure:
            if not is_own(failure):
                raise
            return shortened(f"error: {failure.diagnostics[0].message}")
        return shortened(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

    async def _perform(self, card: Card, arguments: Any, scope: Scope) -> Any:
        try:
            env = card.bound(arguments)
        except BadArgument as wrong:
            return f"error: {wrong}"
        except LmcError as wrong:
            (found, *_) = wrong.diagnostics
            return f"error: {found.message}" + (f"; {found.help}" if found.help else "")
        if (tool := self._environment(card)) is not None:
            return await self._act(tool, env[ACTION], scope)
        return await self.machine.run_plan(self.planned.bodies[card.body], env, scope)

    async def _act(self, tool: Tool, action: Any, scope: Scope) -> Any:
        """What an environment shows after one more action. One that fails was not taken."""
        walk = self.walks.get(tool.name, [])
        actions = walk if action is None else [*walk, action]
        *own, last = tool.inputs
        env = {port.name: self.inputs.get(port.name, port.default) for port in own}
        plan = self.planned.bodies[tool.name]
        value = await self.machine.run_plan(plan, {**env, last.name: actions}, scope)
        self.walks[tool.name] = actions
        return value


def _asked(action: Mapping[str, Any], *, ends: bool) -> list[Mapping[str, Any]]:
    """The calls of an action: the list of a model that calls tools, else the one of the fields.

    One that calls nothing and does not end counts as a step all the same.
    """
    calls: Sequence[Mapping[str, Any]] = action.get(CALLS) or ()
    if calls or ends:
        return list(calls)
    return [{"tool": action["tool"], "arguments": action.get("arguments")}]


def _entry(
    call: Mapping[str, Any], text: str, action: Mapping[str, Any], turn: int
) -> dict[str, Any]:
    """A step in the transcript, with what a provider wants back."""
    entry = {"tool": call["tool"], "arguments": call.get("arguments"), "observation": text}
    if CALLS not in action:
        return entry
    told = {"turn": turn, "id": call.get("id", ""), "said": action.get("thought", "")}
    return {**entry, CALL: told | ({"extra": call["extra"]} if call.get("extra") else {})}


def _unknown(name: str, toolset: Toolset) -> str:
    names = [*toolset.cards, FINISH]
    near = did_you_mean(name[:80], names)
    told = f"did you mean `{near}`?" if near else f"the tools are {', '.join(names)}"
    return f"no tool is called `{name[:80]}`; {told}"


def shortened(text: str) -> str:
    """What a model sees of a text."""
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
