"""What was run before: jobs, runs and calls of the trace store, and the folders of compilations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.optimizers.compilation.run_folder import RunFolder, kept_runs
from lmc.studio.trying import call_json, region_json
from lmc.studio.workplace import Workplace
from lmc.traces.paging import ORDERS, page_of_runs, run_with_id, stages_and_modules
from lmc.traces.store import DEFAULT_PATH, Filter, TraceStore

PAGE = 25
MOST_PAGE = 200
MOST_JOBS = 200


class Browsing:
    """Reads what runs left behind. A store that is not there is empty, and is not made."""

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._store: TraceStore | None = None

    @property
    def store(self) -> TraceStore | None:
        """The trace store of the folder, or the one that LMC_TRACES names."""
        if self._store is None:
            path = self._place.root / DEFAULT_PATH
            if (url := os.environ.get("LMC_TRACES")) or path.is_file():
                self._store = TraceStore(url or f"sqlite:///{path}")
        return self._store

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    # --- traces ---

    def jobs(self) -> dict[str, Any]:
        """The jobs, the latest first. Raises: LmcError."""
        found = self.store.jobs() if self.store is not None else []
        return {"jobs": [asdict(job) for job in reversed(found[-MOST_JOBS:])]}

    def rows(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """A page of the runs of a job. Raises: LmcError."""
        store, job = self._require_store(), asked.get("job", "")
        first, count = _number(asked, "first", 0), _number(asked, "count", PAGE)
        order = asked.get("order", "created")
        if order not in ORDERS:
            order = "created"
        where = Filter(
            job=job,
            stage=asked.get("stage") or None,
            module=asked.get("module") or None,
            row=asked.get("row") or None,
            failed=True if asked.get("failed") == "1" else None,
            max_score=_float(asked, "max"),
            min_score=_float(asked, "min"),
        )
        page = page_of_runs(store, where, first, min(count, MOST_PAGE), order)
        stages, modules = stages_and_modules(store, job)
        return {
            "total": page.total,
            "first": first,
            "runs": list(page.runs),
            "stages": stages,
            "modules": modules,
        }

    def run(self, id: str) -> dict[str, Any]:
        """One run with its calls and regions. Raises: LmcError[unknown-run]."""
        run = run_with_id(self._require_store(), id)
        if run is None:
            raise LmcError.of("unknown-run", "the store has no such run, or it is damaged")
        names = ("id", "job", "program", "target", "stage", "row", "score", "pred", "feedback")
        more = ("failed", "error", "sample", "variant", "created", "parameters", "training")
        return {
            **{name: getattr(run, name) for name in (*names, *more)},
            "values": dict(run.values),
            "rewards": dict(run.rewards),
            "calls": [call_json(call) for call in run.trace.calls],
            "regions": [region_json(region) for region in run.trace.regions],
        }

    def _require_store(self) -> TraceStore:
        if self.store is None:
            raise LmcError.of("unknown-run", "there are no traces in this folder yet")
        return self.store

    # --- compilations ---

    def compilations(self) -> dict[str, Any]:
        """The runs of compilations, the latest first."""
        found = []
        for folder in kept_runs(self._place.runs)[:MOST_JOBS]:
            record = folder.whole_record()
            if record is None:
                continue
            identity = record.get("identity", {})
            found.append(
                {
                    "name": folder.name,
                    "program": identity.get("program"),
                    "target": identity.get("target"),
                    "steps": identity.get("steps", []),
                    "state": folder.state,
                    "elapsed_s": record.get("elapsed_s"),
                    "used": record.get("used", {}),
                    "verdict": folder.outcome().get("verdict"),
                    "changed": folder.changed_s,
                }
            )
        return {"runs": found}

    def compilation(self, name: str) -> dict[str, Any]:
        """One compilation: its state, figures, candidates and decisions. Raises: LmcError."""
        folder = self.folder(name)
        record, outcome, events = folder.record(), folder.outcome(), folder.history()
        manifest = outcome.get("manifest", {})
        last = {e["name"]: e for e in events if e["event"] == "candidate"}
        candidates = sorted(last.values(), key=lambda e: (-e["rows"], -e["mean"], e["name"]))
        return {
            "name": name,
            "job": folder.job,
            "record": record,
            "state": folder.state,
            "verdict": outcome.get("verdict"),
            "parts": {"confirm": manifest.get("dev"), "test": manifest.get("test")},
            "used": outcome.get("used") or record.get("used", {}),
            "events": [_without_parameters(event) for event in events],
            "candidates": candidates,
            "gates": [e for e in events if e["event"] == "gate"],
            "notes": [e["text"] for e in events if e["event"] == "note"],
            "parameters": outcome.get("parameters"),
            "instructions": outcome.get("instructions", {}),
        }

    def folder(self, name: str) -> RunFolder:
        """The folder of a run by its name. Raises: LmcError[no-run]."""
        if not name or name != Path(name).name or name.startswith("."):
            raise LmcError.of("no-run", "a run has a plain name")
        folder = RunFolder(self._place.runs / name)
        folder.record()
        return folder


def _without_parameters(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "parameters"}


def _number(asked: Mapping[str, str], name: str, otherwise: int) -> int:
    given = asked.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 10 else otherwise


def _float(asked: Mapping[str, str], name: str) -> float | None:
    try:
        return float(asked[name])
    except (KeyError, ValueError):
        return None
