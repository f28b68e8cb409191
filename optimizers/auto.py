"""Looks at the program, its data, its model and the budget, and composes the other optimizers.

Cheap steps come first, and each begins with what the one before achieved, as in BetterTogether
(Soylu et al. 2024, arXiv 2407.10930). What is left of the budget is shared out among the steps that
are to come; calls that a step does not need go to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from lmc.check.optimizers import call_text
from lmc.frozen import frozen
from lmc.ir.provenance import reached_choices
from lmc.optimizers.base import Context, Optimizer, optimizer
from lmc.optimizers.bootstrap import bootstrap
from lmc.optimizers.lessons.acquiring import Harvest
from lmc.optimizers.lessons.weights import groups
from lmc.optimizers.lora import lora
from lmc.optimizers.reflect import reflect
from lmc.optimizers.tune import tune
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters

FEW_ROWS = 8  # train rows, with fewer nothing can be learnt from them
FEW_RUNS = 200  # with fewer, reflection goes in small steps
MANY_ROWS = 60  # labelled rows from which weights can be trained
SMALL_BYTES = 500e6  # models whose weights take less do not write instructions


@optimizer(
    paper="composition after BetterTogether, Soylu et al. 2024, arXiv 2407.10930",
)
async def auto(start: Parameters, context: Context, *, weights: bool | None) -> Parameters:
    """Choose and run the steps that fit the program, its data, its model and the budget.

    `weights` says whether adapters may be trained: else they are where the model runs here, there
    are rows enough, and the budget limits no calls.
    """
    steps = plan_steps(start, context, weights)
    if not steps:
        context.tell("auto: nothing of this program can be improved with these rows and budget")
        return start
    context.tell(f"auto: {'; '.join(f'{step} ({step.why})' for step in steps)}")
    allowance, found = context.trials.allowance, start
    for number, step in enumerate(steps):
        later = sum(other.share for other in steps[number + 1 :])
        if allowance.runs() <= 0:
            context.tell(f"auto: the budget ended before {step.optimizer.name}")
            break
        with allowance.holding(later / (step.share + later)):
            turn = replace(context, seed=context.seed + number)
            try:
                found = await step.optimizer.run(found, turn, **step.options)
            except BudgetExceeded:
                context.tell(f"auto: the budget ended {step.optimizer.name}")
                break
    return found


@frozen
class Chosen:
    """A step, why it was chosen, and its part of the budget against that of the others."""

    optimizer: Optimizer
    why: str
    share: float
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return call_text(self.optimizer.name, self.options)


def plan_steps(start: Parameters, context: Context, weights: bool | None) -> list[Chosen]:
    """The steps that fit, in order."""
    modules, found = context.modules(), []
    allowance = context.trials.allowance
    harvest = Harvest(context, 1.0)
    here, size = _local(context, start)
    small = here and size < SMALL_BYTES
    if small:
        context.tell(f"auto: a model of {size / 1e6:.3g} MB writes no instructions")
    if modules and len(context.train) >= FEW_ROWS:
        labels = "rows label the result" if harvest.labeled else "accepted runs show how"
        found.append(Chosen(bootstrap, labels, 2, _bootstrap_options(context)))
        if not small and not all(module.slots.frozen for module in modules.values()):
            options = _reflect_options(context)
            found.append(Chosen(reflect, "the model can say what went wrong", 3, options))
    if reached_choices(context.program, context.target):
        found.append(Chosen(tune, "the program leaves choices open", 1))
    unlimited = allowance.calls is None and allowance.tokens is None
    may = weights if weights is not None else unlimited and len(context.train) >= MANY_ROWS
    if here and may:
        found.append(Chosen(lora, "the weights are here, and rows enough to train on", 2))
    return found


def _bootstrap_options(context: Context) -> dict[str, Any]:
    """Wider where a budget allows more; it is searched on until the budget is spent."""
    runs = context.trials.runs_left()
    if runs == float("inf"):
        return {"demos": 8}
    return {"demos": 8, "candidates": max(4, min(24, int(runs) // 24)), "rounds": 64}


def _reflect_options(context: Context) -> dict[str, Any]:
    """In small steps where few runs are left; until the budget is spent where there is one."""
    runs = context.trials.runs_left()
    if runs == float("inf"):
        return {}
    return {"width": 2, "minibatch": 3} if runs < FEW_RUNS else {"rounds": 200}


def _local(context: Context, start: Parameters) -> tuple[bool, float]:
    """Whether all models run here, and how many bytes the weights of the smallest take."""
    sizes = []
    for group in groups(context.open_executor(start), context.target):
        for call in group.calls:
            source = getattr(call.bound.backend, "source", None)
            if source is None:
                return False, float("inf")
            sizes.append(_bytes_of(Path(source)))
    return bool(sizes), min(sizes, default=float("inf"))


def _bytes_of(source: Path) -> float:
    """The size of the weights; a name of a hub says nothing of it."""
    files = list(source.glob("*.safetensors")) if source.is_dir() else []
    return sum(file.stat().st_size for file in files) if files else float("inf")
