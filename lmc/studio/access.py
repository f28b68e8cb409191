"""Who may ask a studio: pages that it sent itself, which know its token.

The token comes to the page behind `#` in the address that the command prints, which browsers send
to no server. Each request carries it in a header. A page of another site knows no token, may not
send that header, and reads no answer. So neither it nor another person of the machine can run
programs or spend money.
"""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request

from lmc.diagnostics import LmcError

TICKETS = 100


class PageAccess:
    """The token of a studio, and tickets that open one page once."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self._tickets: dict[str, str] = {}

    def require(self, request: Request) -> None:
        """Refuse a request without the token, or from another site.

        Raises: LmcError[no-key, wrong-origin].
        """
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            raise LmcError.of("wrong-origin", "pages of this site may not ask this studio")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), self.token.encode())
        if scheme.lower() != "bearer" or not right:
            message = "the token is missing or not that of this studio"
            help = "open the address that `lmc studio` printed when it started"
            raise LmcError.of("no-key", message, help=help)

    def ticket(self, thing: str) -> str:
        """A ticket for a thing, for a window that can send no header."""
        made = secrets.token_urlsafe(24)
        self._tickets[made] = thing
        for old in list(self._tickets)[:-TICKETS]:
            del self._tickets[old]
        return made

    def redeem(self, ticket: str) -> str:
        """What a ticket is for; it opens no second time. Raises: LmcError[no-key]."""
        thing = self._tickets.pop(ticket, None)
        if thing is None:
            message = "this address was used already"
            raise LmcError.of("no-key", message, help="open the report from the studio again")
        return thing
