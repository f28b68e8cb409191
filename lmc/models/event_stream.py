"""Streamed answers of the OpenAI protocol (server-sent events)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmc.models import quick_json
from lmc.models.border import content_text, error_in, reasoning_in, sound_text, split_pair
from lmc.models.tool_calls import MOST_CALLS

Listener = Callable[[str], None]


class EventStream:
    """Collects the events of one answer, and passes its text on piece by piece.

    `over`: the stream needs no more data. `failure` is the contents of an error event. `problem`
    describes any other fault.
    """

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._rest = bytearray()
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._half = ""  # of a surrogate pair, until the other half comes
        self._refusals: list[str] = []
        self._logprobs: list[Any] = []
        self._calls: dict[Any, dict[str, Any]] = {}  # of tools, by index
        self._finish: Any = None
        self._usage: Any = None
        self._done = False
        self.heard = False  # whether any text was passed on
        self.failure: Any = None
        self.problem = ""

    @property
    def over(self) -> bool:
        """Whether the end or a fault was received."""
        return self._done or self.failure is not None or bool(self.problem)

    def feed(self, data: bytes) -> None:
        """Read bytes as they arrive. They may be cut anywhere."""
        self._rest += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            self._line(line)
            if self.over:
                return

    def broke(self, why: str) -> None:
        """Record that the connection ended. This is a fault unless the answer had ended."""
        if self._finish is None and not self.over:
            self.problem = f"broke off in the middle of its answer: {why}"

    def missing(self) -> str:
        """The missing part of an incomplete stream; an empty text if it is complete."""
        if self._rest and not self.over:
            self.feed(b"\n")
        if not self.problem and not self._done and self._finish is None:
            return "ended its answer without an end"
        return self.problem

    def body(self) -> bytes:
        """The complete answer, in the form that a server sends without streaming."""
        message = {
            "content": "".join([*self._texts, self._half]),
            "refusal": "".join(self._refusals) or None,
            "tool_calls": list(self._calls.values()),
            "reasoning_content": "".join(self._thoughts) or None,
        }
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": self._finish,
            "logprobs": {"content": self._logprobs} if self._logprobs else None,
        }
        return quick_json.encode({"choices": [choice], "usage": self._usage})

    def _line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if not text.startswith("data:"):
            return  # a comment, or another field of the event
        text = text.removeprefix("data:").strip()
        if text == "[DONE]":
            self._done = True
        elif text:
            try:
                self._take(quick_json.decode(text))
            except (ValueError, TypeError, AttributeError, RecursionError) as wrong:
                if self._finish is None:  # else the text is complete already
                    self.problem = f"sent an invalid event ({str(wrong)[:80]})"

    def _take(self, event: dict[str, Any]) -> None:
        self.failure = error_in(event)
        if self.failure is not None:
            return
        self._usage = event.get("usage") or self._usage
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue  # another sample, which was not requested
            delta = choice.get("delta") or {}
            self._logprobs += (choice.get("logprobs") or {}).get("content") or []
            for piece in delta.get("tool_calls") or ():
                self._call(piece)
            if thought := reasoning_in(delta):
                self._thoughts.append(thought)
            if refusal := delta.get("refusal"):
                self._refusals.append(content_text(refusal))
            if piece := content_text(delta.get("content")):
                self._say(piece)
            # Last: an event that cannot be read leaves the answer without its end.
            self._finish = choice.get("finish_reason") or self._finish

    def _call(self, piece: dict[str, Any]) -> None:
        """Add a piece of a call. Gemini gives no index; then each piece with a name is a call."""
        function = piece.get("function") or {}
        index = piece.get("index")
        if index is None:
            index = len(self._calls) - (not function.get("name"))
        call = self._calls.setdefault(index, {"id": "", "function": {"name": "", "arguments": ""}})
        if len(self._calls) > MOST_CALLS:
            raise ValueError(f"more than {MOST_CALLS} calls of tools")
        call |= {k: v for k, v in piece.items() if k not in ("index", "function") and v}
        told = call["function"]
        told["name"] = told["name"] or function.get("name") or ""
        more = function.get("arguments")
        told["arguments"] = told["arguments"] + more if isinstance(more, str) else more or ""

    def _say(self, piece: str) -> None:
        piece, self._half = split_pair(self._half + piece)
        piece = sound_text(piece)
        if piece:
            self._texts.append(piece)
            self.heard = True
            self._listen(piece)
