"""One run of a program, or its tests, told while it happens: calls, and the result as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.program.options import LoadOptions
from lmc.program.program import Callee, Program, load, lower_checked
from lmc.program.testing import run_tests
from lmc.runtime.streaming import Listener, snapshots
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.source import Source
from lmc.studio.told import diagnostics_json
from lmc.tasks.loop import run_sync

Tell = Callable[[str, Any], None]
GROWS_S = 0.05  # between two tellings of a growing result
MOST_SHOWN = 200_000  # characters of a text


def try_inputs(given: dict[str, Any], tell: Tell) -> None:
    """Run the program that is given by its text, or by its file. Raises: LmcError."""
    with opened(given) as program:
        run_sync(_tried(program[given["target"]], given["inputs"], tell))


def run_all_tests(given: dict[str, Any], tell: Tell) -> None:
    """Run the `test` blocks of a program. Raises: LmcError if it cannot be loaded."""
    with opened(given) as program:
        for result in run_tests(program):
            told = {"title": result.title, "ok": result.ok, "seconds": round(result.seconds, 3)}
            tell("test", {**told, **diagnostics_json(result.diagnostics)})


def opened(given: dict[str, Any]) -> Program:
    """The program of a task. A text takes the place of its file. Raises: LmcError."""
    options, path = LoadOptions(**given["options"]), Path(given["path"])
    if given.get("text") is None:
        return load(path, **given["options"])
    from lmc.check import check_program

    consent = options.consent(stranger=False)
    checked, found = check_program(Source(str(path), given["text"], path), consent=consent)
    errors = [one for one in found if one.severity == "error"]
    if checked is None or errors:
        raise LmcError(*errors)
    graph = lower_checked(checked)
    return Program(graph, options, checked=checked, base_dir=path.parent, consent=consent)


async def _tried(callee: Callee, inputs: dict[str, Any], tell: Tell) -> None:
    trace, start_s, told_s = Trace(), time.perf_counter(), 0.0
    bound = await callee.bind_aside((), inputs)
    results: list[Any] = []

    def hear_call(call: CallTrace) -> None:
        tell("call", call_json(call))

    async def start(hear: Callable[[Any], None]) -> Any:
        run = callee.program.executor.run(
            callee.graph.name, bound, trace=trace, observer=hear_call, listener=Listener(hear)
        )
        results.append(await run)
        return results[0]

    try:
        async with aclosing(snapshots(start)) as values:
            async for value in values:
                if time.perf_counter() - told_s > GROWS_S:
                    told_s = time.perf_counter()
                    tell("partial", value)
        tell("result", results[0])
    finally:
        trace.sort()
        used = trace.usage
        tell(
            "ended",
            {
                "regions": [region_json(region) for region in trace.regions],
                "seconds": round(time.perf_counter() - start_s, 3),
                "calls": used.calls,
                "cached_calls": used.cached_calls,
                "tokens": used.tokens,
                "cost_usd": used.cost_usd,
            },
        )


def call_json(call: CallTrace) -> dict[str, Any]:
    """A call as the page shows it."""
    return {
        "place": list(call.place),
        "parent": call.parent,
        "module": call.module,
        "role": call.role,
        "model": call.model,
        "sample": call.sample,
        "inputs": call.inputs,
        "outputs": call.outputs,
        "result": call.result,
        "messages": [
            {"role": message["role"], "content": _shown(message["content"])}
            for message in call.messages
        ],
        "raw": [_shown(text) for text in call.raw],
        "attempts": call.attempts,
        "error": call.error,
        "latency_ms": round(call.latency_ms, 1),
        "tokens": call.usage.tokens,
        "cached": bool(call.usage.cached_calls),
        "cost_usd": call.usage.cost_usd,
    }


def region_json(region: RegionTrace) -> dict[str, Any]:
    """A region as the page shows it."""
    return {
        "place": list(region.place),
        "kind": region.kind,
        "name": region.name,
        "inputs": region.inputs,
        "result": region.result,
        "detail": region.detail,
        "error": region.error,
    }


def _shown(content: Any) -> str:
    text = content if isinstance(content, str) else str(content)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
