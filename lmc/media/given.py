"""Media as people and rows give it: a file, bytes, an image of PIL, a `data:` URL, an address.

Whoever gives a text does not decide what it may name. `Access` does: a row names files of its own
folder only, an address is fetched only from a host that the user allowed, and a text in Python is
no path at all, for it may come from anywhere. `Path("cat.png")` is one.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from lmc.consent import OWN, Consent, is_absolute
from lmc.frozen import frozen
from lmc.media.content import (
    MOST_BYTES,
    Media,
    MediaProblem,
    described,
    is_media_json,
    kind_of_mime,
    read_file,
    require_kind,
    require_size,
    short,
)
from lmc.regular import expanded, real_path

_MOST = max(MOST_BYTES.values())
_DATA_URL = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*)(;base64)?,", re.IGNORECASE
)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


@frozen
class Access:
    """What a text may name.

    With `folder`, which is that of `owner`, it is a path in that folder, or in one that `consent`
    allows. `anywhere` lets it be a path anywhere, for the words of the user himself. Without
    `kept`, no media are named by the hash of what others gave.
    """

    folder: Path | None = None
    anywhere: bool = False
    consent: Consent = OWN
    owner: str = "the data"
    kept: bool = True


VALUES_ONLY = Access()  # a text is a `data:` URL, or an address that the user allowed


def taken(given: Any, kind: str, access: Access = VALUES_ONLY) -> Media:
    """The media that something gives, checked and kept.

    Raises: MediaProblem if it is of another kind, too large, or may not be read.
    """
    media = _media(given, kind, access)
    require_kind(media, kind)
    return media


def _media(given: Any, kind: str, access: Access) -> Media:
    match given:
        case Media():
            return given
        case dict() if is_media_json(given) and not access.kept:
            raise MediaProblem("names media by their hash: give a `data:` URL")
        case dict() if is_media_json(given):
            return Media.from_json(given)
        case bytes() | bytearray() | memoryview():
            require_size(kind, len(given))
            return Media.of_bytes(bytes(given))
        case Path():
            return Media.of_bytes(read_file(given, str(given), kind))
        case str():
            return Media.of_bytes(_named(given, kind, access))
    if callable(getattr(given, "save", None)) and hasattr(given, "mode"):
        return Media.of_bytes(_png(given))
    found = f"a Python {type(given).__name__}"
    raise MediaProblem(
        f"must be a path, bytes, an image of PIL or a `data:` URL, but it is {found}"
    )


def _named(text: str, kind: str, access: Access) -> bytes:
    if text[:5].lower() == "data:":
        return _of_data_url(text, kind)
    if _ADDRESS.match(text) and access.folder is not None and not access.anywhere:
        raise MediaProblem(f"is an address, `{short(text)}`: {access.owner} may name files only")
    if _ADDRESS.match(text):
        from lmc.media.fetching import fetched  # what it imports is slow

        data = fetched(text, access.consent.urls, _MOST)
        require_size(kind, len(data))
        return data
    if "\0" in text or not text:
        raise MediaProblem("names no file")
    path = expanded(text)
    if access.anywhere:
        return read_file((access.folder or Path()) / path, text, kind)
    if access.folder is None:
        raise MediaProblem(
            f"is the text `{short(text)}`: a text must be a `data:` URL; "
            "give a file as `pathlib.Path(…)`, or its bytes"
        )
    path = access.folder / path
    if not access.consent.may_read(path, None if is_absolute(text) else access.folder):
        raise MediaProblem(
            f"names `{short(text)}`, which is not in the folder of {access.owner}; move it there, "
            "or allow the folder with `--allow-path DIR`, or `paths=[DIR]` in Python"
        )
    return read_file(real_path(path) or path, text, kind)


def _of_data_url(text: str, kind: str) -> bytes:
    found = _DATA_URL.match(text)
    if found is None:
        raise MediaProblem("is a `data:` URL that cannot be read")
    if len(text) > 3 * _MOST:  # escapes take three characters for each byte
        raise MediaProblem(f"is too large: a `data:` URL of {len(text):,} characters")
    claimed, body = (found[1] or "").lower(), text[found.end() :]
    try:
        plain = "".join(body.split())
        data = base64.b64decode(plain, validate=True) if found[3] else unquote_to_bytes(body)
    except (binascii.Error, ValueError):
        raise MediaProblem("is a `data:` URL whose base64 is damaged") from None
    if claimed and kind_of_mime(claimed) is not None:
        if described(data).kind != kind_of_mime(claimed):
            raise MediaProblem(f"is a `data:` URL that claims `{claimed}`, but it is not")
    elif claimed not in ("", "application/octet-stream"):
        raise MediaProblem(f"is a `data:` URL of `{claimed}`, which is no media")
    require_size(kind, len(data))
    return data


def _png(picture: Any) -> bytes:
    """The bytes of an image of PIL, without loss. Raises: MediaProblem."""
    buffer = io.BytesIO()
    try:
        picture.save(buffer, format="PNG")
    except Exception as problem:  # the library raises anything for a broken picture
        raise MediaProblem(f"is an image that cannot be written as PNG: {problem}") from None
    return buffer.getvalue()
