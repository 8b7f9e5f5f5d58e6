"""The target file: where every party is, how to be let in, and what a test can rely on finding there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

TARGET_VERSION = 1


def write_target(path: Path, target: dict[str, Any]) -> None:
    """Write ``target`` so that a reader never sees half of it: it holds credentials, so only its owner may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(target, file, indent=2)
        file.write("\n")
    temporary.replace(path)
