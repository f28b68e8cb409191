"""The page about a compilation: its chart, its rows and their calls."""

import json

import pytest

from lmc.optimizers.compilation.recording import digest_of
from lmc.optimizers.compilation.run_folder import RunFolder, job_name
from lmc.report.chart import Chart, leading, ticks
from lmc.report.page import report_page
from lmc.requests.usage import Usage
from lmc.runtime.parameters import Parameters
from lmc.runtime.traces import CallTrace, Trace
from lmc.traces.store import Run, TraceStore
from tests.test_studio.browsers import browser

IDENTITY = {
    "program": "desk.lmp", "target": "main", "metric": "right", "objective": None,
    "steps": ["bootstrap"], "seed": 0, "rows": {"test": 2}, "sources": {},
}  # fmt: skip


def event(kind: str, calls: int, **more) -> dict:
    return {"event": kind, "totals": {"calls": calls}, "rows": 8, "dropped": "", **more}


EVENTS = [
    event("candidate", 100, name="start", mean=0.25),
    event("candidate", 300, name="one", mean=0.5),
    event("leader", 300, name="one", mean=0.5, baseline=0.25),
    event("finished", 900),
]


def test_the_line_of_leaders_begins_at_the_start_and_ends_at_the_last_call() -> None:
    assert leading(EVENTS, 900) == [(100, 0.25), (300, 0.25), (300, 0.5), (900, 0.5)]
    assert len(Chart.of(EVENTS).leader.split()) == 4
    assert Chart.of([]).leader == ""


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 2308, [0, 500, 1000, 1500, 2000]),
        (0, 900, [0, 200, 400, 600, 800]),
        (0, 7, [0, 2, 4, 6]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 1, [0, 0.5, 1]),
        (0, 0, [0]),
    ],
)
def test_ticks_stand_at_round_numbers(low, high, wanted) -> None:
    assert ticks(low, high) == wanted


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished run with two test rows, the first of which lost, and its trace store."""
    monkeypatch.delenv("LMC_TRACES", raising=False)
    folder = tmp_path / ".lmc" / "runs" / "r"
    folder.mkdir(parents=True)
    start = {"modules": {}, "choices": {}, "shortcuts": {}}
    chosen = {**start, "modules": {"ask": {"instruction": "Answer in <b>one</b> word."}}}
    figure = {"mean": 0.5, "low": 0.1, "high": 0.9, "rows": 2, "calls": 1.0, "failed": 0}
    part = {"before": figure, "after": figure, "difference": {**figure, "mean": 0.0}}
    outcome = {
        "start": start, "parameters": chosen, "instructions": {"ask": "Answer."}, "reached": [],
        "verdict": "no gain", "by_module": {},
        "manifest": {"models": ["m"], "dev": None, "test": part},
        "used": {"calls": 4, "cached_calls": 0, "tokens": 9, "cost_usd": 0},
    }  # fmt: skip
    rows = [line("a", 1, 0), line("b", 0, 0)]
    for name, text in (
        ("run.json", json.dumps({"identity": IDENTITY, "state": "complete", "elapsed_s": 1})),
        ("outcome.json", json.dumps(outcome)),
        ("history.jsonl", "".join(json.dumps(e) + "\n" for e in EVENTS)),
        ("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
    ):
        (folder / name).write_text(text)
    store = TraceStore(f"sqlite:///{tmp_path}/.lmc/traces.db")
    for row, parameters, said in (("a", start, "yes"), ("a", chosen, "no")):
        call = CallTrace((0,), "/", "ask", "generate", {"q": row}, usage=Usage(calls=1))
        call.messages = [{"role": "system", "content": f"prompt that says {said}"}]
        call.raw = [f"raw {said}"]
        digest = digest_of(Parameters.from_json(parameters))
        job = job_name(IDENTITY)
        traced = Run(job, "desk.lmp", "main", "final test", row, digest, {}, Trace([call]))
        store.add([traced], parameters)
    store.close()
    return RunFolder(folder)


def line(id: str, before: float, after: float) -> dict:
    sides = {
        side: {"score": score, "pred": {"word": f"{side}-{id}"}, "error": None}
        for side, score in (("before", before), ("after", after))
    }
    return {"id": id, "values": {"q": id, "gold": {"deep": [1]}}, **sides}


def test_the_page_shows_prompts_as_sent_and_rows_that_open_their_calls(run) -> None:
    page = report_page(run)
    assert page.index('class="bars"') < page.index("no gain") < page.index("Score against calls")
    assert "+</span>" not in page
    assert "+ Answer in &lt;b&gt;one&lt;/b&gt; word." in page
    assert "prompt that says no" in page  # as it is sent now
    assert "prompt that says yes" not in page
    assert "raw yes" in page  # what each side wrote for the row that lost
    assert "raw no" in page
    for column in ("q", "gold", "word before", "word after"):
        assert f"<th>{column}</th>" in page
    assert page.count('<tbody class="lost">') == 1
    assert page.count('<tbody class="same">') == 1
    assert '<td class="number bad">1 → 0</td>' in page
    assert '<td class="number ">0 → 0</td>' in page  # a score of 0 that stays is not green
    assert "<script" not in page


@pytest.mark.parametrize("width", [390, 1280])
def test_long_names_fit_the_page(run, width) -> None:
    text = report_page(run).replace("ask", "a_name_" * 20)
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": width, "height": 800})
        page.set_content(text)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_page_needs_no_trace_store(run, tmp_path) -> None:
    (tmp_path / ".lmc" / "traces.db").unlink()
    page = report_page(run)
    assert "The trace store has no call of it." in page
    assert "calls of this row" not in page
