"""Record answers once and replay them by request. A request without a recording is an error."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lmc.diagnostics import LmcError
from lmc.files import cannot_write
from lmc.frozen import frozen
from lmc.media.content import KINDS
from lmc.models.base import (
    NO_DETAILS,
    Answer,
    Backend,
    Capabilities,
    ModelFailure,
    Price,
    Request,
    SampledTokens,
    TokenDetails,
    ToolCall,
)
from lmc.models.tool_calls import has_tool_turns, without_tool_turns
from lmc.regular import read_text


def request_hash(request: Request) -> str:
    """Identify one sample of a request. The number of samples and the timeout do not count.

    Nor does the grammar, which follows from type and layout: whoever replays needs none.
    """
    fields = asdict(replace(_told(request), n=1, timeout_s=None, on_text=None, on_resend=None))
    del fields["grammar"]
    fields["sampling"] = _decoding(request)
    if not request.tools:
        del fields["tools"]
    if not fields["media"]:  # which earlier recordings do not know
        del fields["media"]
    return _hash(fields)


def prompt_hash(request: Request) -> str:
    """Identify a prompt with its sampling, for any model and any of its abilities."""
    return _hash([_told(request).messages, _decoding(request), request.index])


def _decoding(request: Request) -> dict[str, Any]:
    """The sampling, without what is not set and earlier recordings do not know."""
    fields = asdict(request.sampling)
    del fields["cache_prompt"]
    for name in ("reasoning", "strict", "extra", "headers"):
        if fields[name] in (None, "", ()):
            del fields[name]
    return fields


def _told(request: Request) -> Request:
    """The request with earlier calls of tools as text: one model gets turns, another gets text."""
    if request.tools or not has_tool_turns(request.messages):
        return request
    return replace(request, messages=tuple(without_tool_turns(request.messages)))


def _hash(fields: Any) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# Whatever was recorded.
# Fields that are written only where they say something.
_RARE = ("tool_calls", "reasoning", "sampled")
_ALL = Capabilities(True, True, True, True, True, True, continues=True, media=KINDS)


@frozen
class _Entry:
    prompt: str
    answer: Answer
    anyone: str = ""  # its `prompt_hash`


class Recorded:
    """Replays a file of JSON lines. With `inner`, missing answers are asked there and added.

    A line is {"request": hash, "anyone": hash, "prompt": text, "answer": {…}}. The first hash
    includes the request's `model` (or that of the recording, if one is given), so a file may hold
    the answers of several models. If the file itself is the model, the first answer to the same
    prompt counts.
    """

    def __init__(self, path: Path, inner: Backend | None = None, model: str = "") -> None:
        self.path, self._inner, self._model = path, inner, model
        self.endpoint = f"recorded:{path}"
        # What is replayed costs nothing now; the answers say what they cost once.
        self.price: Price | None = inner.price if inner else Price(0.0, 0.0)
        given = inner.capabilities if inner else _ALL
        self.capabilities = replace(given, cacheable=False)

    def open(self) -> Recorded:
        """Read the file now instead of at the first request.

        A recording with calls of tools was made in that form, so it is asked for in that form.
        Raises: LmcError[unknown-model, recording-invalid].
        """
        if any(entry.answer.tool_calls for entry in self._entries.values()):
            self.capabilities = replace(self.capabilities, tools=True, local=False)
        return self

    @cached_property
    def _entries(self) -> dict[str, _Entry]:
        return _read(self.path, must_exist=self._inner is None)

    @cached_property
    def _by_prompt(self) -> dict[str, Answer]:
        """The first answer to each prompt, to replay the answers of another model."""
        entries = [e for e in self._entries.values() if e.anyone]
        return {entry.anyone: entry.answer for entry in reversed(entries)}

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Replay by sample index, or ask and record. Raises: ModelFailure[replay_miss]."""
        return [await self._sample(one) for one in _single(request)]

    async def close(self) -> None:
        """Close the backend that is being recorded."""
        if self._inner is not None:
            await self._inner.close()

    async def _sample(self, request: Request) -> Answer:
        key = request_hash(replace(request, model=self._model or request.model))
        if key not in self._entries:
            if self._inner is None:
                known = self._by_prompt.get(prompt_hash(request)) if self._model else None
                if known is None:
                    raise self._miss(request)
                return known
            (answer,) = await self._inner.generate(request)
            self._append(key, _Entry(_prompt(request), answer, prompt_hash(request)))
        return self._entries[key].answer

    def _append(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        answer = {
            k: v
            for k, v in asdict(entry.answer).items()
            if k not in ("cached", "latency_ms") and not (k in _RARE and not v)
        }
        if entry.answer.details is NO_DETAILS:
            del answer["details"]
        line = {"request": key, "anyone": entry.anyone, "prompt": entry.prompt, "answer": answer}
        try:
            _append_whole(self.path, _json_line(line))
        except OSError as problem:
            raise cannot_write(self.path, problem) from None

    def _miss(self, request: Request) -> ModelFailure:
        prompt = _prompt(request)
        known = [entry.prompt for entry in self._entries.values()]
        near = difflib.get_close_matches(prompt, known[:1000], n=1, cutoff=0.0)
        return ModelFailure(
            "replay_miss",
            f"{self.path} has no answer for sample {request.index} of the prompt {_short(prompt)}",
            retryable=False,
            hint=_difference(prompt, near[0]) if near else "the recording is empty",
        )


def _json_line(value: Any) -> bytes:
    """A line of JSON. Half a surrogate pair becomes its escape, as UTF-8 has no bytes for it."""
    return (json.dumps(value, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _append_whole(path: Path, line: bytes) -> None:
    """Append a line, or nothing of it where the disk is full. Raises: OSError."""
    with path.open("ab") as file:
        size = file.tell()
        try:
            file.write(line)
            file.flush()
        except OSError:
            with suppress(OSError):  # what is left in the buffer cannot be written either
                file.close()
            os.truncate(path, size)
            raise


def _single(request: Request) -> list[Request]:
    return [replace(request, n=1, index=request.index + i) for i in range(request.n)]


def _prompt(request: Request) -> str:
    return "\n".join(f"[{m['role']}] {m['content']}" for m in request.messages)


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else text[:50] + " … " + text[-60:])


def _difference(prompt: str, near: str) -> str:
    """The first difference between this prompt and the nearest recorded one."""
    if prompt == near:
        return "the prompt is recorded, but with other sampling, model, schema or sample index"
    pairs = enumerate(zip(prompt, near))
    place = next((i for i, (a, b) in pairs if a != b), min(len(prompt), len(near)))
    start = max(0, place - 20)
    asked, recorded = prompt[start : place + 40], near[start : place + 40]
    return f"the nearest recorded prompt has {recorded!r} where this one has {asked!r}"


def _read(path: Path, *, must_exist: bool) -> dict[str, _Entry]:
    if not path.exists():
        if must_exist:
            raise LmcError.of("unknown-model", f"the recording {path} does not exist")
        return {}
    try:
        lines = read_text(path).split("\n")  # `splitlines` would also cut at U+2028 inside a text
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise LmcError.of("unknown-model", f"cannot read the recording {path}: {reason}") from None
    except UnicodeDecodeError as problem:
        message = f"{path} is not a recording: {problem}"
        raise LmcError.of("recording-invalid", message) from None
    return dict(_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip())


def _sampled(
    tokenizer: str, ids: Sequence[int], logprobs: Sequence[float], begin: str
) -> SampledTokens:
    return SampledTokens.from_json([tokenizer, ids, logprobs, begin], None)


def _entry(path: Path, number: int, line: str) -> tuple[str, _Entry]:
    try:
        data: dict[str, Any] = json.loads(line)
        answer = data["answer"]
        if answer.get("logprobs") is not None:
            answer["logprobs"] = tuple(answer["logprobs"])
        if answer.get("sampled"):
            answer["sampled"] = _sampled(**answer["sampled"])
        if answer.get("tool_calls"):
            answer["tool_calls"] = tuple(ToolCall(**call) for call in answer["tool_calls"])
        if answer.get("details"):
            answer["details"] = TokenDetails(**answer["details"])
        texts = [data["request"], data["prompt"], data.get("anyone", "")]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("`request`, `prompt` and `anyone` are texts")
        return texts[0], _Entry(texts[1], Answer(**answer), texts[2])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        place = f"{path}:{number}"
        message = f"{place} is not a recorded answer: {e}"
        raise LmcError.of("recording-invalid", message) from None
