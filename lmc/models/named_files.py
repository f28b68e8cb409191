"""Files and folders in the names of models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmc.consent import OWN, Consent


def named_file(what: str, name: str, settings: Mapping[str, Any]) -> Path:
    """The path of a file: in the program's folder if the program names it, else anywhere.

    Raises: LmcError[outside-folder].
    """
    folder = Path(settings.get("base_dir") or ".")
    if settings.get("users"):
        return folder / Path(name).expanduser()
    consent: Consent = settings.get("consent") or OWN
    return consent.place(folder, name, what)
