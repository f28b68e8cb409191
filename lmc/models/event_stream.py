"""Answers that come in pieces, as the OpenAI protocol streams them (server-sent events)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Listener = Callable[[str], None]


class EventStream:
    """Collects the events of one answer, and passes its text on piece by piece."""

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._rest = b""
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._logprobs: list[Any] = []
        self._finish: str | None = None
        self._usage: Any = None

    @property
    def heard(self) -> bool:
        """Whether any text was passed on."""
        return bool(self._texts)

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive, wherever they are cut."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text.startswith("data:") and text != "data: [DONE]":
                self._take(text.removeprefix("data:").strip())

    def body(self) -> bytes:
        """The whole answer, as a server sends it in one piece."""
        self.feed(b"\n")
        message = {"content": "".join(self._texts), "refusal": "".join(self._refusals) or None}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": self._finish,
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
        }
        return json.dumps({"choices": [choice], "usage": self._usage}).encode()

    def _take(self, text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            return  # a comment or a keep-alive of some servers
        if not isinstance(event, dict):
            return
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            self._finish = choice.get("finish_reason") or self._finish
            self._logprobs += (choice.get("logprobs") or {}).get("content") or []
            if refusal := delta.get("refusal"):
                self._refusals.append(refusal)
            if piece := delta.get("content"):
                self._texts.append(piece)
                self._listen(piece)
