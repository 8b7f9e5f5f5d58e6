"""The body of a checkout error: flat, typed, with the place at fault (ERR-01, ERR-02, ERR-04)."""

from __future__ import annotations

from typing import Literal

from acpref_protocol.base import Date, Model, Opt


class ErrorBody(Model):
    """Published under the name ``Error``."""

    type: Literal["invalid_request", "processing_error", "service_unavailable"]
    """Kind of error (ERR-02)."""
    code: str
    """The error itself."""
    message: str
    """Explanation for a person."""
    param: Opt[str] = None
    """JSONPath of the member that is at fault (ERR-04)."""
    supported_versions: Opt[list[Date]] = None
    """Versions that are spoken here, if the version was at fault."""
