"""Small worlds: a program, its rows, and a model whose accuracy is a function of the prompt."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from lmc.models.base import Request
from lmc.models.scripted import Scripted

COLOURS = {"red": "KIP", "blue": "ZOT", "green": "MAV", "grey": "LUD"}

ONE = """
generate classify(text: str) -> str { "The label of the colour." }
pipeline main(text: str) -> str { return classify(text) }
""".replace('"The label of the colour."', '"""The label of the colour."""')

MANY = '''
generate draft(text: str) -> str { """The label of the colour.""" }
critique judge(text: str, label: str) -> Verdict { """Is the label right?""" subject: label }
refine fixed(text: str) -> str {
  """Write the right label."""
  draft: draft(text)
  check: judge(text, draft)
  until: check.ok
  rounds: 1
}
vote main(text: str) -> str { sample: fixed(text), n: 3 }
'''


def colour_rows(count: int) -> list[dict[str, str]]:
    """Rows whose label hangs on one word, every text another."""
    names = list(COLOURS)
    return [
        {"text": f"thing {i} is {names[i % 4]}", "label": COLOURS[names[i % 4]]}
        for i in range(count)
    ]


def colour_of(text: str) -> str:
    return next(name for name in COLOURS if re.search(rf"is {name}\b", text))


def learner(request: Request, luck: float = 0.25) -> list[str]:
    """Right where an earlier turn shows a thing of the same colour with its label, else by luck."""
    *_, last = request.messages
    colour = colour_of(last["content"])
    known = any(colour_of(q) == colour and COLOURS[colour] in a for q, a in shown(request))
    right = [known or lucky(last["content"], i, luck) for i in samples(request)]
    return [COLOURS[colour] if ok else "WRONG" for ok in right]


def team(request: Request) -> list[str]:
    """Drafts are right by luck whatever is shown; judging and revising is learnt from examples."""
    question = request.messages[-1]["content"]
    colour, learnt = colour_of(question), bool(shown(request))
    if "[[ok]]" in request.messages[0]["content"]:
        right = [learnt or lucky(question, i, 0.6) for i in samples(request)]
        return [_verdict((COLOURS[colour] in question) == ok) for ok in right]
    learnt = learnt and "[[feedback]]" in question
    right = [learnt or lucky(question, i, 0.5) for i in samples(request)]
    return [COLOURS[colour] if ok else "WRONG" for ok in right]


def shown(request: Request) -> list[tuple[str, str]]:
    """Question and answer of each demonstration."""
    turns = [m["content"] for m in request.messages[1:-1]]
    return list(zip(turns[::2], turns[1::2]))


def samples(request: Request) -> range:
    return range(request.index, request.index + request.n)


def lucky(question: str, sample: int, share: float) -> bool:
    """True for a fixed share of all questions and samples."""
    digest = hashlib.sha256(f"{question}/{sample}".encode()).hexdigest()
    return int(digest[:8], 16) < share * 0xFFFFFFFF


def _verdict(ok: bool) -> str:
    feedback = "fine" if ok else "no"
    return f"[[ok]] {str(ok).lower()}\n[[score]] {float(ok)}\n[[feedback]] {feedback}"


def scripted(answer: Any = learner, name: str = "learner") -> Scripted:
    """A model that may be cached, as real ones are."""
    return Scripted(answer, name=name)
