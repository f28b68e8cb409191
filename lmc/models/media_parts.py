"""Media in requests: the content parts of OpenAI's protocol, which litellm and vLLM take too."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmc.media.content import ARTICLES, FORMATS, Media, mark_pattern
from lmc.models.base import Message, ModelFailure, Request

# Estimates of tokens, rather too high: of an image, and by the bytes of the other kinds.
_IMAGE_TOKENS = 2_000
_BYTES_PER_TOKEN = {"audio": 500, "pdf": 50}


def with_parts(messages: Sequence[Message], media: Sequence[Media]) -> Sequence[Mapping[str, Any]]:
    """Messages whose contents are lists of parts where media stand in them.

    Raises: LmcError[media-missing] if the bytes are gone.
    """
    if not media:
        return messages
    known = {item.mark: item for item in media}
    return [{**m, "content": _content(m["content"], known)} for m in messages]


def _content(text: str, known: Mapping[str, Media]) -> str | list[dict[str, Any]]:
    parts = list(_parts(text, known))
    if all(isinstance(part, str) for part in parts):
        return text
    return [{"type": "text", "text": p} if isinstance(p, str) else _part(p) for p in parts]


def _parts(text: str, known: Mapping[str, Media]) -> Iterator[str | Media]:
    """The texts and media of a content, in their order; white space alone is no text."""
    start = 0
    for found in mark_pattern().finditer(text):
        media = known.get(found[0])
        if media is not None:
            if (before := text[start : found.start()]).strip():
                yield before
            yield media
            start = found.end()
    if (rest := text[start:]).strip() or not start:
        yield rest


def _part(media: Media) -> dict[str, Any]:
    data = base64.b64encode(media.data).decode()
    match media.kind:
        case "image":
            return {"type": "image_url", "image_url": {"url": f"data:{media.mime};base64,{data}"}}
        case "audio":
            audio = {"data": data, "format": FORMATS[media.mime]}
            return {"type": "input_audio", "input_audio": audio}
    file = {"filename": "document.pdf", "file_data": f"data:{media.mime};base64,{data}"}
    return {"type": "file", "file": file}


def media_tokens(media: Sequence[Media]) -> int:
    """An estimate of the tokens of some media."""
    return sum(
        _IMAGE_TOKENS if item.kind == "image" else -(-item.size // _BYTES_PER_TOKEN[item.kind])
        for item in media
    )


def lacking(request: Request, kinds: Sequence[str], name: str) -> ModelFailure | None:
    """The failure of a request with media that a model does not take; None if it takes all."""
    missing = [item.kind for item in request.media if item.kind not in kinds]
    return cannot_take(name, missing[0], kinds) if missing else None


def cannot_take(name: str, kind: str, kinds: Sequence[str]) -> ModelFailure:
    """The failure of a model that takes no media of a kind."""
    takes = f"; it takes {' and '.join(ARTICLES[k] for k in kinds)}" if kinds else ""
    message = f"model `{name}` cannot take {ARTICLES[kind]}{takes}"
    hint = "name a model that can, in `model:` or `fallback:`"
    return ModelFailure("media", message, retryable=False, hint=hint, sent=False)
