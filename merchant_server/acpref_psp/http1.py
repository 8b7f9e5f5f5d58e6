"""HTTP/1.1 as uvicorn and httptools speak it, with bounds on heads and refusals in the protocol's form (ERR-01).

The merchant's server has the same: merchant and provider share no code that knows a framework.
"""

from __future__ import annotations

import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from acpref_protocol.errors import ProtocolError, invalid_request

HEAD_LIMIT = 64 * 1024
"""Bytes of a head, of a chunk's head or of a trailer, give or take what one read brings."""
MAX_HEADERS = 100


class Http1(HttpToolsProtocol):
    """One connection.

    The parser joins a header in quadratic time and without a bound: one of 100 MB held up everybody for ten seconds.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._without_progress = 0
        self._refusal: ProtocolError | None = None

    def data_received(self, data: bytes) -> None:
        """Read on, as long as heads end and bodies grow."""
        self._without_progress += len(data)
        before = self._without_progress
        super().data_received(data)
        if self._without_progress == before > HEAD_LIMIT and not self.transport.is_closing():
            self._refusal = _too_large()
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Take a head, or refuse it before anybody hears of the request."""
        self._without_progress = 0
        if len(self.headers) > MAX_HEADERS:
            self._refusal = _too_large()
        elif self.parser.get_http_version() == "1.1" and not any(name == b"host" for name, _ in self.headers):
            # RFC 9112, 3.2
            self._refusal = invalid_request("Requests carry a Host header.", param="Host")
        if self._refusal is not None:
            raise ValueError  # which the parser turns into its own kind of error
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on."""
        self._without_progress = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Answer what is no request that could be answered, and close."""
        error = self._refusal or invalid_request("This is not a well-formed HTTP/1.1 request.")
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            body = json.dumps(error.body(), separators=(",", ":")).encode()
            fields = (
                *self.server_state.default_headers,
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
            )
            head = b"".join(b"%s: %s\r\n" % field for field in fields)
            self.transport.write(STATUS_LINE[error.status] + head + b"\r\n" + body)
        self.transport.close()


def _too_large() -> ProtocolError:
    return invalid_request("The request's headers are too large.", code="headers_too_large", status=431)
