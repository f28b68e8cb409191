"""Bayesian search over choices: a tree-structured Parzen estimator, scored on a few rows.

Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4, as optuna
implements it. All trials use the same rows, so their scores are comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lmc.optimizers.base import Context
from lmc.optimizers.candidates.racing import Candidate, affordable
from lmc.optimizers.candidates.trials import parameters_key
from lmc.runtime.parameters import Parameters

MINIBATCH_ROWS = 16
PARALLEL_TRIALS = 6
FINALISTS = 4


async def bayesian_search(
    start: Parameters,
    context: Context,
    sizes: Mapping[str, int],
    build: Callable[[Mapping[str, int]], Parameters],
    count: int,
) -> list[Candidate]:
    """The most promising of `count` combinations of options. The best comes first.

    `sizes` is the number of options of each choice. `build` makes parameters from the index of the
    picked option of each choice. Raises: BudgetExceeded.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=context.seed, multivariate=True, constant_liar=True, n_startup_trials=PARALLEL_TRIALS
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    choices: dict[str, optuna.distributions.BaseDistribution] = {
        n: optuna.distributions.CategoricalDistribution(range(s)) for n, s in sizes.items()
    }
    rows = context.select[:MINIBATCH_ROWS]
    scored: dict[str, tuple[float, Candidate]] = {}
    for done in range(0, count, PARALLEL_TRIALS):
        asked = [study.ask(choices) for _ in range(min(PARALLEL_TRIALS, count - done))]
        tried = [Candidate(f"trial {t.number + 1}", build(t.params)) for t in asked]
        if not _affordable(context, tried, rows):
            break
        parameters = [candidate.parameters for candidate in tried]
        scores = await context.trials.scores(f"trials from {done + 1}", parameters, rows)
        for trial, candidate, by_row in zip(asked, tried, scores):
            if not by_row:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            mean = sum(by_row.values()) / len(by_row)
            study.tell(trial, mean)
            key = parameters_key(candidate.parameters)
            if candidate.parameters != start and key not in scored:
                scored[key] = (mean, candidate)
    ranked = sorted(scored.values(), key=lambda pair: -pair[0])
    return [candidate for _, candidate in ranked[:FINALISTS]]


def _affordable(context: Context, tried: Sequence[Candidate], rows: Sequence[object]) -> bool:
    """Whether enough runs remain after these trials for a race of one finalist."""
    left = context.trials.runs_left() - len(tried) * len(rows)
    return affordable([0, 0], len(context.select), left, done=len(rows)) > 0
