"""Simulated models: how often an answer is right is a known function of what stands in the prompt.

A landscape is made from a seed. Some words in an instruction help, some hurt, a few help only
together; demonstrations help up to a point; rows differ in difficulty. Which prompt is best is thus
known, and so is what any prompt is worth. Answers to one row under two prompts share their luck, as
those of a real model do. The same model also plays the one that writes instructions: it mixes words
as the hint of the moment has it, so that a search has something to find.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Any

WORDS = (
    "verify", "stepwise", "units", "concise", "expert", "rephrase", "table", "examples", "doubt",
    "summary", "format", "careful",
)  # fmt: skip
MANY_DEMOS = 16  # more bring nothing
LABELS = ("amber", "basil", "coral", "denim")
PROGRAM = '''
record Row { text: str, label: str }
generate main(text: str) -> str { """Give the label of the text.""" }
optimize main { metric: accuracy }
'''


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Rows whose label is a fixed function of their text."""
    names = [f"item {seed}-{i}" for i in range(count)]
    return [{"text": name, "label": label_of(name)} for name in names]


def label_of(text: str) -> str:
    """The right answer."""
    return LABELS[int(_share("label", text) * len(LABELS))]


@dataclass(frozen=True)
class Landscape:
    """What helps how much, in logits."""

    seed: int

    def _random(self, name: str) -> random.Random:
        return random.Random(f"landscape {self.seed} {name}")

    @cached_property
    def weights(self) -> dict[str, float]:
        """What a word adds."""
        rng = self._random("weights")
        scale = (1.5, 1.0, 0.7, 0.4, 0.2, 0.1, 0.0, 0.0, -0.2, -0.4, -0.7, -1.0)
        return dict(zip(rng.sample(WORDS, len(WORDS)), scale))

    @cached_property
    def pair(self) -> frozenset[str]:
        """Two words that help only together."""
        return frozenset(self._random("pair").sample(WORDS, 2))

    @cached_property
    def _base(self) -> float:
        return self._random("base").uniform(-1.5, -0.5)

    @cached_property
    def _shown(self) -> float:
        return self._random("demos").uniform(0.2, 1.2)

    def worth(self, words: Iterable[str], demos: int = 0) -> float:
        """The logit of a prompt."""
        base = self._base
        together = 0.8 if self.pair <= set(words) else 0.0
        shown = self._shown * (1 - math.exp(-demos / 2))
        return base + sum(self.weights[word] for word in sorted(set(words))) + together + shown

    def chance(self, worth: float, text: str) -> float:
        """How likely the answer to a row is right."""
        difficulty = 2.4 * (_share(f"difficulty {self.seed}", text) - 0.5)
        return 1 / (1 + math.exp(difficulty - worth))

    def accuracy(self, words: Iterable[str], demos: int, texts: Sequence[str]) -> float:
        """The expected accuracy of a prompt on some rows."""
        worth = self.worth(words, demos)
        return sum(self.chance(worth, text) for text in texts) / len(texts)

    def best(self, demos: int = 4) -> tuple[set[str], float]:
        """The best words of all, and their logit."""
        good = {word for word, weight in self.weights.items() if weight > 0}
        options = [good, *(good | set(more) for n in (1, 2) for more in combinations(self.pair, n))]
        top = max(options, key=lambda words: self.worth(words, demos))
        return top, self.worth(top, demos)

    def ceiling(self, texts: Sequence[str]) -> float:
        """The share of rows that the best prompt answers as it should."""
        _, worth = self.best(MANY_DEMOS)
        lucky = [_share(f"luck {self.seed} 0", text) < self.chance(worth, text) for text in texts]
        return sum(lucky) / len(lucky)

    def answer(self, system: str, turns: Sequence[tuple[str, str]], text: str, sample: int) -> str:
        """What the model says to a row under a prompt."""
        right_shown = sum(label_of(question) == said for question, said in turns)
        worth = self.worth(words_of(system), right_shown)
        luck = _share(f"luck {self.seed} {sample}", text)
        right = label_of(text)
        if luck < self.chance(worth, text):
            return right
        wrong = [label for label in LABELS if label != right]
        return wrong[int(_share(f"wrong {self.seed}", text) * len(wrong))]

    def instruction(self, current: str, prompt: str, sample: int) -> str:
        """A new instruction: the words of the current one, some more, some fewer."""
        rng = random.Random(f"{self.seed} {sample} {hashlib.sha256(prompt.encode()).hexdigest()}")
        words = words_of(current)
        added = set(rng.sample(WORDS, rng.randint(1, 3)))
        dropped = {word for word in sorted(words) if rng.random() < 0.25}
        kept = sorted((words | added) - dropped)
        return f"Give the label of the text. Mind: {', '.join(kept)}."


@lru_cache(4096)
def words_of(text: str) -> frozenset[str]:
    """The words of a text that matter."""
    return frozenset(re.findall(rf"\b(?:{'|'.join(WORDS)})\b", text))


def reply(landscape: Landscape) -> Any:
    """A function for `Scripted`: answers rows, and writes instructions where it is asked to."""

    def answer(request: Any) -> list[str]:
        system, *turns, last = request.messages
        samples = range(request.index, request.index + request.n)
        if "instruction alone" in system["content"]:
            current = re.search(r"\[\[current\]\](.*?)(?=\[\[|\Z)", last["content"], re.S)
            told = current[1] if current else ""
            return [landscape.instruction(told, last["content"], i) for i in samples]
        if "Describe in two or three sentences" in system["content"]:
            return ["Short texts, each with one of four labels." for _ in samples]
        if not re.search(r"item [\d-]+", last["content"]):
            return ["That is beyond me." for _ in samples]
        contents = [turn["content"] for turn in turns]
        shown = [(item_of(q), a.strip().split()[-1]) for q, a in zip(contents[::2], contents[1::2])]
        text = item_of(last["content"])
        return [landscape.answer(system["content"], shown, text, i) for i in samples]

    return answer


def item_of(text: str) -> str:
    """The row in a message."""
    return re.findall(r"item [\d-]+", text)[-1]


@lru_cache(100_000)
def _share(name: str, text: str) -> float:
    digest = hashlib.sha256(f"{name}/{text}".encode()).hexdigest()
    return int(digest[:12], 16) / 16**12
