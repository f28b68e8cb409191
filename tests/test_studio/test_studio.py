"""The server of the studio: who may ask, which files it uses, writing, trying, comparing, rows."""

import json
import re
import time
from importlib import resources

import httpx
import pytest

from lmc.requests.usage import Usage
from lmc.runtime.traces import CallTrace, Trace
from lmc.studio.comparing import compared
from lmc.studio.workplace import Workplace
from lmc.traces.store import Run, TraceStore
from tests.test_serve.servers import events
from tests.test_studio.studios import PROGRAM, ROWS, TOKEN, folder, opened


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    work = folder(tmp_path_factory.mktemp("studio"))
    with opened(work) as (app, client):
        yield work, app, client


def ask(client: httpx.Client, path: str, **body):
    return client.post(path, json=body)


def text(change=lambda text: text, **more):
    return {"file": "desk.lmp", "text": change(PROGRAM), **more}


# --- who may ask ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer " + "x" * 32}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"host": "studio.example"}, 403),
        ({"origin": "http://studio.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),  # another server of this machine
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_only_its_own_page_with_the_token_may_ask(studio, headers, status) -> None:
    client = studio[2]
    assert client.get("/api/files", headers=headers).status_code == status


def test_a_form_of_another_site_can_send_nothing(studio) -> None:
    client = studio[2]
    sent = client.post("/api/files", content="{}", headers={"content-type": "text/plain"})
    assert sent.status_code == 405
    kind = {"content-type": "text/plain"}
    assert client.post("/api/check", content="{}", headers=kind).status_code == 415


def test_every_path_that_knows_the_folder_wants_the_token(studio) -> None:
    app, client = studio[1], studio[2]
    from lmc.studio.run_routes import ENDPOINTS

    paths = [path for path, _, _ in ENDPOINTS] + ["/api/open", "/api/save", "/api/rows"]
    for path in paths:
        for method in ("GET", "POST"):
            got = client.request(method, path, headers={"authorization": ""}, json={})
            assert got.status_code in (401, 405), path
    assert app.state.access.token not in client.get("/").text


def test_the_page_runs_no_script_but_its_own_and_asks_no_other_host(studio) -> None:
    page = studio[2].get("/", headers={"authorization": ""})
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    parts = list((resources.files("lmc.studio") / "page").iterdir())
    for part in parts:
        found = re.findall(r"https?://[\w.]+", part.read_text("utf-8"))
        assert set(found) <= {"http://www.w3.org"}, part.name  # the name of SVG, not an address
        assert " style=" not in part.read_text("utf-8")
        assert ".innerHTML" not in part.read_text("utf-8")
        assert studio[2].get(f"/page/{part.name}").status_code == 200
    assert studio[2].get("/page/..%2froutes.py").status_code == 404


# --- files ---


@pytest.mark.parametrize(
    "name",
    [
        "../secret.lmp", "/etc/passwd", "a/../../secret.lmp", ".lmc/a.lmp", "notes.txt", "", ".",
        "link.lmp", "x\0.lmp", "sub/.hidden.lmp", "desk.lmp/..", None, 7, ["desk.lmp"],
    ],
)  # fmt: skip
def test_no_name_leads_out_of_the_folder(studio, name) -> None:
    work, _, client = studio
    link = work / "link.lmp"
    if not link.is_symlink():
        link.symlink_to(work.parent / "secret.lmp")
    got = ask(client, "/api/open", file=name)
    assert got.status_code in (400, 403, 404)
    assert "secret" not in got.json().get("text", "")
    made = ask(client, "/api/create", file=name, text="x")
    assert made.status_code in (400, 403, 409)
    assert (work.parent / "secret.lmp").read_text() == PROGRAM


def test_saving_never_loses_what_somebody_else_wrote(tmp_path) -> None:
    work = folder(tmp_path)
    with opened(work) as (_, client):
        known = ask(client, "/api/open", file="desk.lmp").json()["digest"]
        (work / "desk.lmp").write_text("# another one\n")
        got = ask(client, "/api/save", file="desk.lmp", text="# mine\n", digest=known)
        assert (got.status_code, got.json()["slug"]) == (409, "changed-file")
        assert (work / "desk.lmp").read_text() == "# another one\n"
        assert ask(client, "/api/create", file="desk.lmp", text="x").json()["slug"] == "file-there"
        made = ask(client, "/api/create", file="new.lmp", text="# new\n").json()["digest"]
        ask(client, "/api/save", file="new.lmp", text="# newer\n", digest=made).raise_for_status()
        assert (work / "new.lmp").read_text() == "# newer\n"


def test_lines_end_as_they_did(tmp_path) -> None:
    work = folder(tmp_path)
    (work / "desk.lmp").write_bytes(b"# one\r\n# two\r\n")
    place = Workplace(work)
    place.save("desk.lmp", "# one\n# 2\n", place.read("desk.lmp").digest)
    assert (work / "desk.lmp").read_bytes() == b"# one\r\n# 2\r\n"


# --- writing ---


def test_a_text_is_checked_while_it_is_written(studio) -> None:
    client = studio[2]
    good = ask(client, "/api/check", **text()).json()
    assert good["findings"] == []
    assert [one["name"] for one in good["targets"]] == ["ask", "main", "twice"]
    main = good["targets"][1]
    assert main["inputs"]["required"] == ["question"]
    assert main["inputs"]["properties"]["loud"]["default"] is True
    wrong = ask(client, "/api/check", **text(lambda t: t.replace("upper(q", "uper(q"))).json()
    assert [one["code"] for one in wrong["findings"]] == ["unknown-name"]
    assert wrong["findings"][0]["start"] == [7, 22]
    assert wrong["targets"] == []
    mends = ask(
        client, "/api/fixes", **text(lambda t: t.replace("upper(q", "uper(q"), line=7, character=23)
    ).json()
    assert mends[0]["edits"][0]["text"] == "upper"


def test_prompts_completions_and_graphs_follow_the_text(studio) -> None:
    client = studio[2]
    change = text(lambda t: t.replace("Answer the question", "Say more"), target="ask")
    shown = ask(client, "/api/preview", **change).json()
    assert "Say more" in shown["sections"][0]["messages"][0]["content"]
    assert [choice["origin"] for choice in shown["choices"]][:1] == ["row 1 of rows"]
    offered = ask(client, "/api/complete", **text(line=7, character=11)).json()
    assert "Answer" in [one["label"] for one in offered]
    drawn = ask(client, "/api/graph", **text(target="twice", shown={"n2": "SHOWN"})).json()
    assert "SHOWN" in drawn["svg"]
    assert "<style" not in drawn["svg"]
    assert [box["name"] for box in drawn["boxes"].values() if box["kind"] == "generate"] == [
        "ask"
    ] * 2
    broken = ask(client, "/api/preview", **text(lambda t: t + "oops", target="ask"))
    assert (broken.status_code, broken.json()["slug"]) == (422, "has-mistakes")


# --- trying ---


def test_a_try_runs_the_text_of_the_page_and_not_the_file(studio) -> None:
    body = text(lambda t: t.replace("upper(", "lower("), target="main", inputs={"question": "AB"})
    got = dict(events(ask(studio[2], "/api/try", **body).text))
    assert json.loads(got["result"]) == {"words": "ab", "loud": True}
    ended = json.loads(got["ended"])
    assert ended["calls"] == 0
    assert ended["regions"][0]["name"] == "main"
    assert json.loads(got["end"])["code"] == 0


def test_a_try_tells_what_is_wrong(studio) -> None:
    got = dict(events(ask(studio[2], "/api/try", **text(target="main", inputs={"loud": 1})).text))
    told = json.loads(got["failed"])["errors"]
    assert told[0]["slug"] == "missing-input"
    assert told[0]["place"] == {"file": "desk.lmp", "line": 7, "column": 1}


def test_tests_are_told_one_by_one(studio) -> None:
    failing = 'test "it is quiet" { assert main("a").words == "b" }\n'
    got = events(ask(studio[2], "/api/test", **text(lambda t: t + failing)).text)
    loud, quiet = (json.loads(data) for name, data in got if name == "test")
    assert (loud["title"], loud["ok"], loud["errors"]) == ("it is loud", True, [])
    assert (quiet["title"], quiet["ok"]) == ("it is quiet", False)
    assert quiet["errors"][0]["place"]["line"] == PROGRAM.count("\n") + 1
    broken = dict(events(ask(studio[2], "/api/test", **text(lambda t: t + "oops")).text))
    assert json.loads(broken["failed"])["errors"]


def test_who_leaves_ends_the_program_and_all_that_it_started(tmp_path) -> None:
    work = folder(tmp_path)
    (work / "waiting.py").write_text(
        "import subprocess, time, pathlib\n"
        "def wait(text: str) -> str:\n"
        "    child = subprocess.Popen(['sleep', '300'])\n"
        "    pathlib.Path('child').write_text(str(child.pid))\n"
        "    time.sleep(300)\n"
        "    return text\n"
    )
    program = 'tool wait(text: str) -> str from "waiting:wait"\n'
    program += "pipeline main(text: str) -> str { return wait(text) }\n"
    body = {"file": "slow.lmp", "text": program, "target": "main", "inputs": {"text": "a"}}
    with opened(work) as (app, client):
        with client.stream("POST", "/api/try", json=body):
            _until(lambda: (work / "child").exists())
            child = int((work / "child").read_text())
            assert _lives(child)
        _until(lambda: not app.state.processes._running)
        _until(lambda: not _lives(child))


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(holds, most_s: float = 60) -> None:
    until = time.monotonic() + most_s
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- rows ---


def test_edited_rows_become_a_new_file(tmp_path) -> None:
    work = folder(tmp_path)
    before = (work / "rows.jsonl").read_bytes()
    with opened(work) as (_, client):
        page = ask(client, "/api/row-file", file="rows.jsonl", first=2, count=2).json()
        assert page["total"] == 7
        assert [row["number"] for row in page["rows"]] == [2, 3]
        assert page["new_name"] == "rows-edited.jsonl"
        edits = {
            "changed": {"2": {"question": "new?", "words": "NEW?"}},
            "removed": [0],
            "added": [{"question": "more?", "words": "MORE?"}],
        }
        save = {"file": "rows.jsonl", "as": "rows-edited.jsonl", "edits": edits}
        assert client.post("/api/row-file/save", json=save).json()["rows"] == 7
        again = client.post("/api/row-file/save", json=save)
        assert (again.status_code, again.json()["slug"]) == (409, "file-there")
        over = client.post("/api/row-file/save", json={**save, "as": "rows.jsonl"})
        assert over.status_code == 409
    assert (work / "rows.jsonl").read_bytes() == before
    written = [json.loads(line) for line in (work / "rows-edited.jsonl").read_text().splitlines()]
    wanted = [ROWS[1], edits["changed"]["2"], *ROWS[3:], edits["added"][0]]
    assert written == wanted


def test_cells_stay_cells(tmp_path) -> None:
    work = folder(tmp_path)
    with opened(work) as (_, client):
        assert ask(client, "/api/row-file", file="cells.csv").json()["texts"] is True
        edits = {"changed": {"0": {"id": "1", "text": "one, or more"}}}
        body = {"file": "cells.csv", "as": "new.csv", "edits": edits}
        client.post("/api/row-file/save", json=body).raise_for_status()
        assert (work / "new.csv").read_text() == 'id,text\n1,"one, or more"\n007,two\n'
        wrong = client.post("/api/row-file/save", json={**body, "as": "new.jsonl"})
        assert wrong.status_code == 400


# --- what was run ---


def test_a_folder_without_runs_is_empty_and_stays_so(tmp_path) -> None:
    work = folder(tmp_path)
    with opened(work) as (_, client):
        assert client.get("/api/jobs").json() == {"jobs": []}
        assert client.get("/api/compilations").json() == {"runs": [], "started": []}
        for name in ("../x", "", ".", "a/b", "none"):
            got = client.get("/api/compilation", params={"name": name})
            assert got.json()["slug"] == "no-run"
    assert not (work / ".lmc").exists()


def test_runs_are_read_page_by_page_and_by_filters(tmp_path) -> None:
    work = folder(tmp_path)
    (work / ".lmc").mkdir()
    store = TraceStore(f"sqlite:///{work}/.lmc/traces.db")
    for n in range(30):
        call = CallTrace((0,), "/", "ask", "generate", {"question": str(n)}, result="x")
        call.usage = Usage(calls=1, prompt_tokens=n)
        call.messages = [{"role": "user", "content": f"prompt {n}"}]
        run = Run(
            "job", "desk.lmp", "twice", "first" if n % 2 else "last", f"r{n:02}", "d",
            {"question": str(n)}, Trace([call]), score=n / 29, created=float(n),
        )  # fmt: skip
        store.add([run], {})
    store.close()
    with opened(work) as (_, client):

        def rows(**asked):
            found = client.get("/api/rows", params={"job": "job", **asked}).json()
            return found["total"], [one["row"] for one in found["runs"]]

        assert client.get("/api/jobs").json()["jobs"][0]["runs"] == 30
        assert rows(first=28, count=5) == (30, ["r28", "r29"])
        assert rows(order="-score", count=2) == (30, ["r29", "r28"])
        assert rows(stage="first", max=0.2)[1] == ["r01", "r03", "r05"]
        assert rows(failed=1) == (0, [])
        assert rows(module="other") == (0, [])
        assert rows(order="; drop table runs", first="-1", count="many")[0] == 30
        found = client.get("/api/rows", params={"job": "job", "count": 1}).json()
        assert (found["stages"], found["modules"]) == (["last", "first"], ["ask"])
        one = client.get("/api/run", params={"id": found["runs"][0]["id"]}).json()
        assert one["calls"][0]["messages"] == [{"role": "user", "content": "prompt 0"}]
        assert client.get("/api/run", params={"id": "none"}).json()["slug"] == "unknown-run"


# --- comparing and compiling ---


def result(id: str, score: float | None, pred: str = "a") -> dict:
    return {"id": id, "score": score, "pred": pred, "error": None, "calls": 1, "tokens": 2}


def test_two_sides_are_compared_row_by_row() -> None:
    first = {r["id"]: r for r in (result("a", 1.0), result("b", 0.0), result("c", 0.5))}
    second = {r["id"]: r for r in (result("a", 0.0), result("b", 1.0), result("d", 1.0))}
    found = compared(first, second, {"a": {"q": 1}})
    assert [(row["id"], row["gain"]) for row in found["rows"]] == [("a", -1.0), ("b", 1.0)]
    assert found["rows"][0]["values"] == {"q": 1}
    assert found["alone"] == [1, 1]
    assert (found["figures"]["won"], found["figures"]["lost"]) == (1, 1)
    assert found["figures"]["difference"]["mean"] == 0.0
    assert compared({"a": result("a", None)}, second, {})["figures"] is None


def test_files_of_results_are_compared_without_a_process(tmp_path) -> None:
    work = folder(tmp_path)
    for name, score in (("one", 0.0), ("two", 1.0)):
        line = json.dumps(result("a", score)) + "\n"
        (work / f"{name}.results.jsonl").write_text(line)
    (work / "bad.results.jsonl").write_text("no JSON\n")
    with opened(work) as (_, client):

        def compare(first: str, second: str) -> dict:
            return dict(events(ask(client, "/api/compare", first=first, second=second).text))

        found = json.loads(compare("one.results.jsonl", "two.results.jsonl")["compared"])
        assert found["figures"]["difference"]["mean"] == 1.0
        wrong = ask(client, "/api/compare", first="one.results.jsonl", second="bad.results.jsonl")
        assert wrong.json()["slug"] == "cannot-read"
        mixed = ask(client, "/api/compare", first="one.results.jsonl", second="desk.lmp")
        assert mixed.json()["slug"] == "bad-request"


def test_a_compilation_that_fails_says_why_and_writes_over_nothing(tmp_path) -> None:
    work = folder(tmp_path)
    (work / "old.lmpc").write_bytes(b"kept")
    with opened(work) as (_, client):
        over = ask(client, "/api/compile", file="desk.lmp", out="old.lmpc")
        assert (over.status_code, over.json()["slug"]) == (409, "file-there")
        for field, value in (("file", "../secret.lmp"), ("out", "../x.lmpc"), ("data", "../x.csv")):
            asked = {"file": "desk.lmp", "out": "new.lmpc", field: value}
            assert ask(client, "/api/compile", **asked).status_code == 403
        sly = ask(client, "/api/compile", file="desk.lmp", metric="--help", budget="calls=1").json()
        watched = client.get("/api/compile/events", params={"name": sly["name"]})
        last = json.loads(events(watched.text)[-1][1])
        assert last["state"] == "failed"
        assert "no metric" in last["said"] or "--help" in last["said"]
        assert "Usage: lmc compile [OPTIONS]" not in last["said"]
    assert (work / "old.lmpc").read_bytes() == b"kept"


def test_a_report_opens_once_by_its_ticket(tmp_path) -> None:
    work = folder(tmp_path)
    run = work / ".lmc" / "runs" / "r1"
    run.mkdir(parents=True)
    identity = {
        "program": "desk.lmp", "target": "main", "metric": "accuracy", "objective": None,
        "steps": ["bootstrap"], "seed": 0, "rows": {"test": 1},
    }  # fmt: skip
    record = {"identity": identity, "state": "stopped", "elapsed_s": 1.0}
    record["why"] = "it was interrupted"
    (run / "run.json").write_text(json.dumps(record))
    with opened(work) as (_, client):
        address = ask(client, "/api/report", name="r1").json()["address"]
        page = client.get(address, headers={"authorization": ""})
        assert "the run is stopped: it was interrupted" in page.text
        policy = page.headers["content-security-policy"]
        assert "sandbox" in policy
        assert "script-src" not in policy
        assert client.get(address).status_code == 401
        assert ask(client, "/api/report", name="../r1").status_code == 404
