"""LoRA adapters on disk, named by a hash of their contents.

If new weights had an old name, an engine or a cache would serve stale answers. So an adapter never
changes. Its id is a hash of its files, and its folder is named by the id.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lmc.diagnostics import LmcError
from lmc.files import cache_folder, make_private
from lmc.frozen import frozen
from lmc.regular import read_regular

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
FILES = (CONFIG, WEIGHTS)
MOST_BYTES = 2 << 30  # per file
_ID = re.compile(r"[0-9a-f]{32}")


@frozen
class Adapter:
    """LoRA weights in peft's format. Parameters, requests and cache keys name them by `id`."""

    id: str
    folder: Path

    def files(self) -> dict[str, bytes]:
        """The contents of the adapter's files, by name."""
        return {name: (self.folder / name).read_bytes() for name in FILES}


class AdapterStore:
    """Adapters in folders named by their ids. Nothing is ever overwritten."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, folder: Path) -> Adapter:
        """Add the adapter of a folder. Equal contents are stored once.

        Raises: LmcError[not-an-adapter] if one of its two files is missing.
        """
        try:
            return self.add_files({name: read_regular(folder / name, MOST_BYTES) for name in FILES})
        except OSError as problem:
            message = f"{folder} is not an adapter: {problem.strerror}: {problem.filename}"
            help = f"an adapter is a folder with {WEIGHTS} and {CONFIG}, as peft writes it"
            raise LmcError.of("not-an-adapter", message, help=help) from None

    def add_files(self, files: Mapping[str, bytes]) -> Adapter:
        """Add an adapter from the contents of its files. It is written completely or not at all."""
        id = adapter_id(files)
        folder = self.root / id
        if not folder.is_dir():
            make_private(self.root)
            partial = Path(tempfile.mkdtemp(dir=self.root, prefix=f".{id}."))
            try:
                for name in FILES:
                    (partial / name).write_bytes(files[name])
                os.replace(partial, folder)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)
                if not folder.is_dir():  # else another process was faster
                    raise
        return Adapter(id, folder)

    def remember(self, job: str, adapter: Adapter) -> None:
        """Record the result of a training job, so that an equal job can reuse it."""
        make_private(self.root)
        partial = self.root / f".{job}.{os.getpid()}"
        partial.write_text(adapter.id, encoding="utf-8")
        os.replace(partial, self.root / f"{job}.trained")

    def recall(self, job: str) -> Adapter | None:
        """The recorded result of a training job, if it is still in the store."""
        try:
            return self.find((self.root / f"{job}.trained").read_text(encoding="utf-8"))
        except (OSError, LmcError):
            return None

    def find(self, id: str) -> Adapter:
        """Find an adapter by its id. Raises: LmcError[unknown-adapter]."""
        folder = self.root / id
        if is_adapter_id(id) and (folder / WEIGHTS).is_file():
            return Adapter(id, folder)
        message = f"adapter {id} is not in {self.root}"
        help = "load the artifact that holds it, or train it again"
        raise LmcError.of("unknown-adapter", message, help=help)


def adapter_id(files: Mapping[str, bytes]) -> str:
    """Hash names and contents to the first 32 hexadecimal digits of a SHA-256."""
    digest = hashlib.sha256()
    for name in FILES:
        digest.update(f"{name}\0{len(files[name])}\0".encode())
        digest.update(files[name])
    return digest.hexdigest()[:32]


def is_adapter_id(name: str) -> bool:
    """Whether a name is an id, not a server's name for an adapter or a name in a program."""
    return _ID.fullmatch(name) is not None


def adapter_store() -> AdapterStore:
    """The store beside the response cache: in LMC_CACHE_DIR, else in the user's cache folder."""
    return AdapterStore(cache_folder() / "adapters")
