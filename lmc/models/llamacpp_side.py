"""llama.cpp's server, as a program of its own: `lmc.models.llamacpp_local` starts it.

A line of JSON on the input says what to serve. A line of JSON on the output says where, or what
went wrong. The process ends when its input does, so it never outlives the process that started it.
Nothing of lmc is imported here.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def serve(file: str, key: str, slots: int, context: int) -> str:
    """Load a model and answer on a free port of this machine. Returns the address."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.api_keys = [key]
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = context
    params.kv_unified = True  # the slots share the context, so that one may need most of it
    if threads := os.environ.get("OMP_NUM_THREADS", "").strip():
        # Its threads wait without sleeping, so on a busy machine fewer of them are faster.
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.offline = True
    params.ui = params.endpoint_slots = False
    params.verbosity = 1
    # What a program does not set is left as the model has it, as in lmc's own engine.
    params.sampling.top_k = 0
    params.sampling.top_p = 1.0
    params.sampling.min_p = 0.0
    _running.append(xllamacpp.Server(params))
    return str(_running[0].listening_address)


_running: list[Any] = []  # it answers as long as it is referred to


def main() -> None:
    """Serve until the input ends."""
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the library writes what it likes
    try:
        answer = {"address": serve(**json.loads(sys.stdin.readline()))}
    except Exception as problem:
        answer = {"problem": f"{type(problem).__name__}: {problem}"}
    print(json.dumps(answer), file=said, flush=True)
    if "address" in answer:
        sys.stdin.read()
    os._exit(0)  # requests under way are not waited for


if __name__ == "__main__":
    main()
