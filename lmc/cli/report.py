"""`lmc report`: one self-contained HTML page about a compilation run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.terminal import FILE, say
from lmc.frozen import frozen

if TYPE_CHECKING:
    from lmc.optimizers.compilation.run_folder import RunFolder

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 48, 36  # of the chart, in pixels
MOST_ROWS = 400  # of the table of wins and losses


@click.command("report")
@click.argument("run", type=FILE)
@click.option(
    "-o", "--out", type=FILE, help="File to write.  [default: report.html in the run's folder]"
)
def command(run: Path, out: Path | None) -> None:
    """Write an HTML page about RUN with its scores, prompts, rows and costs.

    RUN is the name or the folder of a run. `lmc runs` lists the runs.
    """
    from lmc.files import write_atomically
    from lmc.optimizers.compilation.run_folder import find_run

    folder = find_run(run)
    file = out or folder.report
    write_atomically(file, page(folder).encode(), private=out is None)
    say(f"wrote {file}")


def page(folder: RunFolder) -> str:
    """The page of a run. Raises: LmcError[no-run]."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    record, outcome = folder.record(), folder.outcome()
    events, rows = folder.history(), folder.rows()
    text = files("lmc.cli").joinpath("report.html.jinja").read_text("utf-8")
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


@frozen
class Point:
    """A candidate after a stage: its position in the chart and its figures."""

    x: float
    y: float
    name: str
    score: float
    calls: int
    rows: int
    dropped: str  # why the race dropped it; empty if it went on


@frozen
class Chart:
    """The scores of all candidates against the calls used so far."""

    points: Sequence[Point]
    leader: str  # the points of a polyline
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> Chart:
        """Place the candidates of a run's events in the chart."""
        scored = [e for e in events if e["event"] == "candidate"]
        most: int = max((e["totals"]["calls"] for e in scored), default=0) or 1
        low: float = min([0.0, *(e["mean"] for e in scored)])
        high: float = max([1.0, *(e["mean"] for e in scored)])

        def x(calls: float) -> float:
            return round(LEFT + (WIDTH - LEFT - 16) * calls / most, 1)

        def y(score: float) -> float:
            share = (score - low) / (high - low)
            return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 12) * share, 1)

        points = [
            Point(
                x(e["totals"]["calls"]), y(e["mean"]), e["name"], e["mean"],
                e["totals"]["calls"], e["rows"], e["dropped"],
            )
            for e in scored
        ]  # fmt: skip
        leaders = [e for e in events if e["event"] == "leader"]
        line = [f"{x(e['totals']['calls'])},{y(e['mean'])}" for e in leaders]
        across = [(x(most * i / 4), f"{most * i / 4:,.0f}") for i in range(5)]
        up = [
            (y(low + (high - low) * i / 4), f"{low + (high - low) * i / 4:.2f}") for i in range(5)
        ]
        return cls(points, " ".join(line), across, up)


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
