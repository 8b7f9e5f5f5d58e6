"""Where the sample catalogs lie: inside the installed package, or in the folder ``catalogs`` of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def samples_folder() -> Path:
    """The folder that holds one folder per sample catalog. Raises FileNotFoundError when there is none."""
    # A checkout is asked first, so that an edited catalog is the one that is sold from.
    for folder in (_PACKAGE.parents[1] / "catalogs", _PACKAGE / "_catalogs"):
        if any(folder.glob("*/products.jsonl")):
            return folder
    raise FileNotFoundError("this installation carries no sample catalogs")


def sample(name: str) -> Path:
    """The folder of the sample catalog ``name``, such as ``corner_shop``. Raises FileNotFoundError when unknown."""
    folder = samples_folder() / name
    if not (folder / "products.jsonl").is_file():
        raise FileNotFoundError(f"there is no sample catalog {name!r}; there are {', '.join(sample_names())}")
    return folder


def sample_names() -> list[str]:
    """The names of all sample catalogs, in alphabetical order."""
    return sorted(path.parent.name for path in samples_folder().glob("*/products.jsonl"))
