"""What a model is trained on, made by selectors from traces and labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from lmc.frozen import frozen
from lmc.models.base import Message


@frozen
class TrainingRow:
    """A prompt as it is sent, and the answer the model is to write; only the answer is learnt.

    `weight` scales the row's part in the loss.
    """

    messages: tuple[Message, ...]
    answer: str
    weight: float = 1.0


@frozen
class PreferencePair:
    """A prompt with an answer that is better than another one."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    weight: float = 1.0


def digest(rows: Iterable[TrainingRow | PreferencePair]) -> str:
    """Name the rows by their contents: equal rows in equal order have equal digests."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(asdict(row), sort_keys=True, ensure_ascii=False).encode())
    return sha.hexdigest()


def chat_line(row: TrainingRow) -> dict[str, Any]:
    """Write a row as fine-tuning services take it: one chat, its last turn the answer."""
    return {"messages": [*row.messages, {"role": "assistant", "content": row.answer}]}
