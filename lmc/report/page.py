"""One page about a run of a compilation, with all that it shows in itself and no script."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lmc.diagnostics import LmcError
from lmc.optimizers.candidates.gate import signed
from lmc.optimizers.compilation.run_folder import RunFolder
from lmc.report.calls import Sent, sent_calls
from lmc.report.chart import Chart

MOST_ROWS = 400  # of the table of wins and losses
MOST_COLUMNS = 8  # for the fields of a record


def report_page(folder: RunFolder) -> str:
    """The page of a run. Raises: LmcError[no-run]."""
    from importlib.resources import files

    from jinja2 import Environment, StrictUndefined

    record, outcome = folder.record(), folder.outcome()
    events, rows = folder.history(), folder.rows()
    sent = sent_calls(folder, outcome)
    text = files("lmc.report").joinpath("report.html.jinja").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    environment.filters["shown"] = _shown
    environment.filters["signed"] = signed
    return environment.from_string(
        text
    ).render(
        record=record,
        state=folder.state,
        why=record.get("why"),
        identity=record.get("identity", {}),
        outcome=outcome,
        bars=list(_bars(outcome.get("manifest", {}))),
        chart=Chart.of(events),
        notes=[e["text"] for e in events if e["event"] == "note"],
        rounds=[e for e in events if e["event"] == "round"],
        sight=next((e.get("sight", "") for e in events if e["event"] == "started"), ""),
        gates=[e for e in events if e["event"] == "gate"],
        candidates=list(_candidates(events)),
        modules=list(_modules(outcome, sent.prompts)),
        graph=Markup(_graph(folder, record)),  # noqa: S704 - the view escapes all texts in it
        costs=_costs(outcome),
        table=_table(sorted(rows, key=_change)[:MOST_ROWS], sent),
        left_out=max(0, len(rows) - MOST_ROWS),
        tally=_tally(rows),
    )


def _bars(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Before and after as bars with intervals, the test rows first; positions are in percent."""
    for name, part in (("test", manifest.get("test")), ("confirm", manifest.get("dev"))):
        if not part:
            continue
        ends = (part["before"], part["after"])
        low = min(0.0, *(end["low"] for end in ends))
        high = max(1.0, *(end["high"] for end in ends))
        sides = []
        for side, end in zip(("before", "after"), ends):
            at = {k: 100 * (end[k] - low) / (high - low) for k in ("mean", "low", "high")}
            sides.append({"side": side, "at": at, **end})
        zero = -100 * low / (high - low)
        yield {"name": name, "sides": sides, "zero": zero, "difference": part["difference"]}


def _graph(folder: RunFolder, record: Mapping[str, Any]) -> str:
    """The graph of what the run compiled: of its artifact, if it is still there and the same."""
    from lmc.ir.svg import draw
    from lmc.program.artifact import Artifact

    out = (record.get("call") or {}).get("out")
    identity = record.get("identity", {})
    for root in (folder.path.resolve().parents[2], Path.cwd()):
        if not out:
            break
        try:
            artifact = Artifact.read(root / out)
        except (LmcError, OSError):
            continue
        hashes = {n: hashlib.sha256(t.encode()).hexdigest() for n, t in artifact.sources.items()}
        if hashes == identity.get("sources"):
            return draw(artifact.graph, identity.get("target"))
    return ""


def _candidates(events: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The last event of each candidate. Candidates that ran on most rows come first."""
    last = {e["name"]: e for e in events if e["event"] == "candidate"}
    yield from sorted(last.values(), key=lambda e: (-e["rows"], -e["mean"], e["name"]))


def _modules(
    outcome: Mapping[str, Any], prompts: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[dict[str, Any]]:
    """Each module as it stands in the source, with what changed, and its prompt as it was sent."""
    chosen = outcome.get("parameters", {}).get("modules", {})
    for name, source in outcome.get("instructions", {}).items():
        own = chosen.get(name, {})
        new = own.get("instruction") or source
        lines = difflib.ndiff(source.splitlines(), new.splitlines())
        demos = own.get("demos") or []
        yield {
            "name": name,
            "lines": [(line[:1], line[2:]) for line in lines if line[:1] in " +-"],
            "demos": demos,
            "inputs": _names(demo.get("inputs") for demo in demos),
            "outputs": _names(demo.get("outputs") for demo in demos),
            "nearest": own.get("nearest"),
            "embedder": own.get("embedder"),
            "adapter": own.get("adapter"),
            "gates": [gate.get("adapter") or "the model's own" for gate in own.get("gates", ())],
            "model": own.get("model"),
            "sent": prompts.get(name, ()),
        }


def _names(values: Iterable[Any]) -> list[str]:
    """The fields of some objects, in the order in which they come; few enough for columns."""
    found = dict.fromkeys(name for value in values if isinstance(value, dict) for name in value)
    return list(found)[:MOST_COLUMNS]


def _table(rows: Sequence[Mapping[str, Any]], sent: Sent) -> dict[str, Any]:
    """The test rows with a column for each field, and the calls of both sides."""
    lines = []
    for row in rows:
        before, after = row["before"], row["after"]
        gain = _gain(row)
        lines.append(
            {
                **row,
                "kind": "lost" if gain < 0 else "won" if gain > 0 else "same",
                "failed": bool(before["error"] or after["error"]),
                "calls": [
                    (side, calls)
                    for side in ("before", "after")
                    if (calls := sent.calls.get((row["id"], side)))
                ],
            }
        )
    answers = [row[side]["pred"] for row in rows for side in ("before", "after")]
    records = all(isinstance(answer, dict) for answer in answers if answer is not None)
    return {
        "rows": lines,
        "values": _names(row["values"] for row in rows),
        "answers": _names(answers) if records else [],
    }


def _shown(value: Any) -> str:
    """A value in a cell: a text as it is, all others as JSON."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


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


def _gain(row: Mapping[str, Any]) -> float:
    """How much a row gained; 0 if one side has no score."""
    before, after = row["before"]["score"], row["after"]["score"]
    return 0.0 if before is None or after is None else after - before


def _change(row: Mapping[str, Any]) -> tuple[float, str]:
    """A sort key: losses first, then wins, then rows whose score did not change."""
    gain = _gain(row)
    return (gain if gain < 0 else 2 - gain if gain > 0 else 9.0), row["id"]


def _tally(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    gains = [_gain(row) for row in rows]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return {"won": wins, "lost": losses, "same": len(gains) - wins - losses}
