"""The workers that this process has on clusters, for all programs that run there."""

from __future__ import annotations

from lmc.cluster.crew import Crew
from lmc.cluster.place import ClusterPlace
from lmc.cluster.ray_workers import RayCluster
from lmc.tasks.loop import at_close, forget_closer, run_sync


class HeldCrew:
    """The workers of a place, for all programs of this process that run there."""

    def __init__(self, place: ClusterPlace) -> None:
        self.cluster = RayCluster(place)
        self.crew: Crew = self.cluster.crew()
        self.users = 0


_held: dict[str, HeldCrew] = {}


def open_crew(on: str) -> Crew:
    """The workers of a place. They start when they are first needed.

    Raises: LmcError[bad-cluster, missing-extra, no-workers].
    """
    if on not in _held:
        place = ClusterPlace.read(on)
        _held[on] = HeldCrew(place)
        at_close(_held[on].crew.close)
    _held[on].users += 1
    return _held[on].crew


def leave_crew(on: str) -> None:
    """A program needs the workers of a place no more. The last one ends them."""
    if (held := _held.get(on)) is None:
        return
    held.users -= 1
    if held.users <= 0:
        del _held[on]
        forget_closer(held.crew.close)
        run_sync(held.crew.close())
