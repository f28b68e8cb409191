"""A piece of media: its MIME type, the hash of its bytes, and how many there are.

The bytes are kept once, by their hash (`lmc.media.store`). Programs, prompts, traces and cache keys
hold the short form that `Media.to_json` gives, or the mark that stands in the text of a message.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lmc.frozen import frozen
from lmc.media.store import media_store
from lmc.regular import open_regular

KINDS = ("image", "audio", "pdf")
MOST_BYTES = {"image": 20 << 20, "audio": 25 << 20, "pdf": 32 << 20}  # as large services take them
_KEYS = {"media", "sha256", "bytes"}
_SHA256 = re.compile(r"[0-9a-f]{64}")

# What a file begins with, by MIME type. The name of a file says nothing.
_MAGIC: tuple[tuple[str, str], ...] = (
    ("image/png", r"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", r"\xff\xd8\xff"),
    ("image/gif", r"GIF8[79]a"),
    ("image/webp", r"RIFF....WEBP"),
    ("audio/wav", r"RIFF....WAVE"),
    ("audio/flac", r"fLaC"),
    ("audio/ogg", r"OggS"),
    ("audio/mpeg", r"ID3|\xff[\xe2-\xe7\xf2-\xff]"),
    ("application/pdf", r"%PDF-"),
)
_PATTERNS = tuple((mime, re.compile(magic.encode("latin-1"), re.DOTALL)) for mime, magic in _MAGIC)
_KIND_OF = {mime: "pdf" if mime == "application/pdf" else mime[:5] for mime, _ in _MAGIC}
FORMATS = {"audio/mpeg": "mp3", "audio/wav": "wav", "audio/flac": "flac", "audio/ogg": "ogg"}
# What a file of a kind may be, as `contentMediaType` of JSON Schema and `accept` of HTML say it.
ACCEPTED = {"image": "image/*", "audio": "audio/*", "pdf": "application/pdf", "media": "*/*"}
ARTICLES = {"image": "an image", "audio": "audio", "pdf": "a PDF", "media": "media"}


class MediaProblem(ValueError):
    """Why something cannot be used as media. The message follows the words `the value`."""


@frozen
class Media:
    """An image, a piece of audio, or a PDF. Equal contents are equal."""

    mime: str
    sha256: str
    size: int  # in bytes

    @property
    def kind(self) -> str:
        """`image`, `audio` or `pdf`."""
        return _KIND_OF[self.mime]

    @property
    def mark(self) -> str:
        """What stands for it in the text of a message."""
        return f"<|media:{self.mime}:{self.sha256}|>"

    @property
    def data(self) -> bytes:
        """The bytes. Raises: LmcError[media-missing]."""
        return media_store().get(self.sha256)

    def to_json(self) -> dict[str, Any]:
        """The form in values, traces and artifacts."""
        return {"media": self.mime, "sha256": self.sha256, "bytes": self.size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Media:
        """Read what `to_json` wrote. Raises: MediaProblem."""
        if not is_media_json(value):
            raise MediaProblem("is not media")
        return cls(value["media"], value["sha256"], value["bytes"])

    @classmethod
    def of_bytes(cls, data: bytes) -> Media:
        """Media with these contents, which are kept. Raises: MediaProblem."""
        found = described(bytes(data))
        media_store().put(found.sha256, bytes(data))
        return found

    @classmethod
    def of_file(cls, path: str | Path) -> Media:
        """The contents of a file, which are kept. Raises: MediaProblem."""
        return cls.of_bytes(read_file(Path(path), str(path)))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """How a record of a program holds it: as an object here, in its JSON form in dumps."""
        from pydantic_core import core_schema

        def read(value: Any) -> Media:
            return value if isinstance(value, Media) else Media.from_json(value)

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(Media.to_json),
        )


def described(data: bytes) -> Media:
    """What some bytes are, by how they begin. Raises: MediaProblem."""
    if not data:
        raise MediaProblem("is empty: it has 0 bytes")
    mime = next((mime for mime, magic in _PATTERNS if magic.match(data)), None)
    if mime is None:
        raise MediaProblem(f"is none of the formats that are known: {formats(KINDS)}")
    require_size(_KIND_OF[mime], len(data))
    return Media(mime, hashlib.sha256(data).hexdigest(), len(data))


def read_file(path: Path, name: str, kind: str = "media") -> bytes:
    """The bytes of a file of bounded size. Raises: MediaProblem."""
    try:
        with open_regular(path) as file:
            require_size(kind, file.seek(0, io.SEEK_END))
            file.seek(0)
            return file.read(max(MOST_BYTES.values()) + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise MediaProblem(f"names `{short(name)}`, which cannot be read: {reason}") from None


def short(text: str) -> str:
    """A text for a message, cut off where it is long."""
    return text if len(text) <= 60 else f"{text[:57]}…"


def require_size(kind: str, size: int) -> None:
    """Refuse what is too large for a kind, or for any. Raises: MediaProblem."""
    most = MOST_BYTES.get(kind) or max(MOST_BYTES.values())
    if size > most:
        raise MediaProblem(
            f"is too large: it has {size:,} bytes, and {ARTICLES[kind]} may have {most:,}"
        )


def require_kind(media: Media, kind: str) -> None:
    """Refuse media of another kind; `media` takes each. Raises: MediaProblem."""
    if kind not in ("media", media.kind):
        found = ARTICLES[media.kind]
        raise MediaProblem(f"must be {ARTICLES[kind]} ({formats([kind])}), but it is {found}")


def is_media_json(value: Any, kind: str = "media") -> bool:
    """Whether a value has the form of `Media.to_json`."""
    if not isinstance(value, dict) or value.keys() != _KEYS:
        return False
    mime, digest, size = value["media"], value["sha256"], value["bytes"]
    known = isinstance(mime, str) and mime in _KIND_OF
    if not known or not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
        return False
    found = _KIND_OF[mime]
    return type(size) is int and 0 < size <= MOST_BYTES[found] and kind in ("media", found)


def kind_of_mime(mime: str) -> str | None:
    """The kind that a MIME type belongs to; None for another one."""
    return _KIND_OF.get(mime) or (mime[:5] if mime.startswith(("image/", "audio/")) else None)


def formats(kinds: Any) -> str:
    """The formats of some kinds, in words."""
    names = [mime.partition("/")[2] for mime, kind in _KIND_OF.items() if kind in kinds]
    return ", ".join(FORMATS.get(f"audio/{name}", name).upper() for name in names)


@cache
def mark_pattern() -> re.Pattern[str]:
    """A pattern for the marks of media in the text of a message."""
    return re.compile(r"<\|media:[a-z]{1,20}/[a-z0-9.+-]{1,40}:[0-9a-f]{64}\|>")


def map_media(value: Any, change: Callable[[dict[str, Any]], Any]) -> Any:
    """A JSON value in which all media, at any depth, are changed."""
    if is_media_json(value):
        return change(value)
    if isinstance(value, dict):
        return {key: map_media(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [map_media(part, change) for part in value]
    return value
