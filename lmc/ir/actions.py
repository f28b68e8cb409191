"""The types of an agent: its next action, and the results of earlier actions."""

from __future__ import annotations

from collections.abc import Sequence

from lmc.ir.graph import Graph
from lmc.types import (
    JSON,
    STR,
    Field,
    LiteralType,
    OptionalType,
    RecordType,
    Type,
)

FINISH = "finish"
TURN = RecordType("Turn", (Field("tool", STR), Field("arguments", JSON), Field("observation", STR)))


def action_type(result: Type, tools: Sequence[Graph]) -> RecordType:
    """The type of an agent's step: a thought, a tool with its arguments, or the answer.

    The notes contain the names of the tools and their parameters. Every layout shows them.
    """
    told = "; ".join(_signature(tool) for tool in tools)
    return RecordType(
        "Action",
        (
            Field("thought", STR, "what to do next, and why", True, ""),
            Field(
                "tool",
                LiteralType((*(tool.name for tool in tools), FINISH)),
                f"{told}; {FINISH}: when you know the answer",
                True,
                FINISH,
            ),
            Field("arguments", JSON, "of the tool, as a JSON object", True, {}),
            Field("answer", OptionalType(result), f"the answer, with {FINISH} only", True, None),
        ),
    )


def _signature(tool: Graph) -> str:
    parameters = ", ".join(f"{p.name}: {p.type}" for p in tool.inputs)
    return f"{tool.name}({parameters}) -> {tool.result}"
