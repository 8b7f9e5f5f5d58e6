"""Writes the JSON Schemas of the catalog files, or checks that they are current.

python -m acpref_merchant.catalog.schema_build catalogs/schema [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from acpref_merchant.catalog.schema import rendered


def main(arguments: list[str]) -> int:
    """Write the documents into the folder given, or with ``--check`` only compare. Returns the exit status."""
    folders = [argument for argument in arguments if argument != "--check"]
    if len(folders) != 1:
        print("usage: python -m acpref_merchant.catalog.schema FOLDER [--check]", file=sys.stderr)
        return 2
    folder = Path(folders[0])
    stale = [name for name, text in rendered() if not _is(folder / name, text)]
    if "--check" in arguments:
        for name in stale:
            print(f"{folder / name} is not current: run this command without --check", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rendered():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"{folder / name}{' (changed)' if name in stale else ''}")
    return 0


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
