"""Keep the waiting threads of torch from spinning, which starves the threads that work.

OpenMP's threads spin between two parallel loops, in case the next one comes at once. If other
processes share the cores, this costs much (measured: 1.6 to 20 times the time of the engine).
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path


def wait_without_spinning() -> None:
    """Let OpenMP's threads sleep while they wait. Call it in the thread that will use torch."""
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # read when torch is loaded
    if "torch" in sys.modules and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another system or OpenMP
            _calm_loaded()


def _calm_loaded() -> None:
    """Do the same in an OpenMP library that has read its environment already."""
    for name in _loaded_libraries():
        if "libiomp" in name or "libomp" in name:
            ctypes.CDLL(name).kmp_set_blocktime(0)
        elif "libgomp" in name:
            _park_threads(ctypes.CDLL(name))


def _loaded_libraries() -> set[str]:
    lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    files = {line.split(maxsplit=5)[5] for line in lines if line.count("/")}
    return {file for file in files if "omp" in Path(file).name}


def _park_threads(gomp: ctypes.CDLL) -> None:
    """Make libgomp count more threads than cores, since it then spins 300 times shorter.

    It has no function for that. A team of its own, which waits as long as the process lives,
    is counted (`do_spin` in config/linux/wait.h), and costs no time.
    """
    nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # free(NULL) does nothing
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0
    team = ctypes.c_uint(cores + 1)
    parked = threading.Event()

    def park() -> None:
        gomp.GOMP_parallel(nothing, None, team, ctypes.c_uint(0))
        parked.set()
        threading.Event().wait()

    threading.Thread(target=park, name="lmc-parked", daemon=True).start()
    parked.wait()
