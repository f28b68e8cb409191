"""A limit ends its block as `asyncio.timeout` does; many limits share a timer."""

import asyncio
import time

import pytest

from lmc.requests.deadlines import TICK_S, Deadlines


async def within(deadlines: Deadlines, seconds: float | None, work_s: float) -> str:
    with deadlines.limit(seconds):
        await asyncio.sleep(work_s)
    return "done"


async def test_what_takes_too_long_is_ended() -> None:
    start_s = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(Deadlines(), 0.02, 30)
    assert time.monotonic() - start_s < 10
    assert (task := asyncio.current_task()) and task.cancelling() == 0


async def test_what_is_done_in_time_is_left_alone() -> None:
    deadlines = Deadlines()
    assert await within(deadlines, 5, 0.001) == "done"
    assert await within(deadlines, None, 0.001) == "done"
    await asyncio.sleep(2.5 * TICK_S)
    assert deadlines._timer is None  # nothing is left that would keep it going
    assert await within(deadlines, 5, 0.001) == "done"


async def test_each_has_its_own_limit() -> None:
    deadlines = Deadlines()
    limits = [0.01, 5, 0.02, None]
    work = [within(deadlines, seconds, 0.01 if seconds in (5, None) else 30) for seconds in limits]
    found = await asyncio.gather(*work, return_exceptions=True)
    assert [type(f) for f in found] == [TimeoutError, str, TimeoutError, str]


async def test_cancelling_from_outside_is_no_timeout() -> None:
    task = asyncio.create_task(within(Deadlines(), 5, 30))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_of_the_work_is_told_as_it_is() -> None:
    with pytest.raises(ValueError, match="own"), Deadlines().limit(5):
        raise ValueError("own")


def test_another_loop_has_a_timer_of_its_own() -> None:
    deadlines = Deadlines()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(within(deadlines, 0.01, 30))
