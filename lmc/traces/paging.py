"""The trace store page by page: short lines about runs, and one whole run, for people who look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.frozen import frozen
from lmc.traces.store import Filter, Run, TraceStore, filtered

ORDERS = ("created", "-created", "score", "-score")


@frozen
class Page:
    """Some of the runs that match, and how many match in all."""

    total: int
    runs: Sequence[Mapping[str, Any]]


def page_of_runs(
    store: TraceStore, where: Filter, first: int, count: int, order: str = "created"
) -> Page:
    """Runs without their calls, from the `first` on, and how many calls and tokens each took.

    `order` is one of ORDERS; runs without a score come last. Raises: LmcError[cannot-read].
    """
    from sqlalchemy import func, select

    from lmc.traces import tables as t

    r, c = t.runs.c, t.calls.c
    names = ("id", "job", "target", "stage", "row", "sample", "values", "score", "pred")
    more = ("feedback", "failed", "error", "created", "parameters", "variant")
    column = r[order.removeprefix("-")]
    by = column.desc() if order.startswith("-") else column.asc()
    query = filtered(select(*(r[name] for name in (*names, *more))), where)
    query = query.order_by(None).order_by(by.nulls_last(), r.created, r.row, r.sample)
    with store.reading() as db:
        total = db.scalar(filtered(select(func.count()).select_from(t.runs), where).order_by(None))
        rows = [dict(row) for row in db.execute(query.offset(first).limit(count)).mappings()]
        used = (
            select(c.run, func.sum(c.calls), func.sum(c.prompt_tokens + c.completion_tokens))
            .where(c.run.in_([row["id"] for row in rows]))
            .group_by(c.run)
        )
        sums = {run: (calls, tokens) for run, calls, tokens in db.execute(used)}
    for row in rows:
        row["calls"], row["tokens"] = sums.get(row["id"], (0, 0))
    return Page(int(total or 0), rows)


def stages_and_modules(store: TraceStore, job: str) -> tuple[list[str], list[str]]:
    """The stages of a job in their order, and the modules that it called.

    Raises: LmcError[cannot-read].
    """
    from sqlalchemy import func, select

    from lmc.traces import tables as t

    r, c = t.runs.c, t.calls.c
    stages = select(r.stage).where(r.job == job).group_by(r.stage).order_by(func.min(r.created))
    of_job = select(r.id).where(r.job == job)
    modules = select(c.module).where(c.run.in_(of_job)).distinct().order_by(c.module)
    with store.reading() as db:
        return list(db.scalars(stages)), list(db.scalars(modules))


def run_with_id(store: TraceStore, id: str) -> Run | None:
    """One run with its trace. Raises: LmcError[cannot-read]."""
    return next(iter(store.runs(Filter(ids=[id]))), None)
