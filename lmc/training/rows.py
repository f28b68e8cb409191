"""Rows to train a model on. Selectors make them from traces and labels."""

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
    """A prompt as it is sent, and the answer to learn. The prompt is not learnt.

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
    """A digest of the rows: equal rows in equal order have equal digests."""
    sha = hashlib.sha256()
    for row in rows:
        sha.update(json.dumps(asdict(row), sort_keys=True, ensure_ascii=False).encode())
    return sha.hexdigest()


def chat_line(row: TrainingRow) -> dict[str, Any]:
    """A row in the format of fine-tuning services: one chat, with the answer as its last turn."""
    return {"messages": [*row.messages, {"role": "assistant", "content": row.answer}]}
