"""Runs of compilations: listed, shown as a page, resumed, deleted; and artifacts compared."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.landscapes import PROGRAM, Landscape, reply, rows
from lmc.cli.main import cli
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.compile import compile as improve
from lmc.optimizers.compilation.run_folder import RunFolder


def lmc(*arguments: str) -> Any:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and their artifacts."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        Path("it.lmp").write_text(PROGRAM)
        backend = Scripted(reply(Landscape(0)), name="landscape")
        for name, optimizer in (("a", "reflect(rounds=4)"), ("b", "labeled(demos=2)")):
            improve(
                "it.lmp", data=rows(160), metric="accuracy", optimizer=optimizer,
                backend=backend, cache=False, out=f"{name}.lmpc",
            )  # fmt: skip
    return place


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def runs() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lmc("runs", "list", "--json").output)
    return found


def test_runs_are_listed() -> None:
    found = runs()
    assert {run["state"] for run in found} == {"complete"}
    assert {run["steps"] for run in found} == {"reflect(rounds=4)", "labeled(demos=2)"}
    shown = lmc("runs").output
    assert all(run["name"] in shown for run in found)


def test_every_figure_of_the_page_is_in_the_run() -> None:
    run = next(r for r in runs() if r["steps"].startswith("reflect"))
    assert lmc("report", run["name"]).exit_code == 0
    folder = Path(".lmc/runs") / run["name"]
    page = html.unescape((folder / "report.html").read_text())
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["verdict"] in page
    test = outcome["manifest"]["test"]
    for figure in (test["before"]["mean"], test["after"]["mean"], test["difference"]["mean"]):
        assert f"{figure:.3f}" in page
    lines = map(json.loads, (folder / "history.jsonl").read_text().splitlines())
    events = list(lines)
    candidates = [e for e in events if e["event"] == "candidate"]
    assert page.count("<circle") == len(candidates)
    titles = re.findall(r"<title>(\S+): ([\d.]+) on (\d+) rows, (\d+) calls</title>", page)
    assert [(n, float(s), int(r), int(c)) for n, s, r, c in titles] == [
        (e["name"], round(e["mean"], 3), e["rows"], e["totals"]["calls"]) for e in candidates
    ]
    rows_run = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    wins = sum(r["after"]["score"] > r["before"]["score"] for r in rows_run)
    assert f"{wins} won" in page
    new = outcome["parameters"]["modules"]["main"]["instruction"]
    assert f"+ {new}" in page
    used = outcome["by_module"]["main"]
    assert f"{used['calls']:,}" in page


def test_the_page_holds_no_script_and_loads_nothing() -> None:
    for run in runs():
        lmc("report", run["name"])
        page = (Path(".lmc/runs") / run["name"] / "report.html").read_text()
        assert "<script" not in page
        assert "http" not in page


def test_rows_cannot_write_into_the_page(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    (tmp_path / "run.json").write_text(
        json.dumps({"state": "stopped", "why": bad, "identity": {
            "program": bad, "target": bad, "metric": bad, "objective": None, "steps": [bad],
            "seed": 0, "rows": {},
        }})
    )  # fmt: skip
    assert lmc("report", str(tmp_path)).exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert bad not in page and "the run is stopped: &lt;script&gt;" in page


def test_artifacts_are_compared() -> None:
    shown = lmc("diff", "a.lmpc", "b.lmpc").output
    assert "- Give the label of the text. Mind:" in shown
    assert lmc("diff", "a.lmpc", "a.lmpc").output.startswith(
        "sources, instructions, demonstrations, weights and choices are the same"
    )


def test_a_difference_is_tested_on_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Scripted(reply(Landscape(0)), name="landscape")
    monkeypatch.setattr("lmc.requests.pool.open_backend", lambda *_: (backend, "landscape"))
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(120, 5)))
    shown = lmc("diff", "b.lmpc", "a.lmpc", "--data", "rows.jsonl", "--no-cache").output
    assert re.search(r"accuracy: 0\.\d+ -> \d\.\d+, \+0\.\d+ on 120 rows .*: significant", shown)


def test_what_was_begun_from_python_with_a_backend_cannot_be_resumed() -> None:
    found = lmc("runs", "resume", runs()[0]["name"])
    assert found.exit_code == 1
    assert "does not record the options that the run was started with" in str(
        found.exception or found.output
    )


def test_runs_are_deleted_and_unknown_ones_said_to_be(tmp_path: Path) -> None:
    found = lmc("runs", "delete", "nosuch")
    assert found.exit_code == 1
    before = runs()
    assert lmc("runs", "delete", before[-1]["name"]).exit_code == 0
    assert len(runs()) == len(before) - 1


def test_a_run_whose_process_is_gone_was_killed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"state": "running", "identity": {}}))
    assert RunFolder(tmp_path).state == "killed"
    with RunFolder(tmp_path).locked():
        assert RunFolder(tmp_path).state == "running"
    (tmp_path / "run.json").write_text("{")
    assert RunFolder(tmp_path).state == "damaged"
