"""An agent: a model chooses tools and sees what they give, until it knows the answer.

Source: ReAct, Yao et al. 2022, arXiv 2210.03629, section 2. The loop is bounded, and tools are
typed: arguments that do not fit are told to the model as what it observes, like a tool's failure.
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
SHOWN_CHARS = 2000  # of what a tool gives
NO_ANSWER = "error: `finish` needs the answer in the field `answer`"
LAST = "There are no steps left: finish now, with your answer."


async def perform_agent(
    machine: Machine, planned: PlannedNode, args: list[Any], scope: Scope
) -> Any:
    """Act until the agent finishes. Raises: LmcError[agent-unfinished] after its last step."""
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
    """What a tool gives, as text; what is wrong with the call, where it fails."""
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
    """Arguments by name, each of its type. Raises: InvalidValue, ValueError."""
    given = arguments if isinstance(arguments, dict) else {}
    if not isinstance(arguments, dict) and len(graph.inputs) == 1:
        given = {graph.inputs[0].name: arguments}
    types = {port.name: port.type for port in graph.inputs}
    try:
        env = bind_inputs(graph, given)
    except LmcError as wrong:
        raise ValueError(wrong.diagnostics[0].message) from None
    return env | {key: validate(types[key], value, lenient=True) for key, value in given.items()}
