"""Every link of a page leads somewhere."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.pages import DOCS, ROOT, Page, all_pages, docs, page


@pytest.mark.parametrize("current", all_pages(), ids=lambda current: current.name)
def test_every_relative_link_leads_to_a_file_and_a_heading_that_exist(current: Page) -> None:
    dead = [link for link in current.links if not _leads_somewhere(current, link)]
    assert not dead, f"dead links in {current.name}: {dead}"


def test_every_page_can_be_reached_from_the_map() -> None:
    waiting, seen = [page(DOCS / "README.md")], {DOCS / "README.md"}
    while waiting:
        current = waiting.pop()
        for link in current.links:
            path = (current.path.parent / urlsplit(link).path).resolve()
            if DOCS in path.parents and path.suffix == ".md" and path not in seen:
                seen.add(path)
                waiting.append(page(path))
    assert {each.path for each in docs()} == seen


def test_no_page_names_a_place_on_one_machine() -> None:
    for each in docs():
        assert str(ROOT) not in each.text, each.name


def _leads_somewhere(current: Page, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return parts.scheme in {"https", "mailto"}
    target = (current.path.parent / unquote(parts.path)).resolve() if parts.path else current.path
    if not target.exists() or ROOT not in (target, *target.parents):
        return False
    return not parts.fragment or (target.suffix == ".md" and parts.fragment in page(target).anchors)
