"""What a model's settings pass on to its server as it is: `extra` in the body, and `headers`.

The checker says what a program may pass on. It is said again here, of artifacts whose settings
never met the checker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lmc.check.passed_on import STEERING, misplaced
from lmc.diagnostics import LmcError

_MOST = 100_000  # characters of a body, and of all headers

Headers = tuple[tuple[str, str], ...]


def body_text(settings: Mapping[str, Any]) -> str:
    """`extra` as JSON with its keys in order; empty without any.

    Raises: LmcError[own-parameter].
    """
    given = _sound("extra", settings)
    return json.dumps(given, sort_keys=True, separators=(",", ":")) if given else ""


def header_pairs(settings: Mapping[str, Any]) -> Headers:
    """The pairs of `headers`, in order. Raises: LmcError[own-parameter]."""
    return tuple(sorted(_sound("headers", settings).items()))


def _sound(setting: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    given = settings.get(setting)
    if not given:
        return {}
    if problem := misplaced(setting, given):
        raise LmcError.of("own-parameter", problem[0], help=problem[1])
    if len(json.dumps(given)) > _MOST:
        raise LmcError.of("own-parameter", f"`{setting}` has more than {_MOST:,} characters")
    return given  # type: ignore[no-any-return]


def passes_on(settings: Mapping[str, Any]) -> list[str]:
    """The settings that steer a server, which an artifact needs consent for."""
    return [name for name in STEERING if settings.get(name)]


def merged(payload: dict[str, Any], extra: str, refused: Iterable[str] = ()) -> dict[str, Any]:
    """A body with what is passed on. Objects that both have are joined; the program's wins."""
    if not extra:
        return payload
    for name, value in json.loads(extra).items():
        if name in refused:
            continue
        own = payload.get(name)
        if isinstance(own, dict) and isinstance(value, dict):
            value = {**own, **value}
        payload[name] = value
    return payload
