"""Starts a server as a program that ends with the process that started it, where Linux can do that.

Arguments: the id of that process, and the command. The command takes the place of this program.
Nothing of lmc is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_SET_PDEATHSIG = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>; it outlives `exec`


def main() -> None:
    """Become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    with contextlib.suppress(OSError, AttributeError):  # a libc without it: as on other systems
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before this could be asked for
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the command that the user allowed


if __name__ == "__main__":
    main()
