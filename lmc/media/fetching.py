"""Fetch media from an address: one host, no redirects, and so many bytes at most."""

from __future__ import annotations

import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from lmc.media.content import MediaProblem

TIMEOUT_S = 30.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: the user allowed one host, not those that it names."""

    def redirect_request(self, *args: Any) -> None:
        return None


def fetched(url: str, hosts: tuple[str, ...], most: int) -> bytes:
    """The contents at an address, if the user allowed its host, cut off after `most` bytes.

    Raises: MediaProblem.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as problem:
        raise MediaProblem(f"is no address: {problem}") from None
    place = f"{host}:{port}" if port else host
    if not {host, place, f"{parts.scheme}://{place}"} & {allowed.lower() for allowed in hosts}:
        raise MediaProblem(
            f"is an address at `{host[:60]}`, which is not allowed; where you trust it: "
            f"`--allow-url {host[:60]}`, or `urls=[…]` in Python"
        )
    opener = urllib.request.build_opener(_NoRedirects)
    request = urllib.request.Request(url, headers={"User-Agent": "lmc"})  # noqa: S310 - http(s) only
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(most + 1)
    except (OSError, ValueError, HTTPException) as problem:
        raise MediaProblem(f"is an address that cannot be fetched: {problem}") from None
    return data
