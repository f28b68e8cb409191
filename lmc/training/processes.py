"""Starts the processes of a training that is shared out, and hears how it goes.

Each process runs `lmc.training.process`. They meet in a temporary folder, so there is no port. All
of them end if one fails, or if this process is gone: they read its pipe. Then they remove the
folder, which holds the rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError

VARIABLE = "LMC_TRAINING_PROCESSES"
SPLIT = "LMC_TRAINING_SHARD"
_LAST_BYTES = 2000  # of what a process that failed said


def process_count() -> int:
    """How many processes train an adapter on this machine. Raises: LmcError[cannot-train]."""
    given = os.environ.get(VARIABLE, "1")
    if given.isdecimal() and 1 <= int(given) <= 64:
        return int(given)
    help = f"give a number from 1 to 64, such as {VARIABLE}=2"
    raise LmcError.of("cannot-train", f"{VARIABLE} cannot be `{given}`", help=help)


def splits_model() -> bool:
    """Whether the processes split the model, so that none has it whole.

    Raises: LmcError[cannot-train].
    """
    given = os.environ.get(SPLIT, "0")
    if given not in ("0", "1"):
        raise LmcError.of("cannot-train", f"{SPLIT} cannot be `{given}`", help=f"give {SPLIT}=1")
    if given == "1" and process_count() == 1:
        message = f"{SPLIT} splits a model over several processes, and there is one"
        raise LmcError.of("cannot-train", message, help=f"add {VARIABLE}=2, or more")
    return given == "1"


def train_shared(
    job: Any, place: Path, count: int, tell: Callable[[dict[str, Any]], None], stop: Any
) -> None:
    """Run a training in several processes. `tell` hears its progress, as JSON has it.

    They leave the adapter in the folder `place`, as one process does.
    Raises: LmcError, that of the training, or LmcError[cannot-train] if a process died.
    """
    _require_gpus(count)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lmc-training-") as made:
        folder = Path(made)
        (folder / "job").write_bytes(pickle.dumps((job, place)))
        with _started(folder, count) as processes:
            blamed: list[int] = []
            watched = (processes, folder, stop, blamed)
            watcher = threading.Thread(target=_watch, args=watched, daemon=True)
            watcher.start()
            assert processes[0].stdout is not None
            for line in processes[0].stdout:
                with contextlib.suppress(ValueError):  # what libraries print
                    tell(json.loads(line))
            codes = [process.wait() for process in processes]
            watcher.join()
        if any(codes):
            raise _failure(folder, codes, blamed[0] if blamed else _culprit(codes))


def _require_gpus(count: int) -> None:
    """Refuse processes that would share a GPU, or mix GPUs and CPUs: they could not meet."""
    import torch

    if 0 < (gpus := torch.cuda.device_count()) < count:
        message = f"{VARIABLE} is {count}, and there are GPUs for {gpus} here"
        help = f"each process needs a GPU of its own: {VARIABLE}={gpus}"
        raise LmcError.of("cannot-train", message, help=help)


@contextlib.contextmanager
def _started(folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes, each with a GPU of its own where there are some."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for rank in range(count):
            command = [sys.executable, "-m", "lmc.training.process", str(folder), str(rank)]
            with (folder / f"said-{rank}").open("wb") as said:
                out = subprocess.PIPE if rank == 0 else subprocess.DEVNULL
                processes.append(
                    subprocess.Popen(  # noqa: S603 - our own module
                        [*command, str(count)], stdin=subprocess.PIPE, stdout=out, stderr=said
                    )
                )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _watch(
    processes: list[subprocess.Popen[bytes]], folder: Path, stop: Any, blamed: list[int]
) -> None:
    """Tell them to stop, and end all if one fails: the others would wait for it.

    The one that failed first is `blamed`.
    """
    while any(process.poll() is None for process in processes):
        if stop():
            (folder / "stop").touch()
        codes = [process.poll() for process in processes]
        if any(codes):
            blamed.append(_culprit(codes))
            for process in processes:
                process.kill()
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            processes[0].wait(0.2)


def _culprit(codes: Sequence[int | None]) -> int:
    """The process that failed first: one that was killed, before those that lost it."""
    return min((n for n, code in enumerate(codes) if code), key=lambda n: ((codes[n] or 0) > 0, n))


def _failure(folder: Path, codes: list[int], rank: int) -> LmcError:
    for path in sorted(folder.glob("failed-*")):
        failure: LmcError = pickle.loads(path.read_bytes())  # noqa: S301 - of our own process
        return failure
    said = (folder / f"said-{rank}").read_bytes()[-_LAST_BYTES:].decode(errors="replace")
    message = f"process {rank + 1} of {len(codes)} of a training ended with {codes[rank]}"
    killed = "see whether the machine has the memory it takes" if codes[rank] == -9 else None
    return LmcError.of("cannot-train", message, help=said.strip() or killed)
