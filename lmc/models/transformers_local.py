"""Models that run in this process with transformers. Concurrent requests are decoded as a batch.

Importing this file is cheap. The engine's own thread imports torch and transformers at the first
request, so a run answered from the cache never loads them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from lmc.diagnostics import LmcError
from lmc.models.base import Answer, Capabilities, Price, Request
from lmc.models.engine.worker import Errand, Job, SteppedEngine, Worker
from lmc.models.named_files import named_file, require_weights
from lmc.regular import expanded

T = TypeVar("T")
_HASHED_IN_FULL_BYTES = 64 << 20
_FOLDER = "the folder of a model"

_workers: dict[
    tuple[str, bool], Worker
] = {}  # by endpoint and look-up; touched on the event loop only
if hasattr(os, "register_at_fork"):  # a child process lacks the threads
    os.register_at_fork(after_in_child=_workers.clear)


class Transformers:
    """A causal language model from a folder or a model hub, on the GPU if there is one.

    The text of a sample depends only on messages, sampling, seed and sample index, not on the rest
    of the batch. This holds in float32 on a CPU; on a GPU, bfloat16 may round differently. Without
    a temperature, sample 0 is greedy and further samples are drawn at 0.7. Without a seed, it is 0.
    `knows_marks` says that it was trained on the marks of lmc's layout `chat`. Without an
    `identity`, the contents of the folder identify the weights. `dtype` is the type to compute in:
    "float32", "bfloat16", or None for bfloat16 on a GPU and float32 on a CPU. `lookup` guesses what
    greedy answers copy from their prompts; it changes the time only.
    """

    price: Price | None = Price(0.0, 0.0)
    kind = "transformers"
    trains = True  # whether its engine can train adapters

    def __init__(
        self,
        source: str,
        *,
        knows_marks: bool = False,
        identity: str | None = None,
        dtype: str | None = None,
        lookup: bool = False,
    ) -> None:
        self.source, self.dtype, self.lookup, self._identity = source, dtype, lookup, identity
        constrains = find_spec("llguidance") is not None
        self.capabilities = Capabilities(
            json_schema=constrains,
            logprobs=True,
            multiple_samples=True,
            adapters=True,
            seed=True,
            local=True,
            default_layout="json" if constrains and not knows_marks else "chat",
            grammar=constrains,
            continues=True,
        )
        self._worker: Worker | None = None

    @cached_property
    def endpoint(self) -> str:
        """Identifies the weights. The files are read at the first access."""
        weights = f"{self.kind}:{self._identity or _fingerprint(self.source)}"
        return f"{weights}:{self.dtype}" if self.dtype else weights

    @property
    def _engine(self) -> tuple[str, bool]:
        return self.endpoint, self.lookup

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Answer in one batch with other current requests. Raises: ModelFailure."""
        job = Job(request)
        self._working().submit(job)
        return await asyncio.wrap_future(job.done)

    async def with_engine(self, work: Callable[[Any], T]) -> T:
        """Do something with the engine, in its thread, while no request is in progress.

        Raises: ModelFailure if the model cannot be loaded, and what `work` raises.
        """
        errand = Errand(work)
        self._working().submit(errand)
        found: T = await asyncio.wrap_future(errand.done)
        return found

    def _working(self) -> Worker:
        if self._worker is None:
            load = partial(self.load, self.source, self.dtype, lookup=self.lookup)
            self._worker = _workers.get(self._engine) or Worker(load)
            _workers[self._engine] = self._worker
            self._worker.users += 1
        return self._worker

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, by the model's own tokenizer."""
        return await asyncio.to_thread(_counts, self.source, tuple(texts))

    async def token_texts(self, text: str) -> list[str]:
        """The text of each token, in order; empty if the tokenizer does not tell."""
        return await asyncio.to_thread(_token_texts, self.source, text)

    @staticmethod
    def load(source: str, dtype: str | None = None, *, lookup: bool = False) -> SteppedEngine:
        """Load the engine, in its own thread."""
        from lmc.models.engine.loading import load_engine

        return load_engine(source, dtype, lookup=lookup)

    async def close(self) -> None:
        """Release the weights if nobody else uses them."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.users -= 1
        if worker.users == 0:
            _workers.pop(self._engine, None)
            await asyncio.to_thread(worker.stop)


def open_transformers(
    model: str, settings: Mapping[str, Any], *, prefix: str = "hf/"
) -> Transformers:
    """`hf/<folder or hub name>`. A folder is looked up relative to the program.

    A folder that the user names is also looked up as given. Raises: LmcError[unknown-model] for a
    path that is not a folder with a model, LmcError[outside-folder] for one that a program may not
    name, LmcError[weights-not-allowed] for what an artifact names without consent.
    """
    given = expanded(model)
    for folder in (named_file(_FOLDER, model, settings), given):
        if (folder / "config.json").is_file():
            if folder is given:  # beside the user, and no name on the hub
                named_file(_FOLDER, str(given.resolve()), settings)
            require_weights(prefix + model, settings, folder)
            return Transformers(str(folder.resolve()), **computing(settings))
    if model.startswith(("/", ".", "~")) or model.count("/") != 1:
        message = f"the folder {model} has no model"
        help = "a model is a folder with config.json, safetensors and a tokenizer"
        raise LmcError.of("unknown-model", message, help=help)
    require_weights(prefix + model, settings)
    return Transformers(model, **computing(settings))


def computing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How a model computes, by its settings."""
    return {"dtype": settings.get("dtype"), "lookup": bool(settings.get("lookup"))}


def _counts(source: str, texts: Sequence[str]) -> list[int]:
    count = _counter(source)
    return [count(text) for text in texts]


@lru_cache(maxsize=4)
def _counter(source: str) -> Callable[[str], int]:
    """What counts the tokens of a text; torch is not needed for it."""
    file = Path(source) / "tokenizer.json"
    if file.is_file():
        fast = _tokenizer(str(file))
        return lru_cache(maxsize=1024)(
            lambda text: len(fast.encode(text, add_special_tokens=False).ids)
        )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    return lru_cache(maxsize=1024)(
        lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
    )


@lru_cache(maxsize=4)
def _tokenizer(file: str) -> Any:
    from tokenizers import Tokenizer

    fast = Tokenizer.from_file(file)
    fast.no_truncation()
    fast.no_padding()
    return fast


def _token_texts(source: str, text: str) -> list[str]:
    file = Path(source) / "tokenizer.json"
    if not file.is_file():
        return []
    places = _tokenizer(str(file)).encode(text, add_special_tokens=False).offsets
    return [text[start:end] for start, end in places]


def _fingerprint(source: str) -> str:
    """Identify the weights in cache keys: small files by content, others by size and time."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for file in sorted(
        p for p in folder.iterdir() if p.suffix in {".json", ".safetensors", ".jinja"}
    ):
        stat = file.stat()
        digest.update(f"{file.name}\0{stat.st_size}\0".encode())
        small = stat.st_size <= _HASHED_IN_FULL_BYTES
        digest.update(file.read_bytes() if small else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()[:32]
