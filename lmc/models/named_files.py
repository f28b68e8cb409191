"""Files and folders that the name of a model names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmc.consent import OWN, Consent


def named_file(what: str, name: str, settings: Mapping[str, Any]) -> Path:
    """Place a file that a program names in its folder, or one that the user names anywhere.

    Raises: LmcError[outside-folder].
    """
    folder = Path(settings.get("base_dir") or ".")
    if settings.get("users"):
        return folder / Path(name).expanduser()
    consent: Consent = settings.get("consent") or OWN
    return consent.place(folder, name, what)
