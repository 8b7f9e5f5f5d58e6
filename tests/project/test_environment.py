"""How a checkout sets itself up. (That the whole of it works is shown by `.ci/run`, which starts from nothing.)"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.architecture.source_tree import ROOT
from tests.project import environment


def test_the_installer_is_fetched_at_the_version_and_hashes_of_the_lock() -> None:
    lock = "uuid-x==1 \\\n    --hash=sha256:aa\nuv==0.9 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\nuvicorn==2\n"
    assert (
        environment.locked_entry(lock, "uv") == "uv==0.9 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    )


def test_the_real_lock_pins_the_installer() -> None:
    entry = environment.locked_entry((ROOT / "requirements.lock").read_text(), "uv")
    assert entry.startswith("uv==")
    assert entry.count("--hash=sha256:") > 3


def test_a_variable_wins_over_the_install_section_and_that_over_the_global_one() -> None:
    listing = (
        ":env:.index-url='https://c.example/simple'\n"
        "global.index-url='https://a.example/simple'\n"
        "install.index-url='https://b.example/simple'\n"
        "global.timeout='60'\n"
        "install.find-links='/wheels\\n/more'\n"
    )
    assert environment.parse_pip_settings(listing) == {
        "index-url": "https://c.example/simple",
        "find-links": "/wheels\n/more",
    }


def test_the_settings_of_pip_reach_uv() -> None:
    settings = {
        "index-url": "https://a.example/simple",
        "extra-index-url": "https://b.example\nhttps://c.example",
    }
    given = environment.uv_environment(settings, {"HOME": "/h"})
    assert given["UV_DEFAULT_INDEX"] == "https://a.example/simple"
    assert given["UV_EXTRA_INDEX_URL"] == "https://b.example https://c.example"
    assert given["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert given["HOME"] == "/h"


def test_a_setting_made_for_uv_itself_is_kept() -> None:
    given = environment.uv_environment(
        {"index-url": "https://a.example"}, {"UV_DEFAULT_INDEX": "https://z.example"}
    )
    assert given["UV_DEFAULT_INDEX"] == "https://z.example"


def test_an_interrupted_set_up_is_started_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "venv"

    def interrupted(directory: Path) -> None:
        (directory / "half-installed").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "install", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.prepare(directory)
    seen = []
    monkeypatch.setattr(
        environment, "install", lambda directory: seen.append((directory / "half-installed").exists())
    )
    environment.prepare(directory)
    assert seen == [False]
    assert not (directory / ".unfinished").exists()


def test_a_finished_environment_is_updated_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "venv"
    monkeypatch.setattr(environment, "install", lambda directory: None)
    environment.prepare(directory)
    (directory / "kept").touch()
    environment.prepare(directory)
    assert (directory / "kept").exists()


def test_where_uv_cannot_install_pip_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def no_uv(directory: Path, pip: list[str]) -> str:
        raise subprocess.CalledProcessError(1, [*pip, "install"])

    monkeypatch.setattr(environment, "pip_command", lambda directory: ["pip"])
    monkeypatch.setattr(environment, "fetch_uv", no_uv)
    monkeypatch.setattr(environment, "ensure_pip", lambda python: None)
    monkeypatch.setattr(
        environment, "run", lambda command, environment=None, *, quiet=False: commands.append(command)
    )
    environment.install(tmp_path)
    assert [command[1:4] for command in commands] == [["-m", "pip", "install"]] * 2
    assert "--require-hashes" in commands[0]
    assert "--editable" in commands[1]


def test_a_wrong_call_names_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert environment.main([]) == 2
    assert "install VENV" in capsys.readouterr().err


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in the checkout, without the variables of a make that these tests may run under."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=outer, capture_output=True, text=True, check=False
    )


def test_help_lists_every_documented_target() -> None:
    text = make().stdout
    for target in (
        "setup",
        "demo",
        "test",
        "check",
        "conformance",
        "bench",
        "schemas",
        "soak",
        "lock",
        "clean",
    ):
        assert f"make {target} " in text
