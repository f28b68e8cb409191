"""The probability that a model gives to one word is a reward, as in LaSeR (arXiv 2510.14943)."""

from __future__ import annotations

from pathlib import Path

import lmc
from lmc.models.base import Answer, Request
from lmc.models.scripted import Scripted

PROGRAM = '''
record Row { text: str, label: str }
record Judged { said: str, sure: float }
generate solve(text: str) -> str { """Warm?""" }
generate believe(text: str, said: str) -> "yes" { """Is the answer right?""" temperature: 0 }
pipeline judged(text: str) -> Judged {
  let said = solve(text)
  let word = believe(text, said)
  return Judged(said=said, sure=logprob(word) ?? -99.0)
}
metric believed(gold: Row, pred: Judged) -> float { return pred.sure }
'''


class Believer(Scripted):
    """Answers "W", and finds "yes" likelier for what is red."""

    def __init__(self) -> None:
        super().__init__(lambda request: "")

    async def generate(self, request: Request) -> list[Answer]:
        asked = "\n".join(message["content"] for message in request.messages)
        if "Is the answer right?" not in asked:
            return [Answer("W")] * request.n
        return [Answer("yes", logprobs=(-0.25,) if "red" in asked else (-2.0, -1.0))] * request.n


def test_the_probability_of_one_word_is_a_reward(tmp_path: Path) -> None:
    path = tmp_path / "it.lmp"
    path.write_text(PROGRAM)
    program = lmc.load(path, backend=Believer(), cache=False)
    rows = [{"text": "red", "label": "W"}, {"text": "ice", "label": "C"}]
    found = lmc.evaluate(program, target="judged", metric="believed", data=rows)
    assert [result.value for result in found.results] == [-0.25, -3.0]
