"""Rows to train a model on. Selectors make them from traces and labels.

Where the tokens of a sampled answer are known, they are what is learnt, and not what its text would
be as tokens: a model may write a text in other tokens than a tokenizer does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from lmc.frozen import frozen
from lmc.models.base import Message, SampledTokens


@frozen
class TrainingRow:
    """A prompt as it is sent, and the answer to learn. The prompt is not learnt.

    `weight` scales the row's part in the loss.
    """

    messages: tuple[Message, ...]
    answer: str
    weight: float = 1.0
    sampled: SampledTokens | None = None


@frozen
class TaughtRow:
    """A prompt, an answer, and the prompt `asked` under which a teacher sees the same answer.

    What is learnt is what the teacher would choose for each token of the answer.
    """

    messages: tuple[Message, ...]
    answer: str
    asked: tuple[Message, ...]
    weight: float = 1.0


@frozen
class PairRow:
    """A prompt with an answer that is better than another one.

    Both are text as it was sampled. The better one of a `gold` pair is not: it is a label. `doubt`
    is how likely it is that the worse one is the better one.
    """

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float = 1.0
    gold: bool = False
    doubt: float = 0.0
    chosen_tokens: SampledTokens | None = None
    rejected_tokens: SampledTokens | None = None


@frozen
class ScoredRow:
    """A prompt with an answer as it was sampled for it, and what the answer is worth.

    `score` is a reward, a rate of wins, or 1 for right and 0 for wrong. `baseline` is what the
    answers to this prompt are worth on average. `pull` adds to the weight of the divergence from
    the reference, for this answer alone.
    """

    messages: tuple[Message, ...]
    answer: str
    score: float
    baseline: float = 0.0
    weight: float = 1.0
    pull: float = 0.0
    sampled: SampledTokens | None = None


Row = TrainingRow | TaughtRow | PairRow | ScoredRow


def digest(rows: Iterable[Row]) -> str:
    """A digest of the rows: equal rows in equal order have equal digests."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(asdict(row), sort_keys=True, ensure_ascii=False).encode())
    return sha.hexdigest()


def chat_line(row: Row) -> dict[str, Any]:
    """A row in the format of fine-tuning services and of TRL.

    An answer to learn is the last turn of a chat. A pair has `prompt`, `chosen` and `rejected`. A
    scored answer has `prompt`, `completion` and `label`: whether it is better than the average.
    Space around sampled answers is left out, because templates write their own.
    """
    prompt = list(row.messages)

    def said(text: str) -> dict[str, str]:
        return {"role": "assistant", "content": text}

    match row:
        case TrainingRow() | TaughtRow():
            return {"messages": [*prompt, said(row.answer)]}
        case PairRow():
            return {
                "prompt": prompt,
                "chosen": [said(row.chosen.strip())],
                "rejected": [said(row.rejected.strip())],
            }
        case ScoredRow():
            label = row.score > row.baseline
            return {"prompt": prompt, "completion": [said(row.answer.strip())], "label": label}
