"""Which cluster an option `--on` means, and how many workers to start there."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from lmc.cluster.crew import SILENCE_S
from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen

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
