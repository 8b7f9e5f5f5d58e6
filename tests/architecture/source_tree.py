"""What the architecture rules read: the modules of every package, and what each one imports, without importing it."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = ("protocol", "merchant_server", "agent_client", "conformance")
GENERATED_FOLDERS = {"__pycache__", "dist", "build"}


@dataclass(frozen=True)
class Module:
    """A module by its dotted name and its source text."""

    name: str
    text: str
    is_package: bool = False

    @property
    def package(self) -> str:
        """The distribution's package that it belongs to, such as ``acpref_merchant``."""
        return self.name.partition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, self.name)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Every dotted name imported anywhere in the module.

        Imports inside functions and under ``TYPE_CHECKING`` count: they are dependencies as well. So do names given
        as text to ``import_module`` and ``__import__``. ``from a import b`` yields ``a.b``, so that a rule may speak
        of the submodule ``a.b``.
        """
        return frozenset(self._imported())

    def _imported(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._absolute(node)
                yield from (f"{origin}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and node.args:
                function = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                name = node.args[0]
                if function in {"import_module", "__import__"} and isinstance(name, ast.Constant):
                    yield str(name.value)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        keep = len(parts) - node.level + self.is_package
        return ".".join([*parts[:keep], *([node.module] if node.module else [])])


def within(name: str, prefix: str) -> bool:
    """Whether the dotted ``name`` is ``prefix`` or lies inside it."""
    return name == prefix or name.startswith(f"{prefix}.")


@cache
def modules() -> tuple[Module, ...]:
    """Every module of every package of the distribution."""
    found = []
    for folder in PACKAGE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return tuple(found)


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that belongs to the project: what git tracks or would track, or all files where there is no git."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part.startswith(".") or part in GENERATED_FOLDERS for part in path.relative_to(ROOT).parts
            )
        ]
    else:
        paths = [ROOT / name for name in listing.split("\0") if name]
    return tuple(sorted(path for path in paths if path.is_file()))
