"""CommonMark that is safe to show (MD-01 to MD-04)."""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _renderer() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False})


def contains_raw_html(text: str) -> bool:
    """Whether ``text``, read as CommonMark, contains an HTML block or inline HTML (MD-02, MD-03).

    Decided by a parser: ``a < b``, an autolink and HTML inside code are not raw HTML.
    """
    return any(_is_html(token) for token in _reader().parse(text))


def _is_html(token: Token) -> bool:
    return token.type in {"html_block", "html_inline"} or any(
        _is_html(child) for child in token.children or ()
    )


def to_html(text: str) -> str:
    """``text`` as HTML for display: raw HTML comes out escaped and links of script schemes stay text
    (MD-04)."""
    rendered: str = _renderer().render(text)
    return rendered
