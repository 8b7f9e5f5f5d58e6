"""Every protocol error, built by one constructor each (ERR-01 to ERR-07).

A ``ProtocolError`` is an answer: the HTTP status, the flat body and the headers that go with it. Messages
are made of our own words, positions and member names; the value that was refused is never repeated, since
it may be a card number or an address (HTTP-14).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class ProtocolError(Exception):
    """A flat error (ERR-01): ``type``, ``code``, ``message`` and perhaps ``param``, with an HTTP ``status``.

    ``headers`` are sent with the answer. ``supported_versions`` (newest first, VER-05) belongs to version
    errors only.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the wire name
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        supported_versions: Sequence[str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.param = param
        self.headers: dict[str, str] = dict(headers or {})
        self.supported_versions = None if supported_versions is None else list(supported_versions)

    def body(self) -> dict[str, Any]:
        """The JSON object to send; absent members are left out."""
        body: dict[str, Any] = {"type": self.type, "code": self.code, "message": self.message}
        if self.param is not None:
            body["param"] = self.param
        if self.supported_versions is not None:
            body["supported_versions"] = self.supported_versions
        return body


def invalid_request(
    message: str, *, code: str = "invalid", param: str | None = None, status: int = 400
) -> ProtocolError:
    """The request cannot be acted upon; ``param`` is a JSONPath into its body, or the bare name of a header
    (ERR-04)."""
    return ProtocolError(status, "invalid_request", code, message, param=param)


def missing(param: str) -> ProtocolError:
    """A required member is absent (ERR-06)."""
    return invalid_request(f"{param} is required.", code="missing", param=param)


def not_found(what: str) -> ProtocolError:
    """There is no ``what`` (a noun such as "checkout session") with this id (CHK-GET-02)."""
    return invalid_request(f"There is no {what} with this id.", code="not_found", status=404)


def unauthorized() -> ProtocolError:
    """The bearer token is absent or unknown (AUTH-02)."""
    error = invalid_request("A valid bearer token is required.", code="unauthorized", status=401)
    error.headers["WWW-Authenticate"] = "Bearer"
    return error


def forbidden() -> ProtocolError:
    """The identity is valid but does not own what it asked for (AUTH-02)."""
    return invalid_request("This identity may not do that.", code="forbidden", status=403)


def idempotency_key_required() -> ProtocolError:
    """A POST came without Idempotency-Key (IDEM-05)."""
    return invalid_request(
        "POST requests carry an Idempotency-Key header.",
        code="idempotency_key_required",
        param="Idempotency-Key",
    )


def idempotency_conflict() -> ProtocolError:
    """The key was used with another body (IDEM-15); never worth a retry."""
    return invalid_request(
        "This Idempotency-Key was used with a different body.",
        code="idempotency_conflict",
        param="Idempotency-Key",
        status=422,
    )


def idempotency_in_flight(retry_after_seconds: int) -> ProtocolError:
    """The first request with this key is still running (IDEM-17, IDEM-18)."""
    error = invalid_request(
        "A request with this Idempotency-Key is still being processed.",
        code="idempotency_in_flight",
        param="Idempotency-Key",
        status=409,
    )
    error.headers["Retry-After"] = str(retry_after_seconds)
    return error


def unsupported_version(supported: Sequence[str]) -> ProtocolError:
    """API-Version names a version that is not served (VER-02 to VER-05). ``supported`` is oldest first."""
    return _version_error("unsupported_api_version", "This API-Version is not supported.", supported)


def missing_version(supported: Sequence[str]) -> ProtocolError:
    """API-Version is absent (VER-03, VER-04). ``supported`` is oldest first."""
    return _version_error("missing_api_version", "Requests carry an API-Version header.", supported)


def _version_error(code: str, message: str, supported: Sequence[str]) -> ProtocolError:
    return ProtocolError(
        400,
        "invalid_request",
        code,
        message,
        param="API-Version",
        supported_versions=list(reversed(supported)),
    )


def invalid_signature(message: str) -> ProtocolError:
    """A signature or its timestamp was refused (SIGN-03, WH-09)."""
    return invalid_request(message, code="invalid_signature", status=401)


def payload_too_large(limit: int) -> ProtocolError:
    """The body is longer than ``limit`` bytes."""
    return invalid_request(f"The body is longer than {limit} bytes.", code="payload_too_large", status=413)


def rate_limited(
    retry_after: int,
    *,
    type: str = "invalid_request",  # noqa: A002 - the wire name
    code: str = "rate_limited",
) -> ProtocolError:
    """Too many requests; come back after ``retry_after`` seconds.

    Checkout has no type of its own for this (ERR-02); delegate payment passes ``rate_limit_exceeded`` and
    ``too_many_requests`` (DP-ERR-03).
    """
    return ProtocolError(
        429, type, code, "Too many requests; try again later.", headers={"Retry-After": str(retry_after)}
    )


def not_cancelable() -> ProtocolError:
    """The session can no longer be canceled (CHK-CAN-02)."""
    return _not_allowed("session_not_cancelable", "This session can no longer be canceled.")


def session_closed() -> ProtocolError:
    """The session is completed, canceled or expired and cannot be changed (CHK-UPD-06, CHK-CMP-07)."""
    return _not_allowed("session_closed", "This session is closed and can no longer be changed.")


def _not_allowed(code: str, message: str) -> ProtocolError:
    error = invalid_request(message, code=code, status=405)
    error.headers["Allow"] = "GET"
    return error


def processing_error() -> ProtocolError:
    """Something unexpected failed on this side (ERR-07); says nothing about what."""
    return ProtocolError(
        500, "processing_error", "internal_server_error", "The request could not be processed."
    )


def service_unavailable(retry_after: int) -> ProtocolError:
    """Temporarily unable to answer; worth a retry after ``retry_after`` seconds (ERR-07)."""
    return ProtocolError(
        503,
        "service_unavailable",
        "service_unavailable",
        "Temporarily unavailable; try again later.",
        headers={"Retry-After": str(retry_after)},
    )


# --- what a model refused, in the protocol's words --------------------------------------------------------

_NAME_LIMIT = 64
_MESSAGE_LIMIT = 300
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Location parts that pydantic adds for its own purposes: validator names such as "function-after[...]",
# "[key]" for a map's key, and the class or primitive type that marks the branch of a union.
_MARKER = re.compile(r"(.*[\[(].*|[A-Z]\w*|str|int|float|bool|none|dict|list)\Z", re.DOTALL)
_UNKNOWN = object()


def from_validation(error: ValidationError, document: Any = _UNKNOWN) -> ProtocolError:
    """The first complaint of ``error`` as a flat 400 with a JSONPath ``param`` (ERR-04, ERR-06).

    Give the validated ``document`` where at hand: only then can the names of union branches that pydantic
    puts into its locations be told from members for certain. No value of the document is repeated.
    """
    return from_complaint(error.errors(include_url=False)[0], document)


def from_complaint(complaint: ErrorDetails, document: Any = _UNKNOWN) -> ProtocolError:
    """One of the complaints of a ValidationError, as ``from_validation`` words the first."""
    parts = member_path(complaint, document)
    kind = complaint["type"]
    if kind in {"union_tag_not_found", "union_tag_invalid"}:
        # The complaint is about the member that selects the branch; pydantic puts its name in quotes.
        parts.append(complaint["ctx"]["discriminator"].strip("'"))
    if kind in {"missing", "union_tag_not_found"}:
        return missing(json_path(parts))
    if kind == "extra_forbidden":
        return invalid_request(f"Unknown member '{_printable(str(parts[-1]))}'.", param=json_path(parts))
    return invalid_request(_wording(complaint), param=json_path(parts))


def json_path(parts: Sequence[str | int]) -> str:
    """The RFC 9535 path of ``parts``: ``$.line_items[0].id``, other names as ``['a b']``.

    A name that is unreasonably long ends the path at its parent.
    """
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _IDENTIFIER.match(part) and len(part) <= _NAME_LIMIT:
            path += f".{part}"
        elif len(part) > _NAME_LIMIT:
            break
        else:
            path += "['" + "".join(_escaped(character) for character in part) + "']"
    return path


def _escaped(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def member_path(details: ErrorDetails, document: Any = _UNKNOWN) -> list[str | int]:
    """The member names and indices that lead to a complaint, without what pydantic adds to its locations."""
    location = details["loc"]
    if not location:  # the whole document was refused
        return []
    *way, last = location
    parts: list[str | int] = []
    here = document
    for part in way:
        if document is _UNKNOWN:
            if isinstance(part, int) or not _MARKER.match(part):
                parts.append(part)
        elif _has(here, part):
            here = here[part]
            parts.append(part)
    is_member = not _MARKER.match(str(last)) if document is _UNKNOWN else _has(here, last)
    if is_member or details["type"] in {"missing", "extra_forbidden"}:
        parts.append(last)
    return parts


def _has(container: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(container, list) and part < len(container)
    return isinstance(container, Mapping) and part in container


def _wording(details: ErrorDetails) -> str:
    """Why the value was refused, without the value."""
    kind = details["type"]
    context = details.get("ctx", {})
    if kind == "union_tag_invalid":  # pydantic's own text repeats the tag that was sent
        return f"The value is not one of {context['expected_tags']}."
    message = details["msg"]
    if kind in {"value_error", "assertion_error"}:
        reason = context.get("error")
        # Our own validators raise plain ValueError with words of ours; those of libraries quote input.
        if type(reason) not in {ValueError, AssertionError}:
            return "The value is not valid."
        message = str(reason)
    elif kind.endswith("_parsing") or kind == "json_invalid":
        message = "The value is not of the right form."
    value = details.get("input")
    if isinstance(value, str) and len(value) >= 4 and value in message:
        return "The value is not valid."
    return _printable(message, _MESSAGE_LIMIT)


def _printable(text: str, limit: int = _NAME_LIMIT) -> str:
    """``text`` without control characters, cut to ``limit`` characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
