"""Samples that ask the same in one turn of the loop go out together."""

from __future__ import annotations

import asyncio

import pytest

from lmc.models.base import Answer, ModelFailure, Request
from lmc.requests.batching import SampleBatcher


def request(text: str, index: int) -> Request:
    return Request("m", ({"role": "user", "content": text},), index=index)


class Sender:
    """Answers with the sample's index, and remembers what it was asked."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.seen: list[tuple[str, int, int]] = []
        self.began = asyncio.Event()

    async def __call__(self, request: Request) -> list[Answer]:
        self.seen.append((request.messages[0]["content"], request.index, request.n))
        self.began.set()
        await asyncio.sleep(0.01)
        if self.failure is not None:
            raise self.failure
        return [Answer(str(i)) for i in range(request.index, request.index + request.n)]


async def ask_all(send: Sender, *asked: tuple[str, int]) -> list[str]:
    batcher = SampleBatcher()
    answers = (batcher.ask(send, request(text, i), send) for text, i in asked)
    return [answer.text for answer in await asyncio.gather(*answers)]


async def test_neighbouring_samples_of_a_prompt_are_one_request() -> None:
    send = Sender()
    assert await ask_all(send, ("a", 2), ("a", 0), ("a", 1)) == ["2", "0", "1"]
    assert send.seen == [("a", 0, 3)]


async def test_other_prompts_and_gaps_split_a_batch() -> None:
    send = Sender()
    asked = (("a", 0), ("b", 1), ("a", 1), ("a", 7))
    assert await ask_all(send, *asked) == ["0", "1", "1", "7"]
    assert sorted(send.seen) == [("a", 0, 2), ("a", 7, 1), ("b", 1, 1)]


async def test_the_same_sample_twice_is_asked_twice() -> None:
    send = Sender()
    assert await ask_all(send, ("a", 0), ("a", 0)) == ["0", "0"]
    assert send.seen == [("a", 0, 1), ("a", 0, 1)]


async def test_a_failure_is_everybodys() -> None:
    send = Sender(ModelFailure("server", "down", retryable=False))
    batcher = SampleBatcher()
    answers = (batcher.ask(send, request("a", i), send) for i in range(3))
    found = await asyncio.gather(*answers, return_exceptions=True)
    assert [str(failure) for failure in found] == ["down"] * 3


async def test_when_the_one_that_sends_is_cancelled_the_others_go_on() -> None:
    send, batcher = Sender(), SampleBatcher()
    tasks = [asyncio.create_task(batcher.ask(send, request("a", i), send)) for i in range(3)]
    await send.began.wait()
    tasks[0].cancel()
    assert [(await task).text for task in tasks[1:]] == ["1", "2"]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert send.seen == [("a", 0, 3), ("a", 1, 1), ("a", 2, 1)]


@pytest.mark.parametrize("later", [False, True])
async def test_a_sample_that_is_cancelled_before_it_sends_holds_up_nobody(later: bool) -> None:
    send, batcher = Sender(), SampleBatcher()

    async def ask(index: int) -> str:
        return (await batcher.ask(send, request("a", index), send)).text

    first, second = asyncio.create_task(ask(0)), asyncio.create_task(ask(1))
    soon = asyncio.get_running_loop().call_soon
    if later:  # when it was told to send for both
        soon(soon, first.cancel)
    else:
        soon(first.cancel)
    assert await second == "1"
    with pytest.raises(asyncio.CancelledError):
        await first
