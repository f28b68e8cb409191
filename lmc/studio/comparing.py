"""Two programs or artifacts on the same rows, told row by row; or two files of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.measure.statistics import mean_interval, paired_difference

Tell = Callable[[str, Any], None]


def compare_programs(given: dict[str, Any], tell: Tell) -> None:
    """Measure two programs on the same rows, and tell each row and the difference.

    Raises: LmcError.
    """
    from lmc.program.measuring import evaluate
    from lmc.program.options import TaskOptions
    from lmc.program.program import load
    from lmc.program.task import find_task

    shared = {name: given[name] for name in ("data", "metric") if given.get(name)}
    part, limit = given.get("part"), given.get("limit")
    sides: list[dict[str, dict[str, Any]]] = []
    values: dict[str, Mapping[str, Any]] = {}
    for side, path in enumerate((given["path"], given["other"])):
        with load(Path(path), **given["options"]) as program:
            rows = list(islice(find_task(program, TaskOptions(**shared)).data.part(part), limit))
            values |= {row.id: row.values for row in rows}
            hear = _Progress(tell, side, len(rows))
            found = evaluate(program, **shared, part=part, limit=limit, progress=hear)
            sides.append({result.id: result.as_json() for result in found.results})
    tell("compared", compared(sides[0], sides[1], values))


class _Progress:
    """Counts the rows of one side that are done."""

    def __init__(self, tell: Tell, side: int, total: int) -> None:
        self._tell, self._side, self._total, self._done = tell, side, total, 0

    def __call__(self, _: Any) -> None:
        self._done += 1
        self._tell("progress", {"side": self._side, "done": self._done, "total": self._total})


def compare_results(first: Path, second: Path) -> dict[str, Any]:
    """Compare two files of results by the ids of their rows. Raises: LmcError[cannot-read]."""
    sides = [{row["id"]: row for row in _results(path)} for path in (first, second)]
    return compared(sides[0], sides[1], {})


def _results(path: Path) -> Iterator[dict[str, Any]]:
    from lmc.measure.results import read_results

    try:
        yield from read_results(path)
    except (OSError, ValueError, KeyError) as problem:
        message = f"`{path.name}` is no file of results"
        raise LmcError.of("cannot-read", message, help=str(problem)[:200]) from None


def compared(
    first: Mapping[str, Mapping[str, Any]],
    second: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """The rows that both have, with what changed, losses first, and the figures."""
    shared = [id for id in first if id in second]
    rows: list[dict[str, Any]] = [
        {
            "id": id,
            "values": values.get(id),
            "before": _side(first[id]),
            "after": _side(second[id]),
            "gain": _gain(first[id]["score"], second[id]["score"]),
        }
        for id in shared
    ]
    rows.sort(key=lambda row: (_order(row["gain"]), row["id"]))
    both = [row for row in rows if row["gain"] is not None]
    before = [row["before"]["score"] for row in both]
    after = [row["after"]["score"] for row in both]
    return {
        "rows": rows,
        "alone": [len(first) - len(shared), len(second) - len(shared)],
        "figures": _figures(before, after) if both else None,
    }


def _side(result: Mapping[str, Any]) -> dict[str, Any]:
    names = ("score", "pred", "feedback", "error", "calls", "tokens", "cost_usd")
    return {name: result.get(name) for name in names}


def _gain(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _order(gain: float | None) -> float:
    """Losses first, then gains, then what stays the same."""
    if gain is None or gain == 0:
        return 9.0
    return gain if gain < 0 else 2 - gain


def _figures(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    low, high = paired_difference(before, after)
    mean = (sum(after) - sum(before)) / len(after)
    ends = [mean_interval(side) for side in (before, after)]
    return {
        "before": {"mean": sum(before) / len(before), "low": ends[0][0], "high": ends[0][1]},
        "after": {"mean": sum(after) / len(after), "low": ends[1][0], "high": ends[1][1]},
        "difference": {"mean": mean, "low": low, "high": high},
        "rows": len(after),
        "won": sum(b > a for a, b in zip(before, after)),
        "lost": sum(b < a for a, b in zip(before, after)),
    }
