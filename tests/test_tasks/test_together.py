"""Work that several wait for: its failure is told to whoever waits, and to nobody else."""

import asyncio
import gc
from typing import Any

import pytest

from lmc.tasks.together import shared


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("no")


async def test_who_waits_hears_of_a_failure() -> None:
    with pytest.raises(ValueError, match="no"):
        await asyncio.shield(shared(fail()))


async def test_a_failure_that_nobody_waits_for_is_not_logged() -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    waiting = asyncio.ensure_future(asyncio.shield(shared(fail())))  # type: ignore[arg-type]  # a future
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert heard == []
