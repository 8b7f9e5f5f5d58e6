"""The built wheel holds everything that an installed `acpref` needs, and the lock provides what it asks for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tests.architecture.source_tree import PACKAGE_FOLDERS, ROOT, project_files

from acpref_merchant.catalog.samples import sample


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the project's files alone: what lies about in a working tree must not get in."""
    source = tmp_path_factory.mktemp("source")
    for path in project_files():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    output = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(output.glob("acpref-*-py3-none-any.whl"))


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says about itself."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_every_file_of_every_package(contents: set[str]) -> None:
    expected = set()
    for path in project_files():
        parts = path.relative_to(ROOT).parts
        if parts[0] in PACKAGE_FOLDERS and len(parts) > 2:
            expected.add("/".join(parts[1:]))
    assert len(expected) > 20
    assert expected - contents == set()


def test_the_wheel_holds_the_sample_catalogs(contents: set[str]) -> None:
    expected = {
        f"acpref_merchant/_{path.relative_to(ROOT).as_posix()}"
        for path in project_files()
        if path.relative_to(ROOT).parts[0] == "catalogs"
    }
    assert any(name.endswith("products.jsonl") for name in expected)
    assert expected - contents == set()


def test_the_wheel_puts_nothing_else_into_site_packages(contents: set[str]) -> None:
    packages = {
        path.parent.name for folder in PACKAGE_FOLDERS for path in ROOT.glob(f"{folder}/*/__init__.py")
    }
    tops = {name.partition("/")[0] for name in contents}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages


def test_an_installed_wheel_runs_its_command_and_finds_its_catalogs(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # The dependencies come from this environment, our own packages only from the unpacked wheel: -I and an explicit
    # path keep the checkout, which this environment knows as an editable install, out.
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import json, acpref.cli, acpref_merchant\n"
        "from acpref_merchant.catalog.samples import sample_names, samples_folder\n"
        "print(json.dumps([acpref.cli.__file__, str(samples_folder()), sample_names()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    command, folder, names = json.loads(done.stdout)
    assert Path(command).is_relative_to(site)
    assert Path(folder).is_relative_to(site)
    assert "corner_shop" in names


def test_the_metadata_carries_license_readme_and_the_extras_of_every_kind_of_user(metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"merchant", "agent", "conformance", "sandbox"} <= set(metadata.get_all("Provides-Extra", []))
    readme = metadata.get_payload()
    assert isinstance(readme, str)
    assert readme.strip() == (ROOT / "README.md").read_text().strip() != ""


def test_the_lock_satisfies_every_requirement(metadata: Message) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = {name.lower(): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)}
    unmet = []
    for text in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name != "acpref" and not (
            name in pinned and requirement.specifier.contains(pinned[name], prereleases=True)
        ):
            unmet.append(text)
    assert unmet == [], "pyproject.toml asks for what the lock does not hold: run make lock"


def test_every_tool_that_the_makefile_calls_is_pinned() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lock = (ROOT / "requirements.lock").read_text()
    for name in [*build, "uv", "ruff", "mypy", "pytest"]:
        assert re.search(rf"^{name}==", lock, re.MULTILINE), name


def test_a_sample_catalog_is_found_by_name_and_an_unknown_name_lists_the_known_ones() -> None:
    assert sample("corner_shop") == ROOT / "catalogs" / "corner_shop"
    with pytest.raises(FileNotFoundError, match="corner_shop"):
        sample("no_such_shop")
