"""A process that has imported what takes long to import, and forks for each command.

A command that asks `lmc/tiny` spends four fifths of its time on imports. A fork begins with them,
and is otherwise a process of its own: it has its own folder, environment, output and end.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from importlib import import_module
from pathlib import Path
from threading import Timer
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
# torch does not outlive a fork on macOS for sure: Apple's libraries may hold locks.
CAN_FORK = sys.platform == "linux"
HEAVY = (
    "lmc.models.engine.loading",
    "lmc.optimizers.compilation.compile",
    "lmc.program.measuring",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "aiohttp",
    "pydantic",
)


class WarmProcess:
    """Runs commands of `lmc` and Python scripts in forks of one process, where processes can fork.

    Elsewhere it starts them.
    """

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def run(self, job: list[str] | str, cwd: Path, env: dict[str, str], timeout_s: float) -> Any:
        """Run the arguments of `lmc`, or the text of a script, and return what `subprocess` would.

        The output has what was printed on both streams. Raises: TimeoutExpired.
        """
        if not CAN_FORK:
            command = ["-c", job] if isinstance(job, str) else ["-m", "lmc", *job]
            return started([sys.executable, *command], cwd, env, timeout_s)
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.warm"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        told = {"job": job, "cwd": str(cwd), "env": env, "output": str(cwd / ".printed")}
        late = Timer(timeout_s, os.killpg, (self._server.pid, signal.SIGKILL))
        late.start()
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(told).encode() + b"\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline()
        late.cancel()
        if not code:
            self.close()
            raise subprocess.TimeoutExpired(str(job), timeout_s)
        printed = Path(told["output"])
        text = printed.read_text("utf-8")
        printed.unlink()
        return subprocess.CompletedProcess(job, int(code), text)

    def close(self) -> None:
        """End the process, which waits for no command."""
        if self._server is not None:
            self._server.communicate()
            self._server = None


def started(command: list[str], cwd: Path, env: dict[str, str], timeout_s: float) -> Any:
    """Run a command in a process of its own. Raises: TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
    )


def _serve() -> None:
    """Read jobs from standard input, a line each, and answer with their exit codes."""
    for name in HEAVY:
        import_module(name)
    for file in (ROOT / "lmc" / "cli").glob("*.py"):
        import_module(f"lmc.cli.{file.stem}")
    gc.freeze()  # or each fork would search all of that for garbage when it ends: 1.3 s
    for line in iter(sys.stdin.buffer.readline, b""):
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(job: list[str] | str, cwd: str, env: dict[str, str], output: str) -> None:
    """Do the job in this process, which ends as any program does."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for opened, stream in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(opened, stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if isinstance(job, list):
        from lmc.cli.main import main

        sys.argv, sys.path[0] = ["lmc", *job], str(Path(sys.executable).parent)
        main()
    else:
        sys.argv, sys.path[0] = ["-c"], ""
        own = sys.modules["__main__"] = ModuleType("__main__")
        try:
            exec(compile(job, "<string>", "exec"), own.__dict__)
        except Exception:
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    _serve()
