"""Which cluster an option `--on` means, and the workers that this process has there."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from lmc.cluster.crew import SILENCE_S, Crew
from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.tasks.loop import at_close, forget_closer, run_sync

_FIGURES = ("workers", "cpus", "gpus", "silence")


@frozen
class ClusterPlace:
    """A Ray cluster, and the workers to start there. None leaves a figure to the cluster.

    `address` is None for the cluster that this process is in or `RAY_ADDRESS` names, else for one
    of this machine that lasts as long as the process.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float | None = None  # of each worker
    gpus: float | None = None
    silence_s: float = SILENCE_S  # after which a worker counts as lost

    @classmethod
    def read(cls, text: str) -> ClusterPlace:
        """Read `ray`, `ray?workers=8&cpus=0.5` or `ray://host:10001?gpus=1`.

        Raises: LmcError[bad-cluster].
        """
        head, _, query = text.partition("?")
        address = None if head == "ray" else head
        found = urlsplit(head)
        try:
            known = address is None or (found.scheme == "ray" and found.hostname and found.port)
        except ValueError:  # the port is not one
            known = False
        if not known:
            raise _wrong(text, "write `ray`, or `ray://host:10001` for a cluster elsewhere")
        given: dict[str, float] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name not in _FIGURES:
                help = suggestion(name, _FIGURES, f"after `?` stand {', '.join(_FIGURES)}")
                raise _wrong(text, help)
            given[name] = _figure(text, name, value)
        workers = given.get("workers")
        return cls(
            address,
            None if workers is None else int(workers),
            given.get("cpus"),
            given.get("gpus"),
            given.get("silence", SILENCE_S),
        )


def _figure(text: str, name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    least = {"workers": 1.0, "silence": 1.0, "cpus": 0.001}.get(name, 0.0)
    if not least <= number < 1e6 or (name == "workers" and number != int(number)):
        raise _wrong(text, f"`{name}` cannot be `{value}`")
    return number


def _wrong(text: str, help: str | None) -> LmcError:
    return LmcError.of("bad-cluster", f"`{text}` names no cluster", help=help)


class HeldCrew:
    """The workers of a place, for all programs of this process that run there."""

    def __init__(self, place: ClusterPlace) -> None:
        from lmc.cluster.ray_workers import RayCluster

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
