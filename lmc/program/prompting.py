"""Find the prompt of a run's first model call by running up to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph, ProgramGraph
from lmc.media.content import KINDS
from lmc.models.base import EMBEDDED, Answer, Capabilities, Request
from lmc.models.registry import TINY, calls_tools, default_layout
from lmc.prompts.spec import Message
from lmc.runtime.executor import Executor


class _Asked(Exception):
    """Carries the first request out of a run."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


class Mirror:
    """Replaces a pool of models without opening any, so that no key is needed."""

    def __init__(self, graph: ProgramGraph) -> None:
        self._graph = graph
        self.layouts: dict[str, str] = {}  # no model is measured for a preview
        self.calls_tools: dict[str, bool] = {}
        self.spans = None  # a preview is not traced

    def bind(self, name: str | None) -> Any:
        """The stand-in for a model, which prepares a module call."""
        name = name or self._graph.default.get("model") or TINY
        settings = {**self._graph.default, **self._graph.models.get(name, {})}
        layout = default_layout(str(settings.get("name") or name), settings)
        tools = calls_tools(str(settings.get("name") or name), settings)
        can = Capabilities(json_schema=True, default_layout=layout, tools=tools, media=KINDS)
        return SimpleNamespace(
            name=name, model="", settings=settings, backend=SimpleNamespace(capabilities=can),
            keeping=lambda cache: False,
        )  # fmt: skip

    async def ask(self, model: str | None, request: Request, **options: Any) -> list[Answer]:
        """End the run with its first request. Raises: LmcError[no-prompt]."""
        if request.messages[0]["role"] == EMBEDDED:
            message = f"`{model}` chooses the demonstrations, but a preview does not ask models"
            raise LmcError.of("no-prompt", message)
        raise _Asked(request)


async def first_prompt(
    executor: Executor, graph: Graph, inputs: Mapping[str, Any]
) -> list[Message]:
    """The messages of the first model call of an executor whose pool is a `Mirror`.

    Raises: LmcError[no-prompt] if there is none.
    """
    try:
        await executor.run(graph.name, inputs)
    except _Asked as asked:
        messages = list(asked.request.messages)
        if tools := asked.request.tools:
            messages.append({"role": "tools", "content": json.dumps(tools, indent=2)})
        return messages
    message = f"`{graph.name}` gives its result for these inputs without asking a model"
    raise LmcError.of("no-prompt", message, graph.span)
