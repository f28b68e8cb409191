"""Programs over HTTP: `lmc.serve.app(program)` is an ASGI application, `lmc serve` a server.

Importing this package is cheap. Starlette is imported when an application is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmc.serve.application import ServeApp, app
    from lmc.serve.options import ServeOptions

__all__ = ["ServeApp", "ServeOptions", "app"]

_HOMES = {
    "ServeApp": "lmc.serve.application",
    "ServeOptions": "lmc.serve.options",
    "app": "lmc.serve.application",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `lmc.serve` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)
