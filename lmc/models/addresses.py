"""Addresses of servers, as programs and the environment give them."""

from __future__ import annotations

from lmc.diagnostics import LmcError


def require_base_url(url: str) -> None:
    """Refuse an address that is none, or that holds a secret. Raises: LmcError[bad-base-url]."""
    from yarl import URL

    try:
        parsed = URL(url)
        whole = parsed.scheme in ("http", "https") and bool(parsed.host)
    except ValueError:
        parsed, whole = URL(), False
    if not whole:
        text, help = "the base URL of a server names no host", "such as `http://host:8000/v1`"
    elif parsed.user is not None or parsed.password is not None:
        text = f"the base URL of {parsed.host} has a user or a password in it"
        help = "name the variable of the environment that holds the key: `api_key_env`"
    elif parsed.query_string or parsed.fragment:
        text = f"the base URL of {parsed.host} has more after its path, which would not be sent"
        help = "end it with the path; keys belong into the variable that `api_key_env` names"
    else:
        return
    raise LmcError.of("bad-base-url", text, help=help)


def without_secrets(url: str | None) -> str | None:
    """The address as it may be shown and kept."""
    from yarl import URL

    return str(URL(url).with_user(None).with_query(None)) if url else None
