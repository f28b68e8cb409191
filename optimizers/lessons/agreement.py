"""Which options of `train` go together. What does not is refused before a model is called."""

from __future__ import annotations

from collections.abc import Iterator

from lmc.diagnostics import LmcError
from lmc.optimizers.lessons.recipe import PAIRED, TEACHES, Recipe, Select

_NOT_SAMPLED: tuple[Select, ...] = ("gold", "corrupted", "revised")  # one answer of each pair
Problem = tuple[str, str]  # a message, and what to do


def require_agreement(recipe: Recipe) -> None:
    """Refuse options that do not fit each other. Raises: LmcError[bad-option]."""
    checks = (_about_material, _about_pairs, _about_teachers, _about_rounds, _about_steps)
    for message, help in (problem for check in checks for problem in check(recipe)):
        raise LmcError.of("bad-option", message, help=help)


def _about_material(recipe: Recipe) -> Iterator[Problem]:
    able = TEACHES.get(recipe.select)
    if able is not None and recipe.loss not in able:
        loss = f"the loss `{recipe.loss}`"
        message = f"`select={recipe.select}` gives nothing that {loss} learns from"
        yield message, f"its losses are {', '.join(able)}"
    if recipe.propose and recipe.rows is None:
        yield (
            "`propose` rewards what makes rows, and there is no `rows`",
            "name a dataset that a program makes",
        )


def _about_pairs(recipe: Recipe) -> Iterator[Problem]:
    given = {
        "even": recipe.even is not None,
        "smoothing": recipe.smoothing > 0,
        "consistency": recipe.consistency,
        "optimism": recipe.optimism > 0,
    }
    for name in (name for name, is_given in given.items() if is_given):
        if recipe.loss not in PAIRED:
            message = f"`{name}` is about pairs, and the loss `{recipe.loss}` learns from none"
            yield message, f"such losses are {', '.join(PAIRED)}"
    if recipe.optimism and recipe.loss != "dpo":
        yield f"the loss `{recipe.loss}` has no `optimism`", 'take `loss="dpo"`'
    if recipe.optimism and recipe.select in _NOT_SAMPLED:
        message = f"`optimism` is about samples, and `{recipe.select}` pairs them with others"
        yield message, "leave out `optimism`, or take another `select`, such as right"


def _about_teachers(recipe: Recipe) -> Iterator[Problem]:
    if recipe.loss == "kl":
        if not recipe.teacher:
            yield (
                "the loss `kl` learns the probabilities of a `teacher`, and there is none",
                "name a model that runs here, or an artifact; what the program's own prompts show"
                ' goes into the weights by `distill(loss="kl")`',
            )
        if not (recipe.samples * recipe.own).is_integer():
            message = f"`own={recipe.own:g}` of `samples={recipe.samples}` is no whole number"
            yield message, "take `own=0`, `own=1`, or as many samples as divide"
        if recipe.propose:
            yield (
                "`propose` rewards what makes rows, and the loss `kl` learns no rewards",
                "leave out `propose`",
            )
        return
    given = {"teacher": recipe.teacher is not None, "own": recipe.own < 1, "jsd": recipe.jsd > 0}
    for name in (name for name, is_given in given.items() if is_given):
        loss = f"the loss `{recipe.loss}`"
        message = f"`{name}` is about probabilities of a teacher, which {loss} does not learn"
        yield message, 'take `loss="kl"`, or leave it out'


def _about_rounds(recipe: Recipe) -> Iterator[Problem]:
    for name, is_given in (("consistency", recipe.consistency), ("replay", recipe.replay > 0)):
        if is_given and recipe.rounds == 1:
            message = f"`{name}` looks at the rounds before, and there is one round"
            yield message, f"give `rounds=2` or more, or leave out `{name}`"
    if recipe.replay and (recipe.loss != "pg" or recipe.select != "right"):
        yield (
            "`replay` is for policy gradients over scored runs",
            'take `select="right"` and `loss="pg"`, as `grpo` does, or leave out `replay`',
        )
    if recipe.replay and recipe.rows is not None:
        message = f"`replay` looks for earlier runs of a row, and `{recipe.rows}` has new ones"
        yield message, "leave out `replay` or `rows`"


def _about_steps(recipe: Recipe) -> Iterator[Problem]:
    if recipe.kind == "dora" and (recipe.momentum or recipe.step_rows is not None):
        name = "momentum" if recipe.momentum else "step_rows"
        message = f"`{name}` and adapters of the kind dora do not go together"
        yield message, 'take `kind="lora"` or `kind="rslora"`'
    if recipe.step_rows is None:
        return
    if recipe.quantize is not None:
        yield (
            "`step_rows` trains the engine's own copy of the model, which is not in 4 bits",
            "leave out `step_rows` or `quantize`",
        )
    if recipe.loss in ("sft", "kl") or recipe.select == "turns":
        yield (
            "`step_rows` trains the current weights step by step, which this does not",
            "leave out `step_rows`, or take another loss, such as pg",
        )
    apart = {
        "momentum": recipe.momentum,
        "propose": recipe.propose,
        "consistency": recipe.consistency,
    }
    for name in (name for name, is_given in apart.items() if is_given):
        yield f"`step_rows` and `{name}` do not go together", "leave out one of them"
