"""Training text: instances as tokens, in batches of near-equal length."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from lmc.tiny.families import draw_training_instance
from lmc.tiny.task import Instance
from lmc.tiny.tokenizer import END

BLOCK = 1024  # instances drawn, sorted by length and cut into batches at a time
LONGEST = 1024  # tokens; longer instances are left out

Row = tuple[list[int], list[bool]]  # tokens, and which of them the model learns to write


class Encoder:
    """Instances to tokens, in the words of the chat template."""

    def __init__(self, tokenizer: Any) -> None:
        self._core = tokenizer.backend_tokenizer
        self._end: int = tokenizer.convert_tokens_to_ids(END)
        self._marks: dict[str, int] = {
            r: tokenizer.convert_tokens_to_ids(f"<|{r}|>") for r in ("system", "user", "assistant")
        }

    def encode(self, instance: Instance) -> Row:
        """Encode all turns; the model learns what the assistant says and where it ends."""
        turns = [*instance.messages(), {"role": "assistant", "content": instance.answer()}]
        texts = self._core.encode_batch(
            [" " + t["content"] for t in turns], add_special_tokens=False
        )
        tokens: list[int] = []
        learnt: list[bool] = []
        for turn, text in zip(turns, texts):
            answers = turn["role"] == "assistant"
            ids = [*text.ids, self._end] if answers else text.ids
            tokens += [self._marks[turn["role"]], *ids]
            learnt += [False, *[answers] * len(ids)]
        return tokens, learnt


def batches(
    encoder: Encoder, seed: int, block: int, tokens: int, easy_share: float = 0.0
) -> Iterator[list[Row]]:
    """Cut one block into batches of at most so many tokens when padded, in random order."""
    rng = Random(f"corpus/{seed}/{block}")
    drawn = (encoder.encode(draw_training_instance(rng, easy_share)) for _ in range(BLOCK))
    rows = sorted((r for r in drawn if len(r[0]) <= LONGEST), key=lambda r: len(r[0]))
    cut: list[list[Row]] = [[]]
    for row in rows:
        if len(row[0]) * (len(cut[-1]) + 1) > tokens:
            cut.append([])
        cut[-1].append(row)
    rng.shuffle(cut)
    yield from cut
