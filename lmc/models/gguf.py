"""Models in GGUF files, as llama.cpp uses them: `gguf/<file or folder>`.

transformers reads the file, dequantises it to float32, and the result is kept in the cache as a
folder of safetensors. From then on it is a model like any `hf/<folder>`: engine, adapters,
training. The folder is named by the hash of the file, so a file is converted once.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import struct
import tempfile
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.files import cache_folder, make_folder_once
from lmc.models.engine.pretrained import pretrained
from lmc.models.named_files import named_file, require_weights
from lmc.models.transformers_local import Transformers, computing
from lmc.redaction import logger
from lmc.regular import expanded, open_regular

_log = logger(__name__)

_FILE = "a GGUF file"
_MAGIC = b"GGUF"
_HEADER = struct.Struct("<4sIQ")  # magic, version, how many tensors
_CONVERTER = 1  # raised when a file would be converted into something else than before
_WEIGHT_BYTES = 4  # of float32
_MOST_WEIGHTS_A_BYTE = 8  # no quantisation takes less than a bit for a weight
_UNKNOWN_ARCHITECTURE = re.compile(r"architecture (\S+) is not supported")
_HELP = "write the path of a .gguf file, or of a folder that holds one"


def open_gguf(model: str, settings: Mapping[str, Any]) -> Transformers:
    """Open a file, or the only one in a folder; it is looked up relative to the program.

    One that the user names is looked up as given too. The first time this converts the file, which
    takes a minute for 100 million weights on a busy machine. Raises: LmcError[unknown-model,
    outside-folder, weights-not-allowed, not-a-gguf, cannot-convert, cannot-write].
    """
    return open_file(find_gguf(model, settings), **computing(settings))


def find_gguf(model: str, settings: Mapping[str, Any], *, prefix: str = "gguf/") -> Path:
    """A GGUF file, or the only one in a folder, that a model's name behind a prefix means.

    Raises: LmcError[unknown-model, outside-folder, weights-not-allowed].
    """
    given = expanded(model)
    for place in (named_file(_FILE, model, settings), given):
        if place.exists():
            if place is given:  # beside the user
                named_file(_FILE, str(given.resolve()), settings)
            require_weights(f"{prefix}{model}", settings, place)
            return _file_at(place)
    raise LmcError.of("unknown-model", f"there is no file {model}", help=_HELP)


def open_file(file: Path, *, sha256: str | None = None, **computing: Any) -> Transformers:
    """Open the model in a GGUF file; with `sha256` only if that is what the file is.

    `computing` are further options of `Transformers`.

    Raises: LmcError[not-a-gguf, cannot-convert, cannot-write].
    """
    tensors, content = tensor_count(file), _content(file)
    if sha256 not in (None, content):
        message = f"{file} is another file than the one that lmc knows by this name"
        raise LmcError.of("not-a-gguf", message, help=f"to use it, name the model `gguf/{file}`")
    folder = cache_folder() / "gguf" / f"{content[:32]}-{_CONVERTER}"
    make_folder_once(folder, partial(_convert, file.resolve(), tensors))
    return Transformers(str(folder), identity=f"gguf-{content[:32]}-{_CONVERTER}", **computing)


def _file_at(place: Path) -> Path:
    """The file itself, or the only one in a folder. Raises: LmcError[unknown-model]."""
    if not place.is_dir():
        return place
    found = sorted(file.name for file in place.glob("*.gguf"))
    if len(found) == 1:
        return place / found[0]
    message = f"there is no .gguf file in {place}"
    if found:
        message = f"there are {len(found)} models in {place}: {', '.join(found[:8])}"
    raise LmcError.of("unknown-model", message, help=_HELP)


def tensor_count(file: Path) -> int:
    """How many tensors the file says it has. Raises: LmcError[not-a-gguf]."""
    try:
        with open_regular(file) as opened:
            header = opened.read(_HEADER.size)
    except OSError as problem:
        raise LmcError.of("not-a-gguf", f"cannot read {file}: {problem.strerror}") from None
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        message = f"{file} is not a GGUF file"
        help = "folders with safetensors are `hf/<folder>`"
        raise LmcError.of("not-a-gguf", message, help=help)
    return int(_HEADER.unpack(header)[2])


def _content(file: Path) -> str:
    stat = file.stat()
    return _sha256(file.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, changed_ns: int) -> str:
    with open_regular(file) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()  # type: ignore[arg-type]


def _convert(file: Path, tensors: int, folder: Path) -> None:
    """Write the model of a file into a folder. Raises: LmcError[cannot-convert, cannot-write]."""
    _log.warning("converting %s, once; this takes a minute or so", file.name)
    # Alone, so that nothing else in the file's folder (a config, an adapter) is read with it.
    with tempfile.TemporaryDirectory(prefix="lmc-gguf-") as alone:
        (Path(alone) / "model.gguf").symlink_to(file)
        try:
            _write(Path(alone), tensors, file.stat().st_size, folder)
        except (LmcError, MemoryError):
            raise
        except Exception as problem:  # a damaged file raises whatever the reader meets first
            raise _refusal(file, problem) from problem


def _write(alone: Path, tensors: int, size: int, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    given: dict[str, Any] = {"gguf_file": "model.gguf", "trust_remote_code": False}
    config = AutoConfig.from_pretrained(alone, **given)
    if int(getattr(config, "num_hidden_layers", 0)) > tensors:
        raise ValueError("it says that it has more layers than tensors")
    with torch.device("meta"):  # takes no memory
        empty = AutoModelForCausalLM.from_config(config)
    weights = empty.num_parameters()
    if weights > _MOST_WEIGHTS_A_BYTE * size:
        raise ValueError("it says that it has more weights than fit into it")
    _find_room(folder, weights * _WEIGHT_BYTES)
    AutoTokenizer.from_pretrained(alone, **given).save_pretrained(folder)
    # The object that was read from a GGUF refuses to be saved: its weights go into a plain one.
    read = pretrained(AutoModelForCausalLM, alone, dtype=torch.float32, **given)
    empty.load_state_dict(read.state_dict(), assign=True)
    empty.tie_weights()
    empty.config.dtype = torch.float32
    empty.save_pretrained(folder)


def _find_room(folder: Path, bytes: int) -> None:
    if shutil.disk_usage(folder).free < bytes:
        message = f"the model takes {bytes / 1e9:.1f} GB in {folder.parent}, which is full"
        help = "make room, or set LMC_CACHE_DIR to a folder on another disk"
        raise LmcError.of("cannot-write", message, help=help)


def _refusal(file: Path, problem: Exception) -> LmcError:
    text = f"{type(problem).__name__}: {problem}"[:400]
    if getattr(problem, "errno", None) == errno.ENOSPC or "No space left" in text:
        help = "make room, or set LMC_CACHE_DIR to a folder on another disk"
        return LmcError.of("cannot-write", f"the disk is full: cannot convert {file}", help=help)
    if unknown := _UNKNOWN_ARCHITECTURE.search(text):
        message = f"{file} holds a model of the architecture `{unknown[1]}`, which is not known"
        help = "transformers reads no GGUF of it: use its safetensors (`hf/…`), or a server"
        return LmcError.of("cannot-convert", message, help=help)
    message = f"{file} cannot be converted: {text}"
    help = "is the file whole? A model in several files is not read"
    return LmcError.of("cannot-convert", message, help=help)
