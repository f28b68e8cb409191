"""Several processes that train one adapter get the gradients, and the weights, of one process."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from lmc.diagnostics import LmcError
from lmc.models.adapters import AdapterStore
from lmc.training.lora import LoraSettings, TrainingJob, TrainingStopped, train_adapter
from lmc.training.processes import VARIABLE, process_count, train_shared
from lmc.training.rows import TrainingRow
from lmc.training.shares import Shares
from tests.test_models.tiny_llama import save_tiny_llama
from tests.test_training.shared_step import examples, gradients
from tests.warm import ROOT, WarmProcess

CODE = """
import os, sys, torch
from pathlib import Path
from torch import distributed
from lmc.training.shares import Shares
from tests.test_training.shared_step import gradients
folder = Path(FOLDER)
for rank in range(2):
    if not os.fork():
        meeting = f"file://{folder}/meet"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
        torch.save(gradients(Shares(rank, 2)), folder / f"of-{rank}")
        distributed.destroy_process_group()
        os._exit(0)
sys.exit(any(os.wait()[1] for _ in range(2)))
"""


def test_two_processes_have_the_gradients_of_one(tmp_path: Path, warm: WarmProcess) -> None:
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = warm.run(CODE.replace("FOLDER", repr(str(tmp_path))), ROOT, env, timeout_s=300)
    assert done.returncode == 0, done.stdout
    one = gradients()
    assert len(one) == 2 * 4
    for rank in range(2):
        for mine, alone in zip(torch.load(tmp_path / f"of-{rank}"), one, strict=True):
            assert torch.allclose(mine, alone, rtol=1e-5, atol=1e-6)


def test_shares_hold_all_rows_once() -> None:
    rows = [row for example in examples() for row in example.rows]
    for count in (1, 2, 3, 40):
        parts = Shares(0, count).parts(rows)
        assert len(parts) == count
        assert sorted(id(row) for part in parts for row in part) == sorted(map(id, rows))
    sizes = [sum(len(row.ids) for row in part) for part in Shares(0, 3).parts(rows)]
    assert max(sizes) - min(sizes) <= 2 * max(len(row.ids) for row in rows)


def test_the_number_of_processes_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "4")
    assert process_count() == 4
    for wrong in ("0", "-1", "many", "", "65"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(LmcError, match="LMC_TRAINING_PROCESSES"):
            process_count()


def test_each_process_needs_a_gpu_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(LmcError, match="GPUs for 2") as failure:
        train_shared(None, tmp_path / "run", 3, lambda now: None, lambda: False)
    assert "LMC_TRAINING_PROCESSES=2" in str(failure.value) and not (tmp_path / "run").exists()


ENDS = """
import os, signal, sys, time
from pathlib import Path
from lmc.training.process import _end_with_parent
import threading
threading.Thread(target=_end_with_parent, args=(Path("nowhere"),), daemon=True).start()
time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("pass", "pass", None),
        ("time.sleep(60)", "os.kill(os.getpid(), 9)", "process 2 of 2 of a training ended with -9"),
        ("sys.exit('no memory')", "time.sleep(60)", "process 1 of 2 of a training ended with 1"),
    ],
)
def test_the_process_that_failed_first_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str, told: str | None
) -> None:
    """And one that comes to its end is not aborted by the thread that waits for its parent."""
    program = tmp_path / "python"
    program.write_text(
        f"#!/bin/sh\n[ $4 = 0 ] && do={shlex.quote(first)} || do={shlex.quote(second)}\n"
        f'exec {shlex.quote(sys.executable)} -c {shlex.quote(ENDS)}"$do"\n'
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))

    def train() -> None:
        train_shared(None, tmp_path / "run", 2, lambda now: None, lambda: False)

    if told is None:
        train()
        return
    with pytest.raises(LmcError, match=told) as failure:
        train()
    assert ("memory" in str(failure.value)) and not list((tmp_path / "run").iterdir())


def test_a_killed_parent_leaves_no_rows_behind(tmp_path: Path) -> None:
    """The processes remove the folder in which they met, since nobody else can."""
    folder = tmp_path / "meeting"
    folder.mkdir()
    (folder / "job").write_text("rows")
    code = (
        "import sys\nfrom pathlib import Path\nfrom lmc.training.process import _end_with_parent\n"
        "_end_with_parent(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()  # as the end of the parent does
    assert process.returncode == 1
    assert not folder.exists()


@pytest.mark.slow
def test_a_training_in_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the weights of one process, goes on after a stop, and ends if a process dies."""
    pytest.importorskip("peft")
    base = str(save_tiny_llama(tmp_path / "base"))
    prompts = [({"role": "user", "content": word},) for word in ("red", "blue", "grey", "pink")]
    rows = tuple(TrainingRow(prompt, ("warm", "cold")[i % 2]) for i, prompt in enumerate(prompts))
    settings = LoraSettings(rank=2, epochs=10, batch_rows=2)
    job = TrainingJob(base, "base", rows, settings)

    def weights(name: str, processes: int, **more: Any) -> dict[str, torch.Tensor]:
        from safetensors.torch import load_file

        monkeypatch.setenv(VARIABLE, str(processes))
        made = train_adapter(job, tmp_path / name, AdapterStore(tmp_path / f"{name}-made"), **more)
        return load_file(made.folder / "adapter_model.safetensors")

    alone = weights("one", 1)
    seen: list[int] = []
    with pytest.raises(TrainingStopped):
        weights("two", 2, report=lambda now: seen.append(now.step), stop=lambda: len(seen) > 3)
    assert list((tmp_path / "two" / job.key).glob("checkpoint-*"))
    first = len(seen)
    together = weights("two", 2, report=lambda now: seen.append(now.step))
    assert seen[first] > seen[first - 1]  # it went on
    for name, value in alone.items():
        assert torch.allclose(value, together[name], atol=2e-3)

    def kill(now: Any) -> None:
        me = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
        os.kill(int(me.read_text().split()[-1]), 9)

    with pytest.raises(LmcError, match="process 2 of 2"):
        weights("three", 2, report=kill)
