"""Accepted jobs: they run in the background, once for a key, and survive the server."""

import gc
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from lmc.diagnostics import LmcError
from lmc.serve.journal import JobJournal
from tests.loopback import Loopback
from tests.test_serve.servers import served
from tests.test_serve.test_gate import Slow

KEYS = {"one": {"X-API-Key": "a" * 20}, "two": {"X-API-Key": "b" * 20}}


def wait_done(client: httpx.Client, id: str, **more) -> dict:
    until = time.monotonic() + 20
    while (job := client.get(f"/jobs/{id}", **more).json())["state"] in ("waiting", "running"):
        assert time.monotonic() < until, job
        time.sleep(0.02)
    return job


def submit(client: httpx.Client, *questions: str, target: str = "main", **headers) -> dict:
    rows = [{"question": question} for question in questions]
    got = client.post(f"/jobs/{target}", json={"rows": rows}, headers=headers)
    assert got.status_code == 202, got.text
    assert got.headers["location"] == f"/jobs/{got.json()['id']}"
    return got.json()


def test_a_job_runs_and_keeps_its_order(tmp_path):
    with served(tmp_path, jobs=tmp_path / "jobs.db", job_runs=3) as client:
        rows = [{"message": f"m{i}"} for i in range(9)] + [{"message": "wrong"}]
        id = client.post("/jobs/sort", json={"rows": rows}).json()["id"]
        job = wait_done(client, id)
        assert (job["state"], job["succeeded"], job["failed"]) == ("done", 9, 1)
        first = client.get(f"/jobs/{id}/results?limit=4").json()
        assert [one["row"] for one in first["results"]] == [0, 1, 2, 3] and first["next"] == 4
        rest = client.get(f"/jobs/{id}/results?start=4").json()
        assert rest["next"] is None and rest["results"][-1]["error"]["slug"] == "call-failed"
        assert rest["results"][0]["result"]["desk"] == "login"
        assert client.get(f"/jobs/{id}/results?limit=-1").status_code == 400


def test_a_job_with_a_wrong_row_is_not_accepted(tmp_path):
    with served(tmp_path, jobs=tmp_path / "jobs.db", job_rows=3) as client:
        got = client.post("/jobs/main", json={"rows": [{"question": "a"}, {"questio": "b"}]})
        assert got.status_code == 422 and got.json()["detail"].startswith("row 1: ")
        for rows in ([], [{"question": "a"}] * 4):
            assert client.post("/jobs/main", json={"rows": rows}).json()["slug"] == "too-many-rows"
        assert client.get("/jobs/nothing").status_code == 404


def test_a_key_stands_for_one_job(tmp_path):
    with served(tmp_path, jobs=tmp_path / "jobs.db") as client:
        ids = {submit(client, "a", **{"Idempotency-Key": "k"})["id"] for _ in range(3)}
        assert len(ids) == 1
        got = client.post(
            "/jobs/main", json={"rows": [{"question": "b"}]}, headers={"Idempotency-Key": "k"}
        )
        assert (got.status_code, got.json()["slug"]) == (422, "key-reused")
        too_long = {"Idempotency-Key": "k" * 300}
        assert client.post("/jobs/main", json={"rows": []}, headers=too_long).status_code == 400


def test_a_run_with_a_key_is_answered_again_and_not_run_again(tmp_path):
    slow = Slow()
    with served(tmp_path, slow, jobs=tmp_path / "jobs.db") as client:
        key = {"Idempotency-Key": "r"}
        with pytest.raises(httpx.ReadTimeout):
            client.post("/run/main", json={"question": "a"}, headers=key, timeout=0.3)
        slow.expect(waiting=1, left=0)  # it was accepted
        slow.may_answer.set()
        got = [client.post("/run/main", json={"question": "a"}, headers=key) for _ in range(2)]
        assert {one.json()["result"] for one in got} == {"done"}
        assert got[1].headers["idempotency-replayed"] == "true"
        calls = re.search(
            r'lmc_model_calls_total\{cached="no".*\} (\S+)', client.get("/metrics").text
        )
        assert float(calls[1]) == 1


def test_a_failed_run_with_a_key_is_the_same_problem(tmp_path):
    with served(tmp_path, jobs=tmp_path / "jobs.db") as client:
        body, key = {"message": "wrong"}, {"Idempotency-Key": "k"}
        got = [client.post("/run/sort", json=body, headers=key) for _ in range(2)]
        assert {(one.status_code, one.json()["slug"]) for one in got} == {(502, "call-failed")}


def test_a_cancelled_job_stops_its_calls(tmp_path):
    slow = Slow()
    with served(tmp_path, slow, jobs=tmp_path / "jobs.db", job_runs=2) as client:
        id = submit(client, "a", "b", "c")["id"]
        slow.expect(waiting=2)
        job = client.delete(f"/jobs/{id}").json()
        assert (job["state"], job["cancelled"]) == ("cancelled", 3)
        slow.expect(waiting=0, left=2)
        assert client.get(f"/jobs/{id}/results").json()["results"][0] == {
            "row": 0,
            "cancelled": True,
        }
        slow.may_answer.set()
        assert wait_done(client, submit(client, "d")["id"])["succeeded"] == 1


def test_a_small_job_does_not_wait_for_a_large_one(tmp_path):
    with served(tmp_path, jobs=tmp_path / "jobs.db", job_runs=1) as client:
        large = submit(client, *(f"q{i}" for i in range(200)))["id"]
        small = submit(client, "a")["id"]
        wait_done(client, small)
        assert client.get(f"/jobs/{large}").json()["state"] == "running"


def test_a_job_belongs_to_its_key(tmp_path):
    keys = [headers["X-API-Key"] for headers in KEYS.values()]
    with served(tmp_path, jobs=tmp_path / "jobs.db", keys=keys) as client:
        own = {**KEYS["one"], "Idempotency-Key": "same"}
        id = submit(client, "a", **own)["id"]
        for method, path in (("GET", ""), ("GET", "/results"), ("DELETE", "")):
            got = client.request(method, f"/jobs/{id}{path}", headers=KEYS["two"])
            assert got.json()["slug"] == "unknown-job"
        assert submit(client, "b", **{**KEYS["two"], "Idempotency-Key": "same"})["id"] != id


def test_two_servers_cannot_share_a_journal(tmp_path):
    journal = JobJournal(tmp_path / "jobs.db")
    journal.open()
    with pytest.raises(LmcError, match="another server"):
        JobJournal(tmp_path / "jobs.db").open()
    journal.close()
    again = JobJournal(tmp_path / "jobs.db")
    again.open()
    again.close()


def test_a_journal_that_is_dropped_closes_its_database(tmp_path):
    journal = JobJournal(tmp_path / "jobs.db")
    pooled = journal._engine.raw_connection()
    db = pooled.driver_connection
    pooled.close()  # it goes back to the pool
    del journal, pooled
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_old_jobs_are_forgotten(tmp_path):
    journal = JobJournal(tmp_path / "jobs.db")
    job, _ = journal.accept("", None, "d", ("p", "t"), [{}], 10)
    assert journal.purge(0) == 0  # it has a row that waits
    journal.cancel(job.id, "")
    assert journal.purge(1) == 0 and journal.purge(0) == 1
    with pytest.raises(LmcError, match="unknown-job"):
        journal.job(job.id, "")
    journal.close()


def started(folder: Path, url: str, port: int = 0) -> tuple[subprocess.Popen, str]:
    """A server in a process of its own, and its URL."""
    env = os.environ | {"OPENAI_API_KEY": "k", "LMC_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-c", "from lmc.cli.main import main; main()", "serve", "a.lmp"]
    command += ["--port", str(port), "--base-url", url, "--job-runs", "4", "--grace", "5"]
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = ""
    for line in process.stdout:
        said += line
        if found := re.search(r"serving at (\S+),", line):
            return process, found[1]
    raise AssertionError(said)


def test_kill_9_loses_no_accepted_row_and_pays_none_twice(tmp_path):
    (tmp_path / "a.lmp").write_text(
        'model m { name: "openai/m", temperature: 0 }\n'
        "generate main(question: str) -> str { model: m }\n"
    )
    with Loopback(lambda payload: "said", latency_s=0.05) as model:
        process, url = started(tmp_path, model.url)
        try:
            questions = [f"q{i}" for i in range(40)]
            with httpx.Client(base_url=url) as client:
                id = submit(client, *questions)["id"]
                while not client.get(f"/jobs/{id}").json()["succeeded"]:
                    time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            asked = len(model.payloads)
            assert 0 < asked < 40
            process, url = started(tmp_path, model.url)
            with httpx.Client(base_url=url) as client:
                assert wait_done(client, id)["succeeded"] == 40
                results = client.get(f"/jobs/{id}/results").json()["results"]
            assert {one["result"] for one in results} == {"said"} and len(results) == 40
            # Those that were in flight at the kill had no answer, so they are asked again.
            assert 40 <= len(model.payloads) <= 40 + 4
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        assert process.returncode == 0
