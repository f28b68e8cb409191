"""At temperature 0 what repeats is asked once, also where nothing is cached."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import lmc
from lmc.models.base import Answer, ModelFailure, Request
from lmc.models.scripted import Scripted
from lmc.runtime.memory import Memory

VOTE = '''
record Scored { answer: int, score: float }
generate answer(x: str) -> int { """Answer.""" temperature: 0.7 }
critique verify(x: str, it: int) -> Verdict { """Verify.""" subject: it SETTINGS }
pipeline scored(x: str) -> Scored {
  let it = answer(x)
  return Scored(answer=it, score=verify(x, it).score)
}
vote best(x: str) -> Scored { sample: scored(x) n: 5 by: "score" }
pipeline main(x: str) -> int { return best(x).answer }
'''
REFINE = '''
generate draft(x: str) -> int { """Draft.""" }
critique judge(x: str, it: int) -> Verdict { """Judge.""" subject: it temperature: 0.0 }
refine main(x: str) -> int { """Revise.""" draft: draft(x) check: judge(x, draft) rounds: 3 }
'''


class Counting(Scripted):
    """Answers by instruction and sample; counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(lambda request: "", name="counting")
        self.asked: Counter[str] = Counter()

    async def generate(self, request: Request) -> Sequence[Answer]:
        system, last = (request.messages[i]["content"] for i in (0, -1))
        samples = range(request.index, request.index + request.n)
        (name,) = [w for w in ("Answer", "Verify", "Draft", "Judge", "Revise") if f"{w}." in system]
        self.asked[name] += request.n
        match name:
            case "Answer":
                texts = [str(4 + i % 2) for i in samples]
            case "Verify" | "Judge":
                score = 0.9 if "5" in last else 0.2
                texts = [f"[[ok]] false\n[[score]] {score}\n[[feedback]] no" for _ in samples]
            case _:
                texts = ["7" for _ in samples]
        return [Answer(text, 1, 1) for text in texts]


def run(text: str, folder: Path) -> tuple[int, Counter[str], int]:
    """The result, what was asked by module, and the calls in the trace."""
    (folder / "it.lmp").write_text(text)
    backend = Counting()
    program = lmc.load(folder / "it.lmp", backend=backend, cache=False)
    result, trace = program.main.run_traced({"x": "it"})
    assert trace.usage.prompt_tokens == backend.asked.total()  # shared answers cost nothing
    return result, backend.asked, len(trace.calls)


@pytest.mark.parametrize(
    ("settings", "verified"),
    [("temperature: 0.0", 2), ("temperature: 0.3", 5), ("temperature: 0.0 cache: false", 5)],
)
def test_a_verifier_is_asked_once_for_each_answer(
    settings: str, verified: int, tmp_path: Path
) -> None:
    result, asked, traced = run(VOTE.replace("SETTINGS", settings), tmp_path)
    assert result == 5
    assert asked == {"Answer": 5, "Verify": verified}
    assert traced == 10


def test_a_judge_is_asked_once_for_a_draft_that_stays(tmp_path: Path) -> None:
    result, asked, _ = run(REFINE, tmp_path)
    assert result == 7
    assert asked == {"Draft": 1, "Judge": 1, "Revise": 3}


def test_the_temperature_may_be_that_of_the_model(tmp_path: Path) -> None:
    text = REFINE.replace("subject: it temperature: 0.0", "subject: it model: sure")
    _, asked, _ = run(f'model sure {{ name: "lmc/tiny" temperature: 0.0 }}\n{text}', tmp_path)
    assert asked["Judge"] == 1
    assert lmc.load(tmp_path / "it.lmp").judge.prompt("a", 1)  # what is shown opens no model


async def test_who_waits_asks_where_the_first_gave_up() -> None:
    memory, asked, request = Memory(), [], Request("m", ({"role": "user", "content": "x"},))

    async def fetch() -> Answer:
        asked.append(1)
        await asyncio.sleep(0.01)
        return Answer("yes", 5, 1)

    first, second, third = (
        asyncio.create_task(memory.ask(None, None, request, fetch)) for _ in range(3)
    )
    await asyncio.sleep(0)
    first.cancel()
    answers = [await second, await third]
    assert len(asked) == 2 and [a.text for a in answers] == ["yes", "yes"]
    assert sorted(a.prompt_tokens for a in answers) == [0, 5]


async def test_a_failure_is_not_remembered() -> None:
    memory, request = Memory(), Request("m", ({"role": "user", "content": "x"},))

    async def fails() -> Answer:
        raise ModelFailure("server", "down", retryable=True)

    async def works() -> Answer:
        return Answer("yes")

    with pytest.raises(ModelFailure):
        await memory.ask(None, None, request, fails)
    assert (await memory.ask(None, None, request, works)).text == "yes"


def test_each_run_asks_anew(tmp_path: Path) -> None:
    (tmp_path / "it.lmp").write_text(REFINE)
    backend = Counting()
    program = lmc.load(tmp_path / "it.lmp", backend=backend, cache=False)
    assert program.main.batch([{"x": "it"}, {"x": "it"}]) == [7, 7]
    first = backend.asked["Judge"]  # runs at one time share what is under way
    program.main(x="it")
    assert backend.asked["Judge"] == first + 1
