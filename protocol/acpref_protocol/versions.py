"""The dated versions of the protocol that are implemented, and how a request chooses one (VER-01 to VER-05).

Versions are members of an ordered tuple, never compared as strings.
"""

from __future__ import annotations

from acpref_protocol import errors

V2026_04_17 = "2026-04-17"

SUPPORTED: tuple[str, ...] = (V2026_04_17,)
"""Oldest first, as discovery lists them (DIS-07); errors list them newest first (VER-05)."""

LATEST: str = SUPPORTED[-1]


def negotiate(header: str | None) -> str:
    """The version that an API-Version header asks for; raises the version errors of VER-03 and VER-04."""
    if not header:
        raise errors.missing_version(SUPPORTED)
    if header not in SUPPORTED:
        raise errors.unsupported_version(SUPPORTED)
    return header
