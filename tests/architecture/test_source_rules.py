"""Rules about the text of the sources and of the project's other files, each shown to catch a planted violation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from tests.architecture.source_tree import PACKAGE_FOLDERS, ROOT, Module, modules, project_files, within

MAX_LINES = 500
MIGRATIONS = "acpref_merchant.store.migrations"

# Modules that are commands and therefore speak to the terminal.
COMMAND = re.compile(r"(^|\.)(cli|cli_\w+|__main__|schema_build)$")
CLOCK = re.compile(r"(^|\.)clock$")

WALL_CLOCK = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("time", "time"),
    ("time", "time_ns"),
}


def prints(module: Module) -> Iterator[int]:
    """Lines on which the module calls ``print``."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno


def wall_clock_reads(module: Module) -> Iterator[int]:
    """Lines on which the module mentions a function that reads the wall clock, whether it calls it or hands it on."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            owner = (
                node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            )
            if (owner, node.attr) in WALL_CLOCK:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and any(
            (node.module, a.name) in WALL_CLOCK for a in node.names
        ):
            yield node.lineno


def public_names(module: Module) -> set[str]:
    """The names without a leading underscore that the module defines; for a package, also those it re-exports."""
    names: set[str] = set()
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and not _is_type_variable(node.value):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and module.is_package and node.module != "__future__":
            names.update(alias.asname or alias.name for alias in node.names)
    return {name for name in names if not name.startswith("_")}


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") in {"TypeVar", "ParamSpec"}


def bound_names(module: Module) -> set[str]:
    """Every name that the module defines or imports at its top level: what ``__all__`` may name."""
    imports = (node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom))
    return public_names(module) | {alias.asname or alias.name for node in imports for alias in node.names}


def exported_names(module: Module) -> list[str] | None:
    """The names in ``__all__``, or None where the module defines none."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and any(
            getattr(target, "id", "") == "__all__" for target in node.targets
        ):
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


# Hosts of package registries and their mirrors: a checkout must work with whatever index its machine is set up for.
REGISTRY = re.compile(
    r"(pypi\.(org|python)|pythonhosted\.|registry\.(npmjs|yarnpkg)|crates\.io|(deb|security)\.debian\.|proxy\.golang"
    r"|--(extra-)?index-url|--find-links)"
)
# The places of this tree where pip's and uv's own option names have to appear.
SPEAKS_OF_INDEXES = {"tests/project/environment.py", "tests/project/test_environment.py"}
MACHINE_PATH = re.compile(r"(?<![\w.~*}])/(?:work|root|home/\w+|Users/\w+|opt/\w+)/")


def foreign_places(path: str, text: str) -> list[str]:
    """What the text says that only one machine or one network could understand, as ``line: match``."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern in (REGISTRY, MACHINE_PATH):
            match = pattern.search(line)
            if match and not (pattern is REGISTRY and match[0].startswith("-") and path in SPEAKS_OF_INDEXES):
                found.append(f"{path}:{number}: {match[0]}")
    return found


def test_no_module_has_more_than_500_lines() -> None:
    long = {
        module.name: len(module.text.splitlines())
        for module in modules()
        if not within(module.name, MIGRATIONS) and len(module.text.splitlines()) > MAX_LINES
    }
    assert long == {}


def test_only_commands_print() -> None:
    printing = [f"{m.name}:{line}" for m in modules() if not COMMAND.search(m.name) for line in prints(m)]
    assert printing == []


def test_only_clock_modules_read_the_wall_clock() -> None:
    reading = [
        f"{m.name}:{line}" for m in modules() if not CLOCK.search(m.name) for line in wall_clock_reads(m)
    ]
    assert reading == [], reading


def test_a_module_that_declares_its_public_names_declares_all_of_them_and_no_other() -> None:
    wrong = {}
    for module in modules():
        exported = exported_names(module)
        if exported is None:
            continue
        missing = public_names(module) - set(exported)
        unknown = set(exported) - bound_names(module)
        twice = {name for name in exported if exported.count(name) > 1}
        if missing or unknown or twice:
            wrong[module.name] = {"missing": missing, "unknown": unknown, "twice": twice}
    assert wrong == {}, wrong


def test_every_package_says_that_it_is_typed() -> None:
    packages = [path.parent for folder in PACKAGE_FOLDERS for path in ROOT.glob(f"{folder}/*/__init__.py")]
    assert len(packages) >= 6
    assert [path.name for path in packages if not (path / "py.typed").is_file()] == []


def test_every_module_postpones_its_annotations() -> None:
    eager = [m.name for m in modules() if m.tree.body[1:] and "__future__.annotations" not in m.imports]
    assert [name for name in eager if not name.endswith("__main__") and not within(name, MIGRATIONS)] == []


def test_the_lock_pins_with_hashes_and_names_no_index() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert lines
    assert [
        line
        for line in lines
        if not re.match(r"[\w.-]+==\S+.*\\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line)
    ] == []


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    found = []
    for path in project_files():
        name = path.relative_to(ROOT).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if name != "tests/architecture/test_source_rules.py":
            found.extend(foreign_places(name, text))
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import time\nnow = time.time()",
        "import time\nclock = time.time_ns",
        "from time import time",
        "import datetime as dt\ndt.datetime.now(dt.UTC)",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import date\ndate.today()",
    ],
)
def test_a_planted_clock_is_found(text: str) -> None:
    assert list(wall_clock_reads(Module("planted", text))) != []


def test_measuring_an_interval_is_not_reading_the_wall_clock() -> None:
    assert list(wall_clock_reads(Module("m", "import time\ntime.monotonic()\ntime.perf_counter()"))) == []


def test_a_planted_print_is_found_and_a_method_of_that_name_is_not() -> None:
    assert list(prints(Module("m", "def f():\n    print('x')"))) == [2]
    assert list(prints(Module("m", "console.print('x')"))) == []


def test_the_public_names_of_a_package_include_what_it_re_exports() -> None:
    text = "from a import b, _c\n__all__ = ['b']\nX: int = 1\ndef f(): ...\nclass _P: ..."
    assert public_names(Module("p", text, is_package=True)) == {"b", "X", "f"}
    assert public_names(Module("p", text)) == {"X", "f"}
    assert bound_names(Module("p", text)) >= {"b", "X", "f"}
    assert "nothing" not in bound_names(Module("p", text))
    assert exported_names(Module("p", text)) == ["b"]


@pytest.mark.parametrize(
    "line",
    [
        "pip install --index-url https://x/simple",
        "https://files.pythonhosted" + ".org/packages/a.whl",
        "index = 'https://pypi" + ".org/simple'",
        "open('/work" + "/main/README.md')",
        "cd /root" + "/.cache",
        "see /home" + "/ada/notes",
    ],
)
def test_a_planted_place_is_found(line: str) -> None:
    assert foreign_places("docs/x.md", line) != []


@pytest.mark.parametrize(
    "line", ["../shared/spec", "https://example.com/work/item", "/usr/bin/env", "a/work/b"]
)
def test_an_ordinary_path_is_not_reported(line: str) -> None:
    assert foreign_places("docs/x.md", line) == []
