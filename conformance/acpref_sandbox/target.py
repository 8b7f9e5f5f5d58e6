"""The target file: where every party is, how to be let in, and what a test can rely on finding there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acpref_sandbox.state import write_private

TARGET_VERSION = 1


def write_target(path: Path, target: dict[str, Any]) -> None:
    """Write ``target``, whole or not at all; it holds credentials, so only its owner may read it."""
    write_private(path, target)


def remove_target(path: Path, target: dict[str, Any]) -> None:
    """Remove the file of a sandbox that stops, unless it tells of another by now."""
    try:
        ours = json.loads(path.read_text()) == target
    except (OSError, ValueError):
        return
    if ours:
        path.unlink(missing_ok=True)
