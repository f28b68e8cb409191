"""What a pass may know beside the program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PassContext:
    """Facts that passes ask for; `keep` names graphs that must stay although nothing calls them."""

    keep: tuple[str, ...] = ()
