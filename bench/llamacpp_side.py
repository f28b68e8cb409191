"""llama.cpp's server on a model, for `bench/engine.py`, in an environment that has xllamacpp.

Arguments: GGUF file, slots, threads, and tokens of each slot (1024). Prints the address of the
server, which runs until the input ends.
"""

import sys

import xllamacpp


def main(file: str, slots: str, threads: str, tokens: str = "1024") -> None:
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.n_parallel = int(slots)
    params.n_ctx = int(tokens) * int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.warmup = True
    params.port = 0
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
