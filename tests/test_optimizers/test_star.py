"""Rationalisation: what a hint brings counts if it leads to the label; the hint stays out."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import pytest

import lmc
from lmc.measure.rows import Row
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.optimizers import events
from lmc.optimizers.assistant.ask import Assistant
from lmc.optimizers.base import Context
from lmc.optimizers.lessons.demonstrations import DemoPool
from lmc.optimizers.lessons.groups import module_calls
from lmc.optimizers.lessons.hints import rationalised
from lmc.optimizers.lessons.weights import as_lessons, training_rows
from lmc.prompts.spec import Demo
from lmc.runtime.parameters import Parameters

SOLVE = 'generate solve(text: str) -> int { """Solve it.""" reason: true }\n'
ROWS = [Row(str(i), {"text": f"{i} + {i}", "answer": 2 * i}) for i in range(4)]


def reply(request: Request) -> str:
    """Reason to the hinted answer, but for the sum of twos, and say nothing to the point for 3."""
    last = request.messages[-1]["content"]
    assert "Hint: the right result is" in last
    if "3 + 3" in last:
        return "I do not know."
    answer = 5 if "2 + 2" in last else int(last.split("right result is ")[1].split(".")[0])
    return f"[[reasoning]] I add.\\n[[result]] {answer}".replace("\\n", "\n")


@pytest.fixture
def program(tmp_path: Path) -> Any:
    path = tmp_path / "p.lmp"
    path.write_text(SOLVE)
    return lmc.load(path, backend=Scripted(reply), cache=False)


async def nothing_lost(*_: Any) -> list[str]:
    return []


async def no_traces(*_: Any) -> list[Any]:
    return []


async def test_hints_lead_to_rows_without_hints(program: Any) -> None:
    told: list[events.Event] = []
    context = Context(
        program=program.graph,
        target="solve",
        train=ROWS,
        select=(),
        trials=SimpleNamespace(totals=events.Totals),  # type: ignore[arg-type]
        seed=0,
        report=told.append,
        open_executor=lambda parameters: program.executor,
        folder=Path(),
        traces=no_traces,
        watch=nothing_lost,
        assistant=Assistant(program.pool, None, AsyncMock()),
        source="",
    )
    pool = DemoPool()
    pool.add("solve", Demo({"text": "0 + 0"}, {"reasoning": "known", "result": 0}))
    found = await rationalised(Parameters(), context, pool)
    assert [d.inputs["text"] for d in found.of("solve")] == ["1 + 1"]
    assert [e.text for e in told if isinstance(e, events.Note)] == [
        "1 of 3 rows solved with a hint"
    ]
    (call,) = module_calls(program.executor, "solve")
    (row,) = training_rows(call, as_lessons(found))
    assert "Hint" not in str(row.messages)
    assert "I add." in row.answer
