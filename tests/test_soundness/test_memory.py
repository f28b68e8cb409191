"""A long document in bounded memory: what a map-reduce over 200 pages needs beside its text."""

import tracemalloc
from collections import deque

from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.requests.pool import ANY_MODEL, ModelPool
from lmc.runtime.executor import Executor
from tests.programs import lowered

PAGES, PAGE_CHARS = 200, 3000
TIMES_THE_TEXT = 12  # prompts of all pages in flight at once, their escaped forms, the calls
TEXT = '''
generate note(page: str, number: int) -> str { """Note what matters.""" }
generate join_notes(notes: list[str]) -> str { """Join the notes.""" }
pipeline main(pages: list[str](..200)) -> str {
  let notes = [note(page, i) for i, page in enumerate(pages)]
  let parts = [join_notes(notes[i * 20:(i + 1) * 20]) for i in range(10)]
  return join_notes(parts)
}
'''


async def test_a_map_reduce_over_two_hundred_pages() -> None:
    program = lowered(TEXT)
    calls: list[int] = []

    def answer(request: Request) -> str:
        calls.append(len(request.messages[-1]["content"]))
        return "a note of this page"

    backend = Scripted(answer)
    backend.requests = deque(maxlen=0)
    pool = ModelPool(program.models, program.default, backends={ANY_MODEL: backend})
    executor = Executor(program, pool)
    pages = [f"{i} {'word ' * (PAGE_CHARS // 5)}" for i in range(PAGES)]
    text = sum(map(len, pages))
    await executor.run("main", {"pages": pages[:20]})  # what is prepared once is not counted
    calls.clear()
    tracemalloc.start()
    try:
        assert await executor.run("main", {"pages": pages}) == "a note of this page"
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{text:,} characters, {len(calls)} calls: peak {peak:,} bytes, {left:,} kept")
    assert len(calls) == PAGES + 10 + 1
    assert peak < TIMES_THE_TEXT * text
    assert left < text
