"""Batches that a command of the user's answers: vLLM's offline form, `vllm run-batch`.

The command reads a file of requests of OpenAI's form and writes a file of answers. It is a process
of its own, which goes on when lmc ends: the next run takes its answers.

Source: https://docs.vllm.ai/en/latest/examples/offline_inference/openai_batch and
vllm/entrypoints/openai/run_batch.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.files import cache_folder, cannot_write, make_private
from lmc.models.base import ModelFailure, Price
from lmc.models.batch_api import BatchApi, BatchState, Outcome, read_line, request_line
from lmc.models.batch_http import MOST_LINE
from lmc.models.batch_journal import IS_ID, JournaledBatch
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from lmc.redaction import logger, redact

_log = logger(__name__)
_SIDE = Path(__file__).with_name("batch_side.py")
_KEPT_S = 30 * 24 * 3600.0
_MOST_WORDS, _MOST_READ = 600, 20_000
_REQUESTS, _ANSWERS, _LOG, _LOCK = "requests.jsonl", "answers.jsonl", "log", "lock"


def open_offline(model: str, settings: Mapping[str, Any]) -> OpenAICompatible:
    """`vllm/…` with `--batch-command`: a folder or hub name, as for `hf/`.

    Raises: as `open_transformers`, LmcError[bad-batch-api].
    """
    from lmc.models.transformers_local import open_transformers

    options: BatchApi = settings["batch_api"]
    if options.late == "ask":
        help = "leave out `--batch-late ask`, or give the address of a server"
        message = f"`vllm/{model}` has no server that could be asked at once"
        raise LmcError.of("bad-batch-api", message, help=help)
    source = open_transformers(model, settings, prefix="vllm/").source
    service = CommandBatches(options.command, source)
    backend = OpenAICompatible("http://offline.invalid/v1", key_env=None, kind=KINDS["vllm"])
    backend.endpoint, backend.price = service.endpoint, Price(0.0, 0.0)
    backend.by_batches(settings, 1.0, service)
    backend.capabilities = replace(backend.capabilities, continues=True)
    return backend


class CommandBatches:
    """Batches of one model by a command, which gets `-i FILE -o FILE --model MODEL`.

    Each has a folder, private to its user, until its answers are used up.
    """

    longest_pause_s = 5.0

    def __init__(self, command: str, model: str, folder: Path | None = None) -> None:
        self._command, self._model = shlex.split(command), model
        self.endpoint = f"vllm-offline:{model}"
        self.folder = folder or cache_folder() / "batches" / "offline"

    async def prepare(self, bodies: Sequence[bytes]) -> bytes:
        """The file of requests. Raises: ModelFailure if there is no such command."""
        if os.name == "nt" or shutil.which(self._command[0]) is None:
            message = f"there is no command `{self._command[0]}`"
            hint = "name it in full: `--batch-command '/opt/vllm/bin/vllm run-batch'`"
            raise ModelFailure("not_found", message, retryable=False, hint=hint, sent=False)
        lines = (request_line(i, self._named(body)) for i, body in enumerate(bodies))
        return b"".join(lines)

    async def create(self, prepared: bytes, batch: JournaledBatch) -> str:
        """Start the command. Raises: LmcError[cannot-write]."""
        try:
            self._start(prepared, batch.token)
        except OSError as problem:
            raise cannot_write(self.folder, problem) from None
        return batch.token

    async def find(self, batch: JournaledBatch) -> str | None:
        """The batch if its command was started."""
        folder = self._of(batch.token)
        begun = (folder / "process").exists() or (folder / "ended").exists()
        return batch.token if begun or self._runs(batch.token) else None

    async def state(self, id: str) -> BatchState:
        """How far the command is. What it wrote before it failed counts."""
        folder = self._of(id)
        if not folder.is_dir():
            raise ModelFailure("not_found", f"no batch {id} is kept here", retryable=False)
        if self._runs(id):
            return BatchState("in_progress")
        files = (id,) if (folder / _ANSWERS).is_file() else ()
        ended = folder / "ended"
        code = ended.read_text() if ended.is_file() else "no word"
        if code == "0" and files:
            return BatchState("completed", files)
        problem = f"the command ended with {code}: {self._said(folder)}"
        return BatchState("failed", files, problem)

    async def cancel(self, id: str) -> None:
        """End the command."""
        with contextlib.suppress(OSError, ValueError):
            if self._runs(id):
                os.killpg(int((self._of(id) / "process").read_text()), signal.SIGTERM)

    async def each_line(self, file: str, take: Callable[[bytes], None]) -> None:
        """Have the answers taken. Raises: ModelFailure."""
        try:
            await asyncio.to_thread(_read_lines, self._of(file) / _ANSWERS, take)
        except OSError as problem:
            message = f"the answers of batch {file} cannot be read: {problem.strerror}"
            raise ModelFailure("server", message, retryable=False) from None

    def read(self, line: bytes) -> tuple[int, Outcome]:
        """Read a line of answers. Raises: ValueError, KeyError, TypeError."""
        return read_line(line)

    def forget(self, id: str) -> None:
        """Remove the folder of a batch."""
        if IS_ID.fullmatch(id):
            shutil.rmtree(self._of(id), ignore_errors=True)

    def _named(self, body: bytes) -> bytes:
        """A request for the model as the command knows it."""
        return json.dumps({**json.loads(body), "model": self._model}).encode()

    def _start(self, lines: bytes, token: str) -> None:
        import fcntl

        self._drop_old()
        folder = self._of(token)
        make_private(folder)
        (folder / _REQUESTS).write_bytes(lines)
        files = ["-i", str(folder / _REQUESTS), "-o", str(folder / _ANSWERS)]
        command = [*self._command, *files, "--model", self._model]
        (folder / "command.json").write_text(json.dumps(command))
        with (folder / _LOCK).open("w") as lock, (folder / _LOG).open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until all who have the file open are gone
            process = subprocess.Popen(  # noqa: S603  (this file's own neighbour)
                [sys.executable, "-I", str(_SIDE), str(folder), str(lock.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock.fileno(),),
                start_new_session=True,
            )
        (folder / "process").write_text(str(process.pid))
        _log.info("process %d runs %s", process.pid, shlex.join(command))
        _started.append(process)

    def _runs(self, token: str) -> bool:
        """Whether the command of a batch runs, or waits for its turn."""
        import fcntl

        _started[:] = [process for process in _started if process.poll() is None]
        try:
            with (self._of(token) / _LOCK).open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _of(self, id: str) -> Path:
        return self.folder / id

    def _said(self, folder: Path) -> str:
        """The end of what the command wrote."""
        with contextlib.suppress(OSError), (folder / _LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _MOST_READ))
            words = log.read().decode("utf-8", "replace").strip()
            return redact(words)[-_MOST_WORDS:] or "it wrote nothing"
        return "it wrote nothing"

    def _drop_old(self) -> None:
        if self.folder.is_dir():
            for old in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    if old.is_dir() and time.time() - old.stat().st_mtime > _KEPT_S:
                        self.forget(old.name)


_started: list[subprocess.Popen[bytes]] = []  # so that those that ended leave nothing behind


def _read_lines(path: Path, take: Callable[[bytes], None]) -> None:
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE):
            take(line)
