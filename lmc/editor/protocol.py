"""The protocol of editors, with an answer to each request."""

from __future__ import annotations

from typing import Any

from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol


class Protocol(LanguageServerProtocol):
    """Refuses requests whose parameters cannot be read. pygls 2 would leave them unanswered."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The message in some JSON. Raises: JsonRpcException."""
        try:
            return super().structure_message(data)
        except JsonRpcException as wrong:
            if "id" in data and "method" in data:
                self._send_response(data["id"], error=wrong.to_response_error())
            raise
