"""The options for batch APIs that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from lmc.cli.terminal import Finite

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--batch-api", is_flag=True,
        help="Ask models by the batch APIs of their servers: at half the price, within a day.",
    ),
    click.option(
        "--batch-wait", type=Finite(0, min_open=True), metavar="HOURS",
        help="With --batch-api: hours to wait for a batch.  [default: 25]",
    ),
    click.option(
        "--batch-late", type=click.Choice(["fail", "ask"]),
        help="With --batch-api: whether what a batch did not answer fails, or is asked the ordinary"
        " way at the ordinary price.  [default: fail]",
    ),
    click.option(
        "--batch-price", type=Finite(0, 1), metavar="SHARE",
        help="With --batch-api: share of the usual price.  [default: the provider's, or 1]",
    ),
    click.option(
        "--batch-command", metavar="COMMAND",
        help="With --batch-api: vLLM's own command, which runs the models `vllm/…` that have no"
        " server, such as `vllm run-batch`.",
    ),
)  # fmt: skip


def batch_api_options(function: F) -> F:
    """Add the options to a command, which gets them as one `batch_api`."""

    @wraps(function)
    def command(
        *,
        batch_api: bool,
        batch_wait: float | None,
        batch_late: str | None,
        batch_price: float | None,
        batch_command: str | None,
        **given: Any,
    ) -> Any:
        from lmc.models.batch_api import BatchApi

        more: dict[str, Any] = {"late": batch_late, "price": batch_price, "command": batch_command}
        more["wait_s"] = None if batch_wait is None else batch_wait * 3600
        chosen = {name: value for name, value in more.items() if value is not None}
        if chosen and not batch_api:
            raise click.UsageError(
                "--batch-wait, --batch-late, --batch-price and --batch-command need --batch-api"
            )
        return function(**given, batch_api=BatchApi(**chosen) if batch_api else False)

    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]
