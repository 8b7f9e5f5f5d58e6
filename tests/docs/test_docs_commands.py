"""Every command that a page names exists, with the options that it is given there."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from tests.docs.pages import ROOT, Fence, all_pages, docs

from acpref.cli import COMMANDS, main

_OPTION = re.compile(r"--[a-z][a-z-]*")


def shell_lines(fence: Fence) -> Iterator[str]:
    """The commands of a block: every line of ``sh``, those after a prompt of ``console``; continued lines joined."""
    text = fence.text.replace("\\\n", " ")
    for line in text.splitlines():
        if fence.language == "sh":
            yield line
        elif fence.language == "console" and line.startswith("$ "):
            yield line.removeprefix("$ ")


def named() -> set[tuple[str, ...]]:
    """The words of every acpref command in the blocks and the running text of all pages."""
    texts = [line for page in all_pages() for fence in page.fences for line in shell_lines(fence)]
    texts += [words for page in all_pages() for words in page.words]
    found = set()
    for text in texts:
        text = text.removeprefix(".venv/bin/")
        if text.startswith("acpref "):
            found.add(tuple(shlex.split(text, comments=True)[1:]))
    # The one command that pages speak of as planned.
    return found - {("conformance",)}


COMMAND_LINES = sorted(named())


def test_the_pages_name_commands() -> None:
    assert {line[0] for line in COMMAND_LINES} >= {"sandbox", "merchant", "catalog", "psp", "protocol"}


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_a_command_named_in_the_docs_exists_with_its_options(words: tuple[str, ...]) -> None:
    command, path = _resolve(words)
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}
    with pytest.raises(SystemExit) as ended:
        main([*path, "--help"])
    assert ended.value.code == 0


def test_options_of_the_operators_commands_that_the_table_names_exist() -> None:
    text = (ROOT / "docs" / "merchant.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| `acpref merchant ([a-z]+) ORDER[^|]*\|([^|]*)\|", text, re.MULTILINE):
        command, _ = _resolve(("merchant", row[0]))
        known = {
            name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(_OPTION.findall(row[1])) <= known, row


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [line for page in docs() for fence in page.fences for line in shell_lines(fence)]
    lines += [words for page in docs() for words in page.words]
    used = {line.split()[1] for line in lines if line.startswith("make ")}
    assert used
    assert used <= targets


def test_paths_that_pages_name_exist() -> None:
    first = {path.name for path in ROOT.iterdir() if path.is_dir()}
    words = {
        word.rstrip("/") for page in docs() for word in page.words if re.fullmatch(r"[a-z_]+/[\w./-]*", word)
    }
    missing = [word for word in words if word.split("/")[0] in first and not (ROOT / word).exists()]
    assert not missing


def _resolve(words: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The command that ``words`` begin with, and the names that lead to it."""
    assert words[0] in COMMANDS, words
    command: Any = typer.main.get_command(importlib.import_module(COMMANDS[words[0]].module).app)
    path = [words[0]]
    for word in words[1:]:
        inner = getattr(command, "commands", None)
        if inner is None or word.startswith("-"):
            break
        assert word in inner, f"acpref {' '.join(path)} has no {word!r}"
        command = inner[word]
        path.append(word)
    return command, path
