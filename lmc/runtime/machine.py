"""What a region or a model call may ask of the executor that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lmc.ir.graph import ProgramGraph
    from lmc.requests.batching import SampleBatcher
    from lmc.requests.pool import ModelPool
    from lmc.runtime.parameters import Parameters
    from lmc.runtime.plan import Env, Plan, Resolve
    from lmc.runtime.scope import Scope
    from lmc.runtime.speculation import Speculation


class Machine(Protocol):
    """A program with its parameters and models, and the way to run a body of one of its graphs.

    Regions run their bodies through it and calls ask their models, so neither knows the executor.
    """

    program: ProgramGraph
    pool: ModelPool
    parameters: Parameters
    training: bool  # `train` parameters are shown to models
    model: str | None  # replaces that of every module
    temperature: float | None  # replaces that of modules that generate
    resolve: Resolve
    batcher: SampleBatcher
    speculation: Speculation

    async def run_plan(self, plan: Plan, env: Env, scope: Scope) -> Any:
        """The value of a graph, or of the body of a region."""
        ...
