"""An agent: a model calls tools and observes their results until it knows the answer.

Source: ReAct, Yao et al. 2022, arXiv 2210.03629, section 2. Here the loop is bounded and tools are
typed. The model observes a type error in its arguments as it observes a tool's failure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.actions import FINISH
from lmc.ir.ops import TOOLS, body_numbers
from lmc.runtime.binding import bind_inputs
from lmc.runtime.failures import is_own
from lmc.runtime.plan import PlannedNode
from lmc.runtime.scope import Scope
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.ir.graph import Graph
    from lmc.runtime.machine import Machine

_NUMBERS = body_numbers("agent")
SHOWN_CHARS = 2000  # of a tool's result
NO_ANSWER = "error: `finish` needs the answer in the field `answer`"
LAST = "There are no steps left: finish now, with your answer."


async def perform_agent(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Take steps until the agent finishes. Raises: LmcError[agent-unfinished] after the last."""
    env = dict(zip(planned.node.attrs["names"], args))
    transcript: list[dict[str, Any]] = []
    scope.note(transcript=transcript)
    steps = machine.resolve(planned.node.attrs["steps"])
    for i in range(steps + 1):
        given = {**env, "transcript": list(transcript)}
        action = await machine.run_plan(planned.bodies["act"], given, scope.at(i, _NUMBERS["act"]))
        tool, answer = action["tool"], action.get("answer")
        if tool == FINISH and answer is not None:
            return answer
        seen = NO_ANSWER
        if tool != FINISH:
            place = scope.at(i, _NUMBERS[TOOLS])
            seen = await _observe(machine, planned, tool, action.get("arguments"), place)
        if i == steps - 1:
            seen = f"{seen}\n{LAST}"
        transcript.append({"tool": tool, "arguments": action.get("arguments"), "observation": seen})
    message = f"the agent gave no answer within {steps} steps"
    raise LmcError.of("agent-unfinished", message, planned.node.span)


async def _observe(
    machine: Machine, planned: PlannedNode, tool: str, arguments: Any, scope: Scope
) -> str:
    """The result of a tool call as text, or the error message if the call fails."""
    plan = planned.bodies[tool]
    try:
        value = await machine.run_plan(plan, _bound(plan.graph, arguments), scope)
    except (InvalidValue, ValueError) as problem:
        return f"error: {problem}"
    except LmcError as failure:
        if not is_own(failure):
            raise
        return f"error: {failure.diagnostics[0].message}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def _bound(graph: Graph, arguments: Any) -> dict[str, Any]:
    """The arguments by name, checked by type. Raises: InvalidValue, ValueError."""
    given = arguments if isinstance(arguments, dict) else {}
    if not isinstance(arguments, dict) and len(graph.inputs) == 1:
        given = {graph.inputs[0].name: arguments}
    types = {port.name: port.type for port in graph.inputs}
    try:
        env = bind_inputs(graph, given)
    except LmcError as wrong:
        raise ValueError(wrong.diagnostics[0].message) from None
    return env | {key: validate(types[key], value, lenient=True) for key, value in given.items()}
