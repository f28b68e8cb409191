"""Checkpoints of a training on a worker, brought to the driver, from where another worker goes on.

Where machines share the folder of a run, nothing has to be brought. Large checkpoints are not: a
message that takes minutes would count as silence.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from lmc.training.lora import last_checkpoint

MOST_BYTES = 128 << 20
_NAME, _FILE = (
    re.compile(r"checkpoint-[0-9]{1,12}"),
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"),
)


def newest(place: Path) -> Path | None:
    """The newest complete checkpoint of a training, if it is small enough to be brought."""
    found = last_checkpoint(place)
    if found is None or sum(p.stat().st_size for p in Path(found).iterdir()) > MOST_BYTES:
        return None
    return Path(found)


def read(checkpoint: Path) -> dict[str, bytes]:
    """Its files by name."""
    return {path.name: path.read_bytes() for path in checkpoint.iterdir() if path.is_file()}


def write(place: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write a checkpoint whole or not at all, and remove older ones if it can be read.

    Raises: ValueError if it has strange names, or is too large.
    """
    if not _NAME.fullmatch(name) or not all(map(_FILE.fullmatch, files)):
        raise ValueError(name)
    if sum(map(len, files.values())) > MOST_BYTES:
        raise ValueError(f"{name} is too large")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="brought-", dir=place) as made:
        folder = Path(made) / name
        folder.mkdir()
        for own, content in files.items():
            (folder / own).write_bytes(content)
        if not (place / name).exists():
            folder.rename(place / name)
    if last_checkpoint(place) != str(place / name):
        return
    for old in place.glob("checkpoint-*"):
        if _NAME.fullmatch(old.name) and int(old.name[11:]) < int(name[11:]):
            shutil.rmtree(old, ignore_errors=True)
