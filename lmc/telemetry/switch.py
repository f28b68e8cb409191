"""Whether runs are traced. Importing this is cheap, and OpenTelemetry is imported when needed."""

from __future__ import annotations

import os
from importlib.util import find_spec

from lmc.diagnostics import LmcError

SWITCH = "LMC_OTEL"
YES = ("1", "true", "yes", "on")
INSTALL = 'pip install "lmc-lang[otel]"'


def is_traced(option: bool | None) -> bool:
    """Whether runs are traced: the option, else the environment variable LMC_OTEL."""
    return option if option is not None else os.environ.get(SWITCH, "").lower() in YES


def require_installed() -> None:
    """Raises: LmcError[missing-extra] if OpenTelemetry is not there. Nothing is imported."""
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.trace") is None:
        raise LmcError.of("missing-extra", "tracing needs opentelemetry", help=INSTALL)
