"""Training text: instances as tokens, in batches of near-equal length."""

from __future__ import annotations

from typing import Any

from examples.tiny.task import Instance
from examples.tiny.tokenizer import END, SPECIAL

BLOCK = 1024  # instances drawn, sorted by length and cut into batches at a time
LONGEST = 1024  # tokens; longer instances are left out

PackedRow = tuple[list[int], list[float]]  # tokens, and what each of them counts in the loss
ANSWER, PROMPT = 1.0, 0.4  # the prompt's phrases and repeated names teach a model to look back


class Encoder:
    """Instances to tokens, in the words of the chat template."""

    def __init__(self, tokenizer: Any) -> None:
        self._core = tokenizer.backend_tokenizer
        self._marks: dict[str, int] = {
            r: tokenizer.convert_tokens_to_ids(f"<|{r}|>") for r in ("system", "user", "assistant")
        }
        self.user, self.assistant = self._marks["user"], self._marks["assistant"]
        self.end: int = tokenizer.convert_tokens_to_ids(END)
        self.first_plain, self.vocabulary = len(SPECIAL), len(tokenizer)

    def encode(self, instance: Instance) -> PackedRow:
        """Encode all turns; what the assistant says, and where it ends, counts in full."""
        turns = [*instance.messages(), {"role": "assistant", "content": instance.answer()}]
        texts = self._core.encode_batch(
            [" " + t["content"] for t in turns], add_special_tokens=False
        )
        tokens: list[int] = []
        weights: list[float] = []
        for turn, text in zip(turns, texts):
            answers = turn["role"] == "assistant"
            ids = [*text.ids, self.end] if answers else text.ids
            tokens += [self._marks[turn["role"]], *ids]
            weights += [0.0, *[ANSWER if answers else PROMPT] * len(ids)]
        return tokens, weights
