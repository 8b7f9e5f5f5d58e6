"""The vault's keys: sealing card numbers at rest, and the keyed hashes that cannot be reversed to a card number.

One JSON document holds them: every sealing key by id (so that keys rotate: the current one seals, all of them open),
and one hashing key, which stays, since fingerprints are compared over time. It comes from the settings or from a file
of mode 0600 that is made beside the database on the first start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeyDocumentError(Exception):
    """The key document cannot be used; the message says why, never what it contains."""


class KeyRing:
    """Seals and opens card numbers, and hashes under a key. Its repr names key ids only."""

    __slots__ = ("_ciphers", "_current", "_fingerprint_key", "idempotency_key")

    def __init__(self, current: str, sealing: dict[str, bytes], hashing: bytes) -> None:
        if current not in sealing:
            raise KeyDocumentError("the current key is not among the sealing keys")
        if any(len(key) != _KEY_BYTES for key in (*sealing.values(), hashing)):
            raise KeyDocumentError(f"every key has {_KEY_BYTES} bytes")
        self._current = current
        self._ciphers = {name: AESGCM(key) for name, key in sealing.items()}
        # Separate keys for separate purposes, derived from one secret.
        self._fingerprint_key = hmac.digest(hashing, b"card fingerprint", "sha256")
        self.idempotency_key = hmac.digest(hashing, b"idempotency", "sha256")

    def __repr__(self) -> str:
        return f"KeyRing(current={self._current!r}, keys={sorted(self._ciphers)!r})"

    def seal(self, number: str, token: str) -> tuple[str, bytes]:
        """Encrypt ``number`` (AES-256-GCM), bound to ``token``. Returns the key's id and nonce plus ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self._current].encrypt(nonce, number.encode(), token.encode())
        return self._current, nonce + sealed

    def open(self, key_id: str, sealed: bytes, token: str) -> str:
        """The number that was sealed for ``token``. Raises KeyDocumentError when no key here opens it."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyDocumentError(f"the sealing key {key_id!r} is not known")
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], token.encode()).decode()
        except InvalidTag:
            raise KeyDocumentError("a sealed card number was changed or belongs to another token") from None

    def fingerprint(self, number: str) -> str:
        """The same for the same card, and of no use without the key."""
        digest = hmac.new(self._fingerprint_key, number.encode(), hashlib.sha256).digest()
        return "fp_" + base64.b32encode(digest[:15]).decode().lower()


def generate() -> str:
    """A new key document with one sealing key."""
    return _document("k1", {"k1": secrets.token_bytes(_KEY_BYTES)}, secrets.token_bytes(_KEY_BYTES))


def rotated(document: str) -> str:
    """``document`` with one more sealing key, made the current one; the older keys still open what they sealed."""
    _, sealing, hashing = _read(document)
    new = next(name for number in range(len(sealing) + 1, 10**9) if (name := f"k{number}") not in sealing)
    return _document(new, {**sealing, new: secrets.token_bytes(_KEY_BYTES)}, hashing)


def parse(document: str) -> KeyRing:
    """The keys of ``document``. Raises KeyDocumentError."""
    return KeyRing(*_read(document))


def from_file(path: Path) -> KeyRing:
    """The keys in ``path``, which is made with mode 0600 when absent. Refuses a file that others can read."""
    if not path.exists():
        draft = _draft(path, generate())
        # A complete file appears under its name or none does; where another process was first, its keys are the keys.
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        _sync_folder(path.parent)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise KeyDocumentError(f"{path} can be read by others; make it mode 0600")
    return parse(path.read_text())


def rotate_file(path: Path) -> None:
    """Replace the key file by its ``rotated`` document, at once and durably."""
    _draft(path, rotated(path.read_text())).replace(path)
    _sync_folder(path.parent)


def _draft(path: Path, document: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync_folder(folder: Path) -> None:
    # Without this, a power cut could keep the database and lose the only keys that open it.
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _document(current: str, sealing: dict[str, bytes], hashing: bytes) -> str:
    return json.dumps(
        {
            "current": current,
            "sealing": {name: base64.b64encode(key).decode() for name, key in sealing.items()},
            "hashing": base64.b64encode(hashing).decode(),
        },
        indent=1,
    )


def _read(document: str) -> tuple[str, dict[str, bytes], bytes]:
    try:
        content: Any = json.loads(document)
        sealing = {
            str(name): base64.b64decode(key, validate=True) for name, key in content["sealing"].items()
        }
        return str(content["current"]), sealing, base64.b64decode(content["hashing"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise KeyDocumentError(
            "the key document has current, sealing (keys in base64 by id) and hashing"
        ) from None
