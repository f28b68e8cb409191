"""The ASGI application of a studio: its page and what the page asks, behind a gate."""

from __future__ import annotations

from pathlib import Path

from lmc.serve.gate import LOOPBACK, Gatekeeper, Receive, Scope, Send
from lmc.serve.keys import ApiKeys
from lmc.serve.metrics import Metrics
from lmc.serve.options import ServeOptions
from lmc.studio.routes import router
from lmc.studio.state import StudioOptions, StudioState

BODY_BYTES = 48 << 20  # the largest media, as a `data:` URL


class StudioApp:
    """A studio for one person at this machine. Names that lead elsewhere do not reach it."""

    def __init__(self, folder: Path, options: StudioOptions, token: str | None = None) -> None:
        self.state = StudioState(folder, options, token)
        limits = ServeOptions(hosts=LOOPBACK, body_bytes=BODY_BYTES)
        self.gate = Gatekeeper(router(self.state), limits, ApiKeys(), Metrics())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "lifespan":
            await self.gate(scope, receive, send)

    def address(self, url: str) -> str:
        """The address that opens the page. Browsers send what follows `#` to no server."""
        return f"{url}/#token={self.state.access.token}"

    async def ready(self) -> None:
        """Nothing has to start."""

    async def reload(self) -> None:
        """Nothing has to be loaded: files are read as they are asked for."""

    def files(self) -> list[Path]:
        """No file is watched."""
        return []

    def drain(self) -> None:
        """Refuse new requests, and end the streams."""
        self.gate.draining = True
        self.state.closing.set()

    async def stop(self) -> None:
        """End the processes that run."""
        await self.state.stop()
