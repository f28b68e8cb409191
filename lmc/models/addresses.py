"""Addresses of servers, from programs and the environment."""

from __future__ import annotations

from lmc.diagnostics import LmcError


def require_base_url(url: str) -> None:
    """Refuse a text that is not a URL or holds a secret. Raises: LmcError[bad-base-url]."""
    from yarl import URL

    try:
        parsed = URL(url)
        whole = parsed.scheme in ("http", "https") and bool(parsed.host)
    except ValueError:
        parsed, whole = URL(), False
    if not whole:
        text, help = "the base URL of a server has no host", "write it as in `http://host:8000/v1`"
    elif parsed.user is not None or parsed.password is not None:
        text = f"the base URL of {parsed.host} has a user or a password in it"
        help = "name the variable of the environment that holds the key: `api_key_env`"
    elif parsed.query_string or parsed.fragment:
        text = f"the base URL of {parsed.host} has a query or fragment, which would not be sent"
        help = "end it with the path; put a key into the variable that `api_key_env` names"
    else:
        return
    raise LmcError.of("bad-base-url", text, help=help)


def without_secrets(url: str | None) -> str | None:
    """The address without secrets, safe to show and to store."""
    from yarl import URL

    return str(URL(url).with_user(None).with_query(None)) if url else None
