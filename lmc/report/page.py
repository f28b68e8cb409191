"""One page about a run of a compilation, with all that it shows in itself and no script."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.report.chart import Chart

MOST_ROWS = 400  # of the table of wins and losses


def report_page(folder: RunFolder) -> str:
    """The page of a run. Raises: LmcError[no-run]."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    record, outcome = folder.record(), folder.outcome()
    events, rows = folder.history(), folder.rows()
    text = files("lmc.report").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    return environment.from_string(text).render(
        record=record,
        identity=record.get("identity", {}),
        outcome=outcome,
        chart=Chart.of(events),
        notes=[e["text"] for e in events if e["event"] == "note"],
        rounds=[e for e in events if e["event"] == "round"],
        sight=next((e.get("sight", "") for e in events if e["event"] == "started"), ""),
        gates=[e for e in events if e["event"] == "gate"],
        candidates=list(_candidates(events)),
        modules=list(_modules(outcome)),
        costs=_costs(outcome),
        rows=sorted(rows, key=_change)[:MOST_ROWS],
        tally=_tally(rows),
    )


def _candidates(events: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The last event of each candidate. Candidates that ran on most rows come first."""
    last = {e["name"]: e for e in events if e["event"] == "candidate"}
    yield from sorted(last.values(), key=lambda e: (-e["rows"], -e["mean"], e["name"]))


def _modules(outcome: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What changed in each module: a diff of its instruction, its demonstrations, its weights."""
    chosen = outcome.get("parameters", {}).get("modules", {})
    for name, source in outcome.get("instructions", {}).items():
        own = chosen.get(name, {})
        new = own.get("instruction") or source
        lines = difflib.ndiff(source.splitlines(), new.splitlines())
        yield {
            "name": name,
            "lines": [(line[:1], line[2:]) for line in lines if line[:1] in " +-"],
            "demos": own.get("demos") or [],
            "nearest": own.get("nearest"),
            "embedder": own.get("embedder"),
            "adapter": own.get("adapter"),
            "model": own.get("model"),
        }


def _costs(outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Calls, tokens, money and model time of each module, the largest share of tokens first."""
    used = outcome.get("by_module", {})
    found = [
        {
            "name": name,
            "calls": u["calls"],
            "prompt": u["prompt_tokens"],
            "completion": u["completion_tokens"],
            "usd": u["cost_usd"],
            "seconds": u["seconds"],
        }
        for name, u in used.items()
    ]
    whole = sum(c["prompt"] + c["completion"] for c in found) or 1
    for cost in found:
        cost["share"] = (cost["prompt"] + cost["completion"]) / whole
    return sorted(found, key=lambda c: -c["share"])


def _change(row: Mapping[str, Any]) -> tuple[float, str]:
    """A sort key: losses first, then wins, then rows whose score did not change."""
    before, after = row["before"]["score"], row["after"]["score"]
    gain = 0.0 if before is None or after is None else after - before
    return (gain if gain < 0 else 2 - gain if gain > 0 else 9.0), row["id"]


def _tally(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    gains = [
        r["after"]["score"] - r["before"]["score"]
        for r in rows
        if r["after"]["score"] is not None and r["before"]["score"] is not None
    ]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return {"wins": wins, "losses": losses, "same": len(gains) - wins - losses}
