"""The recipe of `train`: sample runs, see what they teach, train on it, and repeat while it helps.

Its parts are options: where the runs come from, what tells good from bad, and the loss. A way to
see what runs teach is a function from a `Round` to lessons. `WAYS` in `ways` has them by name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from lmc.frozen import frozen
from lmc.measure.rows import Row
from lmc.optimizers.base import Context, MadeRow
from lmc.optimizers.candidates.trials import UNSCORED
from lmc.optimizers.lessons.watching import RoundSampling, sample_runs
from lmc.optimizers.lessons.weights import Lessons, LiveSteps, Update, without_demos
from lmc.runtime.parameters import Parameters
from lmc.traces.store import Run
from lmc.training.bases import Quantize
from lmc.training.lora import Kind, LoraSettings
from lmc.training.losses import Average, LossName, LossSettings

Select = Literal[
    "right",
    "votes",
    "result",
    "gold",
    "refine",
    "judge",
    "corrupted",
    "revised",
    "turns",
    "verdicts",
    "siblings",
    "spliced",
    "values",
]
IMITATING: tuple[LossName, ...] = ("sft", "kl")
PAIRED: tuple[LossName, ...] = ("dpo", "ipo", "simpo")
SCORED: tuple[LossName, ...] = ("kto", "sppo", "nft", "pg")
# The losses that can learn from what a way selects, where these are not all.
TEACHES: Mapping[Select, tuple[LossName, ...]] = {
    "votes": ("sft", *PAIRED),
    "result": IMITATING,
    "gold": PAIRED,
    "refine": ("sft", *PAIRED),
    "judge": (*PAIRED, *SCORED),
    "corrupted": PAIRED,
    "revised": ("sft", *PAIRED),
    "turns": ("pg",),
    "verdicts": ("sft", *PAIRED, *SCORED),
    "siblings": ("sft", *PAIRED),
    "spliced": ("sft",),
    "values": (*PAIRED, "kto", "pg"),
}
_WITHOUT_LABELS = ("votes", "result", "judge", "revised")


@frozen
class Recipe:
    """The options of `train`, as its table describes them. `source` is the option `from`."""

    select: Select
    loss: LossName
    rounds: int
    samples: int
    temperature: float | None
    threshold: float
    keep: int
    judge: str | None
    source: str | None
    rows: str | None
    reward: str | None
    vary: str | None
    propose: bool
    scaled: bool
    labels: str
    principles: str | None
    bonus: float
    pull: float
    apart: bool
    beta: float
    sft: float
    smoothing: float
    consistency: bool
    optimism: float
    kl: float
    average: Average
    clip: float
    clip_high: float | None
    replay: int
    teacher: str | None
    own: float
    jsd: float
    rank: int
    epochs: int | None
    rate: float | None
    kind: Kind
    quantize: Quantize | None
    momentum: float
    module: str | None
    bounds: str | None
    step_rows: int | None
    even: float | None
    values: int

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Recipe:
        """The recipe of complete options."""
        given = dict(options)
        return cls(source=given.pop("from"), **given)

    def sampling(self) -> RoundSampling:
        """How runs are sampled. Rows from elsewhere need no labels where none are used."""
        elsewhere = self.rows is not None or self.source is not None
        unscored = elsewhere and self.reward is None and self.select in _WITHOUT_LABELS
        metric = UNSCORED if unscored else self.reward
        count = round(self.samples * self.own)
        return RoundSampling(count, self.temperature, self.vary, self.source, metric)

    def teacher_sampling(self) -> RoundSampling:
        """How a teacher makes the samples that are not the program's own."""
        own = self.sampling()
        return replace(own, samples=self.samples - own.samples, model=self.teacher)

    def update(self, *also: str) -> Update:
        """How to train. `also` are other graphs whose modules are trained."""
        names = (
            *("beta", "sft", "kl", "average", "clip", "clip_high"),
            *("smoothing", "optimism", "jsd"),
        )
        settings = LoraSettings(
            self.rank,
            epochs=self.epochs,
            rate=self.rate,
            kind=self.kind,
            quantize=self.quantize,
        )
        return Update(
            settings,
            resume=self.loss != "sft",
            modules=None if self.module is None else (self.module,),
            loss=LossSettings(self.loss, **{name: getattr(self, name) for name in names})
            if self.loss != "sft"
            else LossSettings(),
            also=tuple(name for name in (self.source, *also) if name is not None),
            apart=self.apart,
            momentum=self.momentum,
            live=LiveSteps() if self.step_rows is not None else None,
        )


@frozen
class Round:
    """One round: who sampled, and the runs to learn from. `made` are the rows, if they were made.

    `context` is that of the graph that ran, which may not be the graph that is improved. `taught`
    are the runs of a teacher, and `earlier` those of rounds before that may be learnt from again.
    """

    recipe: Recipe
    number: int
    leader: Parameters
    context: Context
    runs: Sequence[Run]
    made: Sequence[MadeRow] = ()
    taught: Sequence[Run] = ()
    earlier: Sequence[Run] = ()


Way = Callable[[Round], Awaitable[Lessons]]


async def rows_of(
    recipe: Recipe, leader: Parameters, context: Context, number: int
) -> tuple[Sequence[Row] | None, Sequence[MadeRow]]:
    """The rows of a round, if they are made for it; None are the train rows."""
    if recipe.rows is None or context.made is None:
        return None, ()
    made = await context.made.rows(recipe.rows, leader, number * recipe.samples)
    context.tell(f"{len(made)} rows of `{recipe.rows}` were made")
    return [one.row for one in made], made


async def sample_round(
    recipe: Recipe,
    leader: Parameters,
    context: Context,
    number: int,
    update: Update,
    given: Sequence[Row] | None = None,
) -> Round:
    """Sample the runs of a round, on given rows, the train rows or rows that are made for it."""
    sampler = leader if update.demos else without_demos(leader, update.modules)
    rows: Sequence[Row] | None = given
    made: Sequence[MadeRow] = ()
    if given is None:
        rows, made = await rows_of(recipe, sampler, context, number)
    runs = await sample_runs(sampler, context, recipe.sampling(), rows)
    taught: Sequence[Run] = ()
    if update.teaching is not None:
        asked = update.teaching.parameters
        taught = await sample_runs(asked, context, recipe.teacher_sampling(), rows)
    scene = context if recipe.source is None else replace(context, target=recipe.source)
    return Round(recipe, number, sampler, scene, runs, made, taught)
