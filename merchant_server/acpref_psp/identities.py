"""Who is asking: bearer tokens to identities (AUTH-03)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import SecretStr

from acpref_protocol import headers
from acpref_protocol.errors import unauthorized


class Identities:
    """The identities of one kind. Tokens are looked up by their hash, so that timing tells nothing about them."""

    def __init__(self, tokens: Mapping[str, SecretStr]) -> None:
        self._by_hash = {_hash(token.get_secret_value()): identity for identity, token in tokens.items()}

    def authenticate(self, authorization: str | None) -> str:
        """The identity of an Authorization header. Raises 401."""
        identity = self._by_hash.get(_hash(headers.bearer_token(authorization)))
        if identity is None:
            raise unauthorized()
        return identity


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
