"""The options for rows, metric and limits that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lmc.cli.terminal import target_option

F = TypeVar("F", bound=Callable[..., Any])

data_option = click.option(
    "-d", "--data",
    help="Rows: files (.jsonl, .csv, .parquet, …), a folder or a pattern, a query "
    "(URL#SELECT …), hf:NAME#SPLIT, or a dataset of the program.",
)  # fmt: skip
metric_option = click.option(
    "--metric",
    help="Metric: accuracy, f1, contains, numeric, one of the program's, or pkg.mod:fn.",
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Use only the first N rows."
)

track_option = click.option(
    "--track", type=click.Choice(["mlflow"]),
    help="Write parameters, scores and files to a tracking tool.",
)  # fmt: skip
effects_option = click.option(
    "--allow-effects", "effects", is_flag=True,
    help="Let tools with `effect: true` run on every row.",
)  # fmt: skip
budget_option = click.option(
    "--budget", metavar="LIMITS",
    help="Hard limits, such as calls=4000,tokens=1e6,usd=2,minutes=30.",
)  # fmt: skip

OPTIONS = (
    target_option,
    data_option,
    metric_option,
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of random choices."),
    budget_option,
    effects_option,
)


def data_options(function: F) -> F:
    """Add the shared options to a command."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def parse_budget(text: str | None) -> dict[str, float]:
    """`calls=4000,usd=2` as a mapping. Raises: click.BadParameter."""
    from lmc.program.options import LIMITS

    limits: dict[str, float] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, equals, value = (p.strip() for p in part.partition("="))
        if key not in LIMITS or not equals:
            raise click.BadParameter(
                f"`{part.strip()}`: write calls=, tokens=, usd= or minutes= and a number"
            )
        try:
            limits[key] = float(value)
        except ValueError:
            message = f"`{value}` is not a number"
            raise click.BadParameter(message, param_hint="--budget") from None
    return limits


def rows_path(path: Path) -> Path:
    """The default file for the results of each row."""
    return path.with_suffix(".results.jsonl")
