"""The part of the executor that regions and model calls may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lmc.ir.graph import Node, ProgramGraph
    from lmc.requests.batching import SampleBatcher
    from lmc.requests.pool import ModelPool
    from lmc.runtime.parameters import Parameters
    from lmc.runtime.plan import Env, Plan, Resolve
    from lmc.runtime.remote import RemoteTool
    from lmc.runtime.retrieval import MeaningIndex
    from lmc.runtime.scope import Scope
    from lmc.runtime.speculation import Speculation


class Machine(Protocol):
    """A program with its parameters and models, and a method that runs a body of its graphs.

    Regions run their bodies through it, and calls ask their models through it. So neither depends
    on the executor.
    """

    program: ProgramGraph
    pool: ModelPool
    parameters: Parameters
    training: bool  # prompts show `train` parameters
    model: str | None  # replaces that of every module
    temperature: float | None  # replaces that of every generating module
    vary: str | None  # the only module that answers anew in each sample of a run
    resolve: Resolve
    batcher: SampleBatcher
    speculation: Speculation
    meanings: dict[str, tuple[list[Any], MeaningIndex]]  # by store: a snapshot and its vectors

    async def list_tools(self, server: str, node: Node) -> Sequence[RemoteTool]:
        """The tools of a server. Raises: LmcError[tool-failed, tool-not-allowed]."""
        ...

    async def run_plan(self, plan: Plan, env: Env, scope: Scope) -> Any:
        """Run a graph, or the body of a region, and return its value."""
        ...
