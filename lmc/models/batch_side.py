"""Runs one command over a file of requests, as a program of its own: `lmc.models.vllm_batches`.

It goes on when lmc ends. It has a lock for as long as it or the command runs, and says in a file
how the command ended. Commands of one folder run one after the other, as they share a GPU. Nothing
of lmc is imported here.
"""

from __future__ import annotations

import fcntl  # vLLM is not for Windows
import json
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run the command of a folder; the lock is a file that is open already."""
    folder, lock = Path(sys.argv[1]), int(sys.argv[2])
    command = json.loads((folder / "command.json").read_text())
    with (folder.parent / "one.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        fds = (lock, turn.fileno())
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, pass_fds=fds)  # noqa: S603 - the user's
            ended = done.returncode
        except OSError as problem:
            print(f"{command[0]}: {problem.strerror}", file=sys.stderr, flush=True)
            ended = 127
    told = folder / "ended.part"
    told.write_text(str(ended))
    told.replace(folder / "ended")


if __name__ == "__main__":
    main()
