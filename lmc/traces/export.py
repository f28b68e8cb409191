"""Traces as JSON lines: whole, as chats to fine-tune on, or as preference pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from lmc.prompts.tool_turns import CALLS, step_message
from lmc.runtime.traces import CallTrace
from lmc.traces.led import consistent_calls
from lmc.traces.selectors import Pair
from lmc.traces.store import Run


def run_line(run: Run) -> dict[str, Any]:
    """A whole run, with the calls and regions of its tree in the program's order."""
    head = {
        "id": run.id,
        "job": run.job,
        "program": run.program,
        "target": run.target,
        "stage": run.stage,
        "row": run.row,
        "values": dict(run.values),
        "parameters": run.parameters,
        "training": run.training,
        "sample": run.sample,
        "variant": run.variant,
        "score": run.score,
        "pred": run.pred,
        **({"rewards": dict(run.rewards)} if run.rewards else {}),
        "feedback": run.feedback,
        "failed": run.failed or None,
        "error": run.error,
        "created": run.created,
    }
    calls = [_tree_line(call, run.trace.group_of(call)) for call in run.trace.calls]
    regions = [_tree_line(region) for region in run.trace.regions]
    return {**head, "calls": calls, "regions": regions}


def chat_lines(runs: Iterable[Run], module: str | None = None) -> Iterator[dict[str, Any]]:
    """One chat for every call that led to a run's result, in the format of fine-tuning services.

    Select good runs first, because a model trained on the chats imitates them.
    """
    for run in runs:
        for call in consistent_calls(run.trace):
            if call.raw and module in (None, call.module):
                yield {"messages": [*call.messages, _reply(call)]}


def pair_lines(pairs: Iterable[Pair], module: str | None = None) -> Iterator[dict[str, Any]]:
    """Preference pairs in the conversational format of preference trainers."""
    for pair in pairs:
        if module in (None, pair.chosen.module):
            yield {
                "prompt": pair.chosen.messages,
                "chosen": [_reply(pair.chosen)],
                "rejected": [_reply(pair.rejected)],
                "weight": pair.weight,
            }


def _reply(call: CallTrace) -> dict[str, Any]:
    """The last answer: its text, or its calls of tools."""
    if call.outputs is not None and CALLS in call.outputs:
        return step_message(call.outputs)
    return {"role": "assistant", "content": call.raw[-1]}


def _tree_line(entry: Any, group: str | None = None) -> dict[str, Any]:
    data = asdict(entry)
    del data["place"]
    return {"id": entry.id, **data, **({"sample_group": group} if group else {})}
