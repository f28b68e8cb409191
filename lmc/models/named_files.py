"""Files, folders and hubs in the names of models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmc.consent import IMPOSSIBLE, OWN, Consent, short
from lmc.diagnostics import LmcError
from lmc.models.origins import Address, is_allowed
from lmc.regular import expanded, real_path

HUB = Address("https://huggingface.co", users=False)


def named_file(what: str, name: str, settings: Mapping[str, Any]) -> Path:
    """The path of a file: in the program's folder if the program names it, else anywhere.

    Raises: LmcError[outside-folder, missing-file].
    """
    folder = Path(settings.get("base_dir") or ".")
    if settings.get("users"):
        path = folder / expanded(name)
        if real_path(path) is None:
            raise LmcError.of("missing-file", f"{what} is {short(name)}: {IMPOSSIBLE}")
        return path
    consent: Consent = settings.get("consent") or OWN
    return consent.place(folder, name, what)


def require_weights(name: str, settings: Mapping[str, Any], place: Path | None = None) -> None:
    """Require consent for weights that an artifact names: at a place here, or on the hub.

    Raises: LmcError[weights-not-allowed].
    """
    consent: Consent = settings.get("consent") or OWN
    if settings.get("users") or not consent.stranger:
        return
    if place is None:
        allowed, flag = is_allowed(HUB, consent), f"`--allow-host {HUB.host}`"
        what = f"download the weights of `{name}` from {HUB.host}"
    else:
        allowed, flag = consent.may_read(place, None), f"`--allow-path {name.partition('/')[2]}`"
        what = f"load the weights of `{name}`"
    if not allowed:
        help = f"if you trust them: {flag}; or name the model yourself: `--model {name}`"
        message = f"the artifact would {what}, which you did not allow"
        raise LmcError.of("weights-not-allowed", message, help=help)
