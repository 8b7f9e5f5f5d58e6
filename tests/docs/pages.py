"""The documentation as tests see it: pages with their headings, links and fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Fence:
    """A fenced block; ``line`` is where it begins, counted from 1."""

    language: str
    text: str
    line: int
    end: int


@dataclass(frozen=True)
class Page:
    """A Markdown file. ``links`` are the destinations as written, ``words`` the inline code."""

    path: Path
    text: str
    anchors: frozenset[str]
    links: tuple[str, ...]
    fences: tuple[Fence, ...]
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


@cache
def page(path: Path) -> Page:
    """The page in ``path``."""
    text = path.read_text(encoding="utf-8")
    headings: list[str] = []
    links: list[str] = []
    fences: list[Fence] = []
    words: list[str] = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence":
            assert token.map is not None
            fences.append(Fence(token.info.strip(), token.content, token.map[0] + 1, token.map[1]))
        children = token.children or []
        if token.type == "inline" and before is not None and before.type == "heading_open":
            headings.append("".join(child.content for child in children))
        links += [str(child.attrs["href"]) for child in children if child.type == "link_open"]
        words += [child.content for child in children if child.type == "code_inline"]
    return Page(path, text, _anchors(headings), tuple(links), tuple(fences), tuple(words))


def docs() -> list[Page]:
    """Every page under ``docs``."""
    return [page(path) for path in sorted(DOCS.rglob("*.md"))]


def all_pages() -> list[Page]:
    """Every page that a reader of the repository comes across."""
    others = [*sorted(ROOT.glob("*.md")), ROOT / "catalogs" / "README.md"]
    return [page(path) for path in others] + docs()


def table(text: str, heading: str) -> list[dict[str, str]]:
    """The rows of the first table under the heading of exactly these words, by column, without backticks."""
    lines = iter(text.split(f"# {heading}\n", 1)[1].splitlines())
    header = next(line for line in lines if line.startswith("|"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(_cells(header), _cells(line), strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().replace("`", "").replace("\\|", "|") for cell in cells]


def _anchors(headings: list[str]) -> frozenset[str]:
    """The fragments by which GitHub finds ``headings``."""
    anchors: set[str] = set()
    for heading in headings:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        unique, number = slug, 0
        while unique in anchors:
            number += 1
            unique = f"{slug}-{number}"
        anchors.add(unique)
    return frozenset(anchors)
