"""What a sandbox keeps from one start to the next: the databases, the provider's keys and everybody's tokens.

With a SQLite ``--database FILE``, all of it lies beside FILE: a shop whose provider had forgotten its charges could not
be looked after, and an agent would have to be told its token at every start.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from acpref_merchant.store.engine import parse_url

TOKENS = ("agent", "other", "merchant", "webhook", "management")
"""The agent's token everywhere, another agent's, the merchant's at the provider, the webhook secret, management."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the parties keep what they know. ``database_url`` is the merchant's, and may hold a password."""

    provider_database: Path
    database_url: str = field(repr=False)
    tokens: dict[str, str] = field(repr=False)

    @property
    def shown_url(self) -> str:
        """``database_url`` as a target file may show it: without a password, and good in every folder."""
        url = parse_url(self.database_url)
        if url.get_backend_name() == "sqlite":
            return f"sqlite:///{Path(url.database or '').resolve()}"
        bare = url.difference_update_query(["password"])._replace(drivername="postgresql", password=None)
        return bare.render_as_string()


def open_state(database: str | None, home: Path) -> State:
    """The state beside ``database``, or in ``home`` when that is no SQLite file. Files are for their owner alone.

    Raises ValueError for a URL that is none, a folder that is not there and a token file that is none.
    """
    if database is None:
        return State(home / "psp.db", f"sqlite:///{home / 'merchant.db'}", _new_tokens())
    url = parse_url(database)
    if url.get_backend_name() != "sqlite":
        return State(home / "psp.db", database, _new_tokens())
    file = Path(url.database or "")
    if not file.parent.is_dir():
        raise ValueError(f"there is no folder {file.parent} for the database")
    tokens = _kept_tokens(file.with_name(f"{file.name}.tokens.json"))
    return State(file.with_name(f"{file.name}.psp.db"), database, tokens)


def _new_tokens() -> dict[str, str]:
    return {name: f"sandbox_{secrets.token_urlsafe(24)}" for name in TOKENS}


def _kept_tokens(path: Path) -> dict[str, str]:
    """The tokens in ``path``, which is made when absent."""
    if not path.exists():
        tokens = _new_tokens()
        write_private(path, tokens)
        return tokens
    try:
        content = json.loads(path.read_text())
        return {name: str(content[name]) for name in TOKENS}
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{path} does not hold the sandbox's tokens: remove it, and new ones are made"
        ) from None


def write_private(path: Path, document: object) -> None:
    """Write JSON that only its owner may read, so that a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    temporary.replace(path)
