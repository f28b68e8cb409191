"""What a report takes from the trace store: the prompts as they were sent, the calls of rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.optimizers.compilation.recording import digest_of
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.runtime.parameters import Parameters
from lmc.traces.store import DEFAULT_PATH, Filter, Run, TraceStore

STAGE = "final test"
MOST_RUNS = 1000
_SIDES = ("before", "after")


@frozen
class Sent:
    """The calls of the last stage. `prompts` are by module, `calls` by row and side."""

    prompts: Mapping[str, Sequence[Mapping[str, Any]]]
    calls: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]


NOTHING = Sent({}, {})


def sent_calls(folder: RunFolder, outcome: Mapping[str, Any]) -> Sent:
    """What the trace store beside a run's folder knows of it; a store that fails knows nothing."""
    store = _store(folder)
    if store is None or not outcome:
        return NOTHING
    before, after = (
        digest_of(Parameters.from_json(outcome.get(key, {}))) for key in ("start", "parameters")
    )
    try:
        runs = list(store.runs(Filter(job=folder.job, stage=STAGE, limit=MOST_RUNS)))
    except LmcError:
        return NOTHING
    finally:
        store.close()
    sides = {before: "before", after: "after"}
    prompts: dict[str, Sequence[Mapping[str, Any]]] = {}
    calls: dict[tuple[str, str], Sequence[Mapping[str, Any]]] = {}
    for run in runs:
        side = sides.get(run.parameters)
        if side is None or run.sample:
            continue
        calls[run.row, side] = [_short(call) for call in run.trace.calls]
        if side == "after":
            _take_prompts(run, prompts)
    return Sent(prompts, calls)


def _store(folder: RunFolder) -> TraceStore | None:
    """The store that a run in `.lmc/runs` writes to."""
    if url := os.environ.get("LMC_TRACES"):
        return TraceStore(url)
    path = folder.path.resolve().parent.parent / DEFAULT_PATH.name
    for place in (path, Path.cwd() / DEFAULT_PATH):
        if place.is_file():
            return TraceStore(f"sqlite:///{place}")
    return None


def _take_prompts(run: Run, prompts: dict[str, Sequence[Mapping[str, Any]]]) -> None:
    for call in run.trace.calls:
        if call.messages and call.module not in prompts:
            answer = {"role": "assistant", "content": call.raw[-1]} if call.raw else None
            messages = [*call.messages, *([answer] if answer else [])]
            prompts[call.module] = [{k: str(m[k]) for k in ("role", "content")} for m in messages]


def _short(call: Any) -> dict[str, Any]:
    return {
        "module": call.module,
        "role": call.role,
        "inputs": call.inputs,
        "outputs": call.outputs,
        "raw": call.raw[-1] if call.raw else "",
        "error": call.error,
    }
