"""What the endpoints of a studio share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from lmc.frozen import frozen
from lmc.studio.access import PageAccess
from lmc.studio.browsing import Browsing
from lmc.studio.compiling import Compilations
from lmc.studio.processes import Processes
from lmc.studio.workplace import Workplace
from lmc.studio.writing import Writing


@frozen
class StudioOptions:
    """How a studio runs programs: options of `lmc.load`, and the same as flags of commands.

    `first` is the file that the page opens.
    """

    load: Mapping[str, Any] = field(default_factory=dict)
    flags: Sequence[str] = ()
    first: str = ""


class StudioState:
    """The state of one studio. Belongs to the event loop that it is first used on."""

    def __init__(self, folder: Path, options: StudioOptions, token: str | None = None) -> None:
        self.options = options
        self.closing = asyncio.Event()  # ends the streams, which would go on for ever
        self.access = PageAccess(token)
        self.place = Workplace(folder)
        self.writing = Writing()
        self.processes = Processes(self.place.root)
        self.browsing = Browsing(self.place)
        self.compilations = Compilations(self.place, self.processes, list(options.flags))

    async def stop(self) -> None:
        """End the processes, and close the trace store."""
        await self.compilations.stop()
        await self.processes.stop()
        self.browsing.close()
