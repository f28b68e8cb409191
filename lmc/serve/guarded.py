"""Connections that may not stay half open: a client must send the head of a request in time.

uvicorn limits the time between requests, but not the time that the head of one takes.
"""

from __future__ import annotations

import asyncio
from typing import Any


def guarded(protocol: Any, header_s: float) -> Any:
    """A protocol of uvicorn that closes a connection whose next request does not come in time."""

    class Guarded(protocol):  # type: ignore[misc] # its base is known at run time only
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(header_s, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._busy():
                self._forget()
            elif self._late is None and data.strip():
                self._late = self.loop.call_later(header_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _busy(self) -> bool:
            """Whether a request has come whose answer has not ended."""
            return self.cycle is not None and not self.cycle.response_complete

        def _give_up(self) -> None:
            self._late = None
            if not self._busy() and not self.transport.is_closing():
                self.transport.close()

        def _forget(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Guarded
