"""Chooses other optimizers by the program, its data, its model and the budget.

Cheap steps come first. Each step starts from the result of the previous one, as in BetterTogether
(Soylu et al. 2024, arXiv 2407.10930). The remaining budget is divided among the remaining steps.
Calls that a step does not use go to the next. If reflection finds nothing, what is left of its
share goes to another search for demonstrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from lmc.check.optimizer_options import call_text
from lmc.frozen import frozen
from lmc.ir.provenance import reached_choices
from lmc.models.local_embedding import MINILM
from lmc.models.local_embedding import NAME as LOCAL_EMBEDDER
from lmc.models.packaged import is_installed
from lmc.optimizers.base import Context, Optimizer, optimizer
from lmc.optimizers.bootstrap import bootstrap
from lmc.optimizers.knn import knn
from lmc.optimizers.lessons.acquiring import Harvest, shuffled
from lmc.optimizers.lessons.demonstrations import varied
from lmc.optimizers.lessons.groups import groups
from lmc.optimizers.lessons.reflecting import RUNS as PROBE_RUNS
from lmc.optimizers.lessons.reflecting import writes_instructions
from lmc.optimizers.lessons.watching import RoundSampling, sample_runs
from lmc.optimizers.lora import lora
from lmc.optimizers.presets import PRESETS
from lmc.optimizers.reflect import reflect
from lmc.optimizers.tune import tune
from lmc.requests.budget import BudgetExceeded
from lmc.runtime.parameters import Parameters
from lmc.traces.selectors import by_row

DPO = next(preset for preset in PRESETS if preset.name == "dpo")
FEW_ROWS = 8  # fewest train rows that optimizers can learn from
FEW_RUNS = 200  # with fewer runs, reflection takes small steps
MANY_ROWS = 60  # fewest labelled rows for training weights
SAMPLES = 4  # of a row, to learn from the difference of right and wrong ones
PROBED_ROWS, LEAST_MIXED = 16, 0.25  # rows that are tried, and the share that must have both
SMALL_BYTES = 500e6  # models with smaller weights cannot write instructions; they are not asked
POOLED, MOST_POOLED = 64, 1000  # of the demonstrations among which knn chooses: default, limit
VARIED_ROWS = 24  # fewest labelled rows among which to look for the nearest
SHOWN = 8  # demonstrations; if outputs are of more kinds than half of it, the nearest are shown
PROBE_SHARE = 4  # the model is tried out if reflection has so many times the runs that this takes


@optimizer(
    paper="composition after BetterTogether, Soylu et al. 2024, arXiv 2407.10930",
)
async def auto(start: Parameters, context: Context, *, weights: bool | None) -> Parameters:
    """Choose and run the steps that fit the program, its data, its model and the budget.

    `weights` allows or forbids training adapters. By default they are trained if the model runs
    here, there are enough rows, and the budget limits neither calls nor tokens.
    """
    steps = plan_steps(start, context, weights)
    if not steps:
        context.tell("auto: no step can improve this program with these rows and this budget")
        return start
    context.tell(f"auto: {'; '.join(f'{step} ({step.why})' for step in steps)}")
    allowance, found = context.trials.allowance, start
    for number, step in enumerate(steps):
        later = sum(other.share for other in steps[number + 1 :])
        if allowance.runs() <= 0:
            context.tell(f"auto: the budget ended before {step.optimizer.name}")
            break
        turn = replace(context, seed=context.seed + number)
        try:
            with allowance.holding(later / (step.share + later)):
                found = await _taken(step, found, turn)
        except BudgetExceeded:
            context.tell(f"auto: the budget ended {step.optimizer.name}")
            break
    return found


async def _taken(step: Chosen, start: Parameters, context: Context) -> Parameters:
    """The result of a step. Raises: BudgetExceeded."""
    if step.optimizer is bootstrap and _shows_nearest(start):
        # Few fixed demonstrations seldom beat the nearest. One race tells.
        return await bootstrap.run(start, context, **{**step.options, "rounds": 1})
    if step.optimizer is DPO and not await _tells_apart(start, context):
        return start
    if step.optimizer is not reflect:
        return await step.optimizer.run(start, context, **step.options)
    found = start
    if await _can_reflect(start, context):
        found = await reflect.run(start, context, **step.options)
    if found != start or context.trials.runs_left() in (0, float("inf")):
        return found
    context.tell("auto: reflection found nothing; what is left of its share seeks demonstrations")
    if _shows_nearest(start):  # on more rows, other numbers of them may be better
        return await knn.run(start, context, **_knn_options(len(context.train)))
    return await bootstrap.run(start, context, **_bootstrap_options(context))


async def _tells_apart(start: Parameters, context: Context) -> bool:
    """Whether enough rows have right samples and wrong ones. A few rows tell.

    Raises: BudgetExceeded.
    """
    sampling = RoundSampling(SAMPLES, 1.0)
    runs = await sample_runs(start, context, sampling, shuffled(context, "probe")[:PROBED_ROWS])
    groups = list(by_row(runs).values())
    mixed = sum(len({(run.score or 0.0) >= 1.0 for run in group}) == 2 for group in groups)
    if mixed < LEAST_MIXED * len(groups):
        told = f"{mixed} of {len(groups)} rows have right and wrong samples"
        context.tell(f"auto: too few to learn from their difference: {told}")
        return False
    return bool(groups)


def _shows_nearest(parameters: Parameters) -> bool:
    return any(module.nearest is not None for module in parameters.modules.values())


async def _can_reflect(start: Parameters, context: Context) -> bool:
    """Whether the model writes usable instructions. With a very small budget, assume that it can.

    Raises: BudgetExceeded.
    """
    if context.trials.runs_left() < PROBE_SHARE * PROBE_RUNS:
        return True
    module = next(m for m in context.modules().values() if not m.slots.frozen)
    able, words = await writes_instructions(start, context, module)
    if not able:
        context.tell(f"auto: the model cannot write instructions for this program: {words}")
    return able


@frozen
class Chosen:
    """A step, the reason for it, and its share of the budget relative to the other steps."""

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
        context.tell(f"auto: a model of {size / 1e6:.3g} MB is too small to write instructions")
    if modules and len(context.train) >= FEW_ROWS:
        kinds = varied(harvest.labeled)
        if kinds > SHOWN / 2 and len(context.train) >= VARIED_ROWS:
            why = f"the outputs are of {kinds} kinds, so those nearest to the input help most"
            found.append(Chosen(knn, why, 4, _knn_options(len(context.train))))
        labels = "the rows have labels" if harvest.labeled else "accepted runs serve as examples"
        found.append(Chosen(bootstrap, labels, 2, _bootstrap_options(context)))
        if not small and not all(module.slots.frozen for module in modules.values()):
            options = _reflect_options(context)
            found.append(Chosen(reflect, "the model can explain its mistakes", 3, options))
    if reached_choices(context.program, context.target):
        found.append(Chosen(tune, "the program has open choices", 1))
    unlimited = allowance.calls is None and allowance.tokens is None
    may = weights if weights is not None else unlimited and len(context.train) >= MANY_ROWS
    if here and may:
        found.append(Chosen(lora, "the weights are local and there are enough rows", 2))
        if not harvest.says_all() and len(context.train) >= MANY_ROWS:
            why = "labels do not say all that a module writes, so its own samples teach too"
            found.append(Chosen(DPO, why, 2, {"samples": SAMPLES}))
    return found


def _bootstrap_options(context: Context) -> dict[str, Any]:
    """A wider search for a larger budget. With a budget, search until it is spent."""
    runs = context.trials.runs_left()
    if runs == float("inf"):
        return {"demos": SHOWN}
    return {"demos": SHOWN, "candidates": max(4, min(24, int(runs) // 24)), "rounds": 64}


def _knn_options(rows: int) -> dict[str, Any]:
    """Choose among all rows. Compare by meaning too if the embedding model is installed."""
    known = {"embedder": LOCAL_EMBEDDER} if is_installed(MINILM) else {}
    larger = {"pool": min(rows, MOST_POOLED)} if rows > POOLED else {}
    return {"demos": 6, **larger, **known}


def _reflect_options(context: Context) -> dict[str, Any]:
    """Small steps if few runs are left. With a budget, search until it is spent."""
    runs = context.trials.runs_left()
    if runs == float("inf"):
        return {}
    return {"width": 2, "minibatch": 3} if runs < FEW_RUNS else {"rounds": 200}


def _local(context: Context, start: Parameters) -> tuple[bool, float]:
    """Whether all models run here, and the size in bytes of the smallest model's weights."""
    sizes = []
    for group in groups(context.open_executor(start), context.target):
        for call in group.calls:
            source = getattr(call.bound.backend, "source", None)
            if source is None:
                return False, float("inf")
            sizes.append(_bytes_of(Path(source)))
    return bool(sizes), min(sizes, default=float("inf"))


def _bytes_of(source: Path) -> float:
    """The size of the weights in bytes; infinite for a name on a hub, whose size is unknown."""
    files = list(source.glob("*.safetensors")) if source.is_dir() else []
    return sum(file.stat().st_size for file in files) if files else float("inf")
