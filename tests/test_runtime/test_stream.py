"""Text is heard while it is written, paid for once, and nothing is said twice."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.event_stream import EventStream
from lmc.models.scripted import Scripted
from tests.loopback import Loopback

SAY = 'generate say(x: str) -> str { """Say it.""" }\n'
TELL = SAY + 'pipeline tell(x: str) -> str { let y = "{x}!" return say(y) }\n'
VOTE = SAY + "vote chosen(x: str) -> str { sample: say(x), n: 3 }\n"
TWICE = SAY + "pipeline twice(x: str) -> str { return say(say(x)) }\n"


def load(tmp_path: Path, text: str, **options: Any) -> Any:
    path = tmp_path / "p.lmp"
    path.write_text(text)
    return lmc.load(path, **{"cache": tmp_path / "cache.db", **options})


def served(server: Loopback) -> str:
    return f'default {{ model: far }}\nmodel far {{ name: "openai/m", base_url: "{server.url}" }}\n'


async def heard(callee: Any, *args: Any) -> list[str]:
    return [piece async for piece in callee.stream(*args)]


@pytest.mark.parametrize(("text", "name"), [(SAY, "say"), (TELL, "tell")])
async def test_words_come_one_by_one(tmp_path: Path, text: str, name: str) -> None:
    program = load(tmp_path, text, backend=Scripted(lambda r: "  one two\nthree  "))
    assert await heard(program[name], "a") == ["one", " two", "\nthree"]


async def test_a_flood_of_words_is_not_read_again_for_each(tmp_path: Path) -> None:
    words = "word " * 10_000 + "end"
    program = load(tmp_path, SAY, backend=Scripted(lambda r: words))
    found = await heard(program.say, "a")
    assert "".join(found) == words
    assert 4_000 <= len(found) <= 4_010


@pytest.mark.parametrize(("text", "name"), [(VOTE, "chosen"), (TWICE, "twice")])
async def test_what_several_calls_make_comes_whole(tmp_path: Path, text: str, name: str) -> None:
    program = load(tmp_path, text, backend=Scripted(lambda r: ["one two"] * r.n))
    assert await heard(program[name], "a") == ["one two"]


async def test_a_server_streams_and_the_answer_is_kept(tmp_path: Path) -> None:
    with Loopback("one two three") as server:
        program = load(tmp_path, served(server) + TELL)
        assert await heard(program.tell, "a") == ["one", " two", " three"]
        assert server.payloads[0]["stream"] is True
        assert await heard(program.tell, "a") == ["one two three"]  # from the cache, at once
        assert await program.tell.acall("a") == "one two three"
        assert len(server.payloads) == 1
    assert program.executor.pool.usage.completion_tokens == 3 * 3


async def test_thoughts_are_not_heard(tmp_path: Path) -> None:
    thinking = Scripted(lambda r: "<think>one or two?\nno</think>\n\nthree four")
    program = load(tmp_path, SAY, backend=thinking)
    assert await heard(program.say, "a") == ["three", " four"]


async def test_the_first_word_is_there_before_the_last_is_written(tmp_path: Path) -> None:
    with Loopback("one two three four") as server:
        server.pause_s = 0.2
        program = load(tmp_path, served(server) + SAY)
        stream = program.say.stream("a")
        assert await anext(stream) == "one"
        assert server.in_flight == 1
        await stream.aclose()  # leaving early cancels the request
        for _ in range(50):
            await asyncio.sleep(0.02)
            if not server.in_flight:
                break
        assert server.in_flight == 0


async def test_an_answer_that_breaks_off_is_no_result_and_not_said_twice(tmp_path: Path) -> None:
    with Loopback("one two<cut>") as server:
        program = load(tmp_path, served(server) + SAY)
        stream = program.say.stream("a")
        assert [await anext(stream), await anext(stream)] == ["one", " two"]
        with pytest.raises(LmcError, match="broke off"):
            await anext(stream)
        assert len(server.payloads) == 1


def test_events_may_be_cut_anywhere() -> None:
    data = (
        'data: {"choices": [{"delta": {"content": "gr\u00fcn"}}]}\r\n\r\n: ping\n\n'
        'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\ndata: nonsense\n\n'
        'data: {"choices": [], "usage": {"completion_tokens": 1}}\n\ndata: [DONE]'
    ).encode()
    said: list[str] = []
    whole = EventStream(said.append)
    whole.feed(data)
    for size in (1, 2, 7):
        cut = EventStream(lambda _: None)
        for start in range(0, len(data), size):
            cut.feed(data[start : start + size])
        assert cut.body() == whole.body()
    assert said == ["gr\u00fcn"]


@pytest.mark.parametrize("type", ["str(1..9)", "str(20..)", 'str(r"[a-z]+")'])
async def test_a_text_that_its_bounds_may_refuse_comes_whole(tmp_path: Path, type: str) -> None:
    good = "a text of twenty characters" if "20" in type else "short"
    bad = "no" if "20" in type else "far too long"
    says = Scripted([bad, good])
    program = load(tmp_path, f'generate say(x: str) -> {type} {{ "Say it." }}', backend=says)
    assert await heard(program.say, "a") == [good]


async def test_a_text_that_may_not_be_empty_comes_word_by_word(tmp_path: Path) -> None:
    text = 'generate say(x: str) -> str(1..) { "Say it." }'
    program = load(tmp_path, text, backend=Scripted(lambda r: "one two"))
    assert await heard(program.say, "a") == ["one", " two"]


def test_a_loop_that_is_left_stops_the_request(tmp_path: Path) -> None:
    """At once, not when the garbage is collected."""
    with Loopback("word " * 1000) as server:
        server.pause_s = 0.02
        program = load(tmp_path, served(server) + SAY)
        gc.disable()
        try:
            for _ in program.say.stream("a"):
                assert server.in_flight == 1
                break
            end_s = time.monotonic() + 5
            while server.in_flight and time.monotonic() < end_s:
                time.sleep(0.02)
        finally:
            gc.enable()
        assert server.in_flight == 0


def test_any_loop_and_thread_may_take_the_next_item(tmp_path: Path) -> None:
    program = load(tmp_path, SAY, backend=Scripted(lambda r: "one two three four"))
    stream = program.say.stream("a")

    async def taken() -> Any:
        return await anext(stream)

    found = [asyncio.run(taken()), next(stream), asyncio.run(taken()), *stream]
    assert found == ["one", " two", " three", " four"] and stream.result == "one two three four"


def test_two_readers_of_one_stream_are_told(tmp_path: Path) -> None:
    with Loopback("one two", latency_s=0.3) as server:
        stream = load(tmp_path, served(server) + SAY).say.stream("a")

        async def both() -> list[Any]:
            readers = (anext(stream), anext(stream))
            return await asyncio.gather(*readers, return_exceptions=True)

        found = asyncio.run(both())
        stream.close()
    assert found[0] == "one"
    assert isinstance(found[1], LmcError) and found[1].code == "stream-in-use"


def test_a_stream_is_closed_by_with(tmp_path: Path) -> None:
    program = load(tmp_path, SAY, backend=Scripted(lambda r: "one two three"))
    with program.say.stream("a") as stream:
        assert next(stream) == "one"
    assert list(stream) == []

    async def begun() -> list[str]:
        async with program.say.stream("b") as stream:
            first = await anext(stream)
        return [first, *[piece async for piece in stream]]

    assert asyncio.run(begun()) == ["one"]


def test_closing_cancels_a_run_that_another_thread_waits_for(tmp_path: Path) -> None:
    with Loopback("one " * 200) as server:
        server.pause_s = 0.2
        stream = load(tmp_path, served(server) + SAY).say.stream("a")
        found: list[Any] = []
        reader = threading.Thread(target=lambda: found.extend([*stream, "the end"]), daemon=True)
        reader.start()
        wait_until(lambda: server.in_flight == 1)
        stream.close()
        reader.join(10)
        assert found[-1] == "the end" and len(found) < 100
        wait_until(lambda: server.in_flight == 0)


async def test_a_stream_whose_reader_gave_up_is_at_its_end(tmp_path: Path) -> None:
    with Loopback("one two three") as server:
        server.pause_s = 0.3
        stream = load(tmp_path, served(server) + SAY).say.stream("a")
        assert await anext(stream) == "one"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(stream)
        assert await anext(stream, "the end") == "the end"
        wait_until(lambda: server.in_flight == 0)


def wait_until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 10
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.01)
    assert holds()
