"""Routes each input to one of several adapters that were trained before, or merges them.

Source: PHATGOOSE, Muqeeth et al. 2024, arXiv 2402.05859, section 3: a sigmoid gate for each
adapter, trained after the adapter, which is frozen, and without the others. Differences: a gate
looks at the words of an input and not at the activations of each layer; it chooses for a whole call
and not for each token, as LoraRetriever does (Zhao et al. 2024, arXiv 2402.09997), so that calls
with different adapters share batches of the engine and of servers; and it learns from the scores
of its adapter on the train rows, of which none need be what the adapter was trained on. The merged
adapter is the mean of the others (Model soups, Wortsman et al. 2022, arXiv 2203.05482).
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.ir.provenance import reached_modules
from lmc.models.adapter_files import is_dora
from lmc.models.adapters import adapter_store, is_adapter_id
from lmc.optimizers.base import Context, optimizer
from lmc.optimizers.candidates.racing import Candidate, best_of
from lmc.optimizers.candidates.trials import PLAIN
from lmc.optimizers.lessons.acquiring import make_runs, shuffled
from lmc.optimizers.lessons.demonstrations import demo_of
from lmc.program.artifact import Artifact
from lmc.runtime.gates import AdapterGate, chosen_adapter, words_in
from lmc.runtime.parameters import Parameters
from lmc.training.mixing import mix

if TYPE_CHECKING:
    from lmc.runtime.executor import Executor
    from lmc.traces.store import Run

MOST_WORDS = 512  # that a gate looks at
LEAST_ROWS = 2  # with a word, or it tells nothing
PENALTY = 1.0  # of the square of each weight
STEPS = 200
_RUNS_SHARE = 0.5  # largest share of the remaining runs
_BIAS = ""  # no word is empty

Adapters = Mapping[str, Mapping[str, str]]  # by artifact: the adapter of each module


def _check(executor: Executor, target: str, options: Mapping[str, Any]) -> None:
    trained_in(options.get("artifacts"), set(reached_modules(executor.program, target)), executor)


@optimizer(paper="PHATGOOSE, Muqeeth et al. 2024, arXiv 2402.05859", check=_check)
async def route_adapters(
    start: Parameters, context: Context, *, artifacts: str | None, merge: bool, rank: int
) -> Parameters:
    """Choose for each input among adapters that `artifacts` hold, by gates over its words.

    The program runs with each adapter on the train rows, and each gate learns where its own does
    well. The routed program races against each adapter alone, and with `merge` against their mean,
    of rank `rank`.
    """
    known = trained_in(artifacts, set(context.modules()), context.open_executor(start))
    alone = {path: _with(start, adapters) for path, adapters in known.items()}
    rivals = [Candidate(f"the adapters of {path}", one) for path, one in alone.items()]
    with context.until_spent():
        tried = await _tried(context, {"": start, **alone})
        routed = _routed(start, context, known, tried)
        if routed != start:
            rivals.insert(0, Candidate("routed", routed))
        if merge and len(known) > 1:
            merged = await asyncio.to_thread(_merged, start, known, rank)
            rivals += [Candidate("merged", merged)] if merged != start else []
        return await best_of(Candidate("start", start), rivals, context)
    return start


def trained_in(artifacts: str | None, modules: set[str], executor: Executor) -> Adapters:
    """The adapters that artifacts hold for some modules, by the paths of the artifacts.

    The paths are relative to the program's folder, and lie in it if the user allows no other.
    Raises: LmcError[bad-option, outside-folder, cannot-read, artifact-damaged, artifact-too-new].
    """
    consent, base_dir = executor.consent, executor.base_dir or Path()
    paths = [path.strip() for path in (artifacts or "").split(",") if path.strip()]
    what = "an artifact of `route_adapters`"
    places = {path: consent.place(base_dir, path, what) for path in paths}
    found = {path: _adapters_in(place, modules) for path, place in places.items()}
    if not found:
        help = 'write `artifacts="sums.lmpc, dates.lmpc"`'
        raise LmcError.of("bad-option", "`artifacts` names no artifact", help=help)
    return found


def _adapters_in(path: Path, modules: set[str]) -> dict[str, str]:
    trained = Artifact.read(path).parameters.modules
    own = {n: m.adapter for n, m in trained.items() if m.adapter and is_adapter_id(m.adapter)}
    found = {name: id for name, id in own.items() if name in modules}
    if not found:
        message = f"{path} has no adapter of a module that is improved here"
        has = f"it has adapters of {', '.join(own)}" if own else "it has no adapters"
        help = f"{has}; the modules are {', '.join(sorted(modules))}"
        raise LmcError.of("bad-option", message, help=help)
    return found


def _with(start: Parameters, adapters: Mapping[str, str]) -> Parameters:
    for name, id in adapters.items():
        start = start.with_slots(name, adapter=id)
    return start


async def _tried(context: Context, ways: Mapping[str, Parameters]) -> dict[str, list[Run]]:
    """Runs of each way on the same train rows. Raises: BudgetExceeded."""
    rows = shuffled(context, "route_adapters")
    rows = rows[: int(min(len(rows), context.trials.runs_left() * _RUNS_SHARE / len(ways)))]
    return {
        path: await make_runs(one, context, rows, PLAIN, "trying adapters")
        for path, one in ways.items()
    }


def _routed(
    start: Parameters, context: Context, known: Adapters, tried: Mapping[str, Sequence[Run]]
) -> Parameters:
    """The start with gates for each module that has adapters."""
    routed = start
    for name in dict.fromkeys(name for adapters in known.values() for name in adapters):
        own = start.modules.get(name)
        ways = {"": own.adapter if own else None}
        ways |= {path: adapters[name] for path, adapters in known.items() if name in adapters}
        seen = {path: list(_seen(context, name, tried[path])) for path in ways}
        gates = tuple(
            AdapterGate(id, *fit_gate([(words_in(shown), score) for shown, score in seen[path]]))
            for path, id in ways.items()
        )
        chosen = Counter(chosen_adapter(gates, shown) for shown, _ in seen[""])
        told = (f"{path or 'the start'} {chosen[id]}" for path, id in ways.items())
        context.tell(f"the gates of {name} choose: {', '.join(told)}")
        if len(chosen) > 1:  # else one adapter alone does the same
            routed = routed.with_slots(name, gates=gates)
    return routed


def _seen(
    context: Context, name: str, runs: Sequence[Run]
) -> Iterator[tuple[Mapping[str, Any], float]]:
    """The inputs that a module saw, with the scores of the runs."""
    module = context.modules()[name]
    for run in runs:
        for call in run.trace.calls:
            if call.module == name and run.score is not None:
                yield demo_of(module, call.inputs, {}, "").inputs, min(1.0, max(0.0, run.score))


def fit_gate(seen: Sequence[tuple[Sequence[str], float]]) -> tuple[float, dict[str, float]]:
    """The bias and the weights of words that best explain scores from 0 to 1.

    It is a logistic regression with an L2 penalty on the weights of words. Each step is as long as
    a bound of the curvature allows, so that the loss never rises (Böhning & Lindsay 1988).
    """
    counts = Counter(word for words, _ in seen for word in words)
    often = sorted((w for w in counts if counts[w] >= LEAST_ROWS), key=lambda w: (-counts[w], w))
    kept = set(often[:MOST_WORDS])
    rows = [([_BIAS, *(w for w in words if w in kept)], score) for words, score in seen]
    weights = dict.fromkeys([_BIAS, *often[:MOST_WORDS]], 0.0)
    bound = dict.fromkeys(weights, 0.0)
    for words, _ in rows:
        for word in words:
            bound[word] += len(words) / 4
    for _ in range(STEPS):
        slope = dict.fromkeys(weights, 0.0)
        for words, score in rows:
            gap = score - 1 / (1 + math.exp(-sum(weights[word] for word in words)))
            for word in words:
                slope[word] += gap
        for word in weights:
            penalty = PENALTY if word else PENALTY / 10  # so that the bias stays finite
            rise = slope[word] - penalty * weights[word]
            weights[word] += rise / (bound[word] + penalty)
    bias = weights.pop(_BIAS)
    return round(bias, 6), {word: round(weight, 6) for word, weight in weights.items()}


def _merged(start: Parameters, known: Adapters, rank: int) -> Parameters:
    """The start with the mean of the adapters of each module that has several."""
    store, merged = adapter_store(), start
    for name in dict.fromkeys(name for adapters in known.values() for name in adapters):
        ids = dict.fromkeys(adapters[name] for adapters in known.values() if name in adapters)
        parts = [(store.find(id), 1 / len(ids)) for id in ids]
        if len(parts) > 1 and not any(is_dora(one) for one, _ in parts):
            merged = merged.with_slots(name, adapter=mix(parts, store, rank).id)
    return merged
