"""Killed at any point and started again: nothing is paid twice, and the same bytes come out."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import landscapes
from lmc.models.base import Request
from lmc.program.artifact import Artifact
from tests.loopback import Loopback
from tests.test_optimizers.worlds import ONE, colour_rows, learner

ROOT = Path(__file__).parents[2]
CHILD = """
import lmc
lmc.compile("colours.lmp", metric="accuracy", data="rows.jsonl", cache=False,
            optimizer="OPTIMIZER", budget={"calls": 2000},
            out="colours.lmpc")
"""
DEFAULT = "bootstrap(candidates=4, rounds=1)"
HEAD = """
model m { name: "openai/m" base_url: "%s" concurrency: %d seed: 3 }
default { model: m, cache: "off" }
"""


class Server(Loopback):
    """Answers as the learner does; at the n-th request it sends the child a signal first."""

    def __init__(self, model: Callable[[Request], list[str]] = learner, *, port: int = 0) -> None:
        super().__init__(self._reply, port=port)
        self.model = model
        self.child: subprocess.Popen[bytes] | None = None
        self.signal_at, self.signal = 0, signal.SIGKILL

    def _reply(self, payload: dict[str, Any]) -> str:
        if len(self.payloads) == self.signal_at and self.child is not None:
            time.sleep(0.05)  # what was answered before this request has long arrived
            os.kill(self.child.pid, self.signal)
        return self.model(Request("m", tuple(payload["messages"])))[0]

    @property
    def asked(self) -> Counter[str]:
        return Counter(json.dumps(p, sort_keys=True) for p in self.payloads)


def run(
    server: Server,
    folder: Path,
    *,
    signal_at: int = 0,
    concurrency: int = 1,
    optimizer: str = DEFAULT,
    rows: Any = colour_rows,
) -> int:
    folder.mkdir(exist_ok=True)
    (folder / "colours.lmp").write_text(HEAD % (server.url, concurrency) + ONE)
    lines = (json.dumps(row) + "\n" for row in rows(100))
    (folder / "rows.jsonl").write_text("".join(lines))
    server.signal_at = signal_at
    env = os.environ | {"OPENAI_API_KEY": "k", "PYTHONPATH": str(ROOT)}
    server.child = subprocess.Popen(
        [sys.executable, "-c", CHILD.replace("OPTIMIZER", optimizer)],
        cwd=folder,
        env=env,
        stderr=subprocess.DEVNULL,
    )
    return server.child.wait(600)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, int]:
    """The artifact of a run that nothing stopped, and how many requests it made."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with Server() as server:
        assert run(server, folder, concurrency=8) == 0
        assert max(server.asked.values()) == 1
        return (folder / "colours.lmpc").read_bytes(), len(server.payloads)


def resumable(data: bytes) -> bytes:
    """All of an artifact but the port and the concurrency, which are not the same here."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = b"".join(parts[name] for name in sorted(parts) if name != "manifest.json")
    manifest = json.loads(parts["manifest.json"])
    del manifest["parts"]
    text += json.dumps(manifest, sort_keys=True).encode()
    return re.sub(rb"127\.0\.0\.1:\d+|concurrency\W+\d+", b"", text)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_killed_and_started_again(
    share: float, undisturbed: tuple[bytes, int], tmp_path: Path
) -> None:
    expected, requests = undisturbed
    with Server() as server:
        place = int(requests * share)
        assert run(server, tmp_path / "run", signal_at=place) == -signal.SIGKILL
        assert not (tmp_path / "run" / "colours.lmpc").exists()
        assert run(server, tmp_path / "run") == 0
        paid_twice = [count for count in server.asked.values() if count > 1]
        assert paid_twice == [2]  # only the one whose answer the kill lost
        assert len(server.payloads) == requests + 1
    assert resumable((tmp_path / "run" / "colours.lmpc").read_bytes()) == resumable(expected)


@pytest.mark.slow
def test_auto_killed_at_twenty_moments(tmp_path: Path) -> None:
    """Reflection, demonstrations and gates: the same calls and the same bytes, whenever it ends."""
    model, rng = landscapes.reply(landscapes.Landscape(0)), random.Random(5)
    options: dict[str, Any] = {"optimizer": "auto()", "rows": landscapes.rows}
    with Server(model) as server:
        assert run(server, tmp_path / "whole", **options) == 0
        requests = len(server.payloads)
    port = server.port  # it stands in the source, which those who write instructions get to see
    expected = resumable((tmp_path / "whole" / "colours.lmpc").read_bytes())
    for moment in rng.sample(range(1, requests), 20):
        folder = tmp_path / f"{moment}"
        with Server(model, port=port) as server:
            assert run(server, folder, signal_at=moment, **options) == -signal.SIGKILL
            assert run(server, folder, **options) == 0
            assert len(server.payloads) == requests + 1  # the answer that the kill lost
        assert resumable((folder / "colours.lmpc").read_bytes()) == expected


def test_killed_with_many_requests_under_way(
    undisturbed: tuple[bytes, int], tmp_path: Path
) -> None:
    expected, requests = undisturbed
    with Server() as server:
        killed = run(server, tmp_path / "run", signal_at=requests // 2, concurrency=8)
        assert killed == -signal.SIGKILL
        assert run(server, tmp_path / "run", concurrency=8) == 0
        assert len(server.payloads) <= requests + 8
    assert resumable((tmp_path / "run" / "colours.lmpc").read_bytes()) == resumable(expected)


def test_ctrl_c_leaves_a_valid_artifact_and_can_go_on(
    undisturbed: tuple[bytes, int], tmp_path: Path
) -> None:
    expected, requests = undisturbed
    with Server() as server:
        server.signal = signal.SIGINT
        started = time.monotonic()
        assert run(server, tmp_path / "run", signal_at=requests // 4) != 0
        assert time.monotonic() - started < 30
        stopped = Artifact.read(tmp_path / "run" / "colours.lmpc")
        assert stopped.manifest.status == "stopped"
        assert stopped.parameters.modules == {}  # nothing was confirmed yet
        (found,) = (tmp_path / "run").glob(".lmc/runs/*/run.json")
        record = json.loads(found.read_text())
        assert (record["state"], record["why"]) == ("stopped", "it was interrupted")
        assert run(server, tmp_path / "run") == 0
    finished = (tmp_path / "run" / "colours.lmpc").read_bytes()
    assert resumable(finished) == resumable(expected)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        ".lmc", "colours.lmp", "colours.lmpc", "rows.jsonl",
    ]  # fmt: skip


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    from lmc.diagnostics import LmcError
    from lmc.optimizers.compilation.journal import Journal
    from lmc.optimizers.compilation.run_folder import RunFolder

    folder = RunFolder(tmp_path / "r")
    first, second = Journal(folder, {"a": 1}), Journal(folder, {"a": 1})
    with first.taken():
        first.begin()
        with pytest.raises(LmcError) as caught, second.taken():
            pass
        assert caught.value.code == "run-in-use"
    with second.taken():
        assert second.resumed
    with pytest.raises(LmcError) as caught, Journal(folder, {"a": 2}).taken():
        pass
    assert caught.value.code == "other-run"


def test_a_start_that_begins_nothing_leaves_no_folder(tmp_path: Path) -> None:
    from lmc.optimizers.compilation.journal import Journal
    from lmc.optimizers.compilation.run_folder import RunFolder

    with Journal(RunFolder(tmp_path / "r"), {}).taken():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("resume", [True, False])
def test_a_start_that_fails_its_preflight_touches_nothing_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, resume: bool
) -> None:
    """A model that cannot be opened any more loses neither the history nor the paid answers."""
    import lmc
    from lmc.models.registry import open_backend
    from lmc.traces.store import TraceStore
    from tests.test_optimizers.worlds import scripted

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_TRACES", f"sqlite:///{tmp_path / 'traces.db'}")
    (tmp_path / "colours.lmp").write_text(
        'model m { name: "openai/m" }\ndefault { model: m }\n' + ONE
    )
    options: dict[str, Any] = {
        "metric": "accuracy", "data": colour_rows(100), "optimizer": DEFAULT, "run_dir": "run",
    }  # fmt: skip
    monkeypatch.setattr("lmc.requests.pool.open_backend", lambda *_: (scripted(), "m"))
    job = lmc.compile("colours.lmp", **options).job
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    kept = len(list(TraceStore().runs()))

    monkeypatch.setattr("lmc.requests.pool.open_backend", open_backend)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(lmc.LmcError, match="OPENAI_API_KEY"):
        lmc.compile("colours.lmp", resume=resume, **options)
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert {"history.jsonl", "responses.db", "outcome.json"} <= before.keys()
    assert len(list(TraceStore().runs())) == kept > 0
    assert job


def test_a_changed_metric_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmc.optimizers.compilation.job import settle
    from lmc.optimizers.compilation.options import CompileOptions
    from tests.test_optimizers.worlds import scripted

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "colours.lmp").write_text(ONE)
    code = tmp_path / "changing_metric.py"
    code.write_text("def score(gold, pred):\n    return gold['label'] == pred\n")

    def identity(metric: str) -> dict[str, Any]:
        options = CompileOptions(
            metric=metric, data=colour_rows(100), cache=False, backend=scripted()
        )
        return settle(tmp_path / "colours.lmp", options).identity()

    before = identity("changing_metric:score")
    assert before == identity("changing_metric:score")
    code.write_text("def score(gold, pred):\n    return gold['label'][0] == pred[:1]\n")
    assert before != identity("changing_metric:score")
    assert identity("accuracy")["metric_code"] is None
