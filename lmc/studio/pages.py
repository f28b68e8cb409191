"""The page and its parts. They ask no other host, and run no script but their own."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from starlette.responses import Response

from lmc.diagnostics import LmcError

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A report has its style in itself, and no script.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
_HEADERS = {
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def page_part(name: str) -> Response:
    """A file of the page. Raises: LmcError[unknown-path]."""
    data = _parts().get(name)
    if data is None:
        raise LmcError.of("unknown-path", "the page has no such part")
    kind = _TYPES[name[name.rindex(".") :]]
    headers = {**_HEADERS, "content-security-policy": POLICY}
    return Response(data, headers=headers, media_type=kind)


def report_page(text: str) -> Response:
    """A report as a page of its own, which can do nothing."""
    headers = {**_HEADERS, "content-security-policy": REPORT_POLICY}
    return Response(text, headers=headers, media_type=_TYPES[".html"])


@lru_cache
def _parts() -> dict[str, bytes]:
    folder = resources.files("lmc.studio") / "page"
    return {part.name: part.read_bytes() for part in folder.iterdir() if "." in part.name}
