"""Foreign HTML becomes plain text; plain text becomes CommonMark that contains no HTML.

Descriptions of other shops are HTML written by strangers. Nothing of it is trusted: tags are dropped, the
content of scripts and styles with them, and only the words remain (FEED-19 for those who render them
later).
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Longer texts are cut, with a note: HTMLParser is slower than linear on hostile input.
MAX_HTML_CHARACTERS = 65_536

# fmt: off
_SILENT = frozenset({
    "script", "style", "template", "noscript", "iframe", "object", "svg", "math", "head", "title", "textarea",
    "select",
})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre",
    "section", "table", "tbody", "tfoot", "thead", "tr", "ul",
})
# fmt: on
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LOOKS_LIKE_HTML = re.compile(r"<[a-zA-Z/!?]|&(?:[a-zA-Z]{2,31}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")


class _Words(HTMLParser):
    """Collects the words of a document, with line breaks where blocks end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _SILENT:
            self._silent_depth += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in {"td", "th"}:
            self.parts.append(" ")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A self-closing element has no content, so it opens no silence.
        if tag not in _SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent_depth = max(0, self._silent_depth - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent_depth:
            # Line breaks of the source mean nothing in HTML.
            self.parts.append(re.sub(r"\s+", " ", data))


def html_to_text(html: str) -> str:
    """The words of an HTML fragment as plain text: paragraphs apart by an empty line, list items with a dash.

    Comments, processing instructions and the content of scripts, styles and frames vanish.
    """
    words = _Words()
    words.feed(html[:MAX_HTML_CHARACTERS])
    words.close()
    return clean_text("".join(words.parts))


def plain_text(text: str) -> str:
    """``text`` without markup: read as HTML when it looks like HTML, otherwise only tidied."""
    return html_to_text(text) if _LOOKS_LIKE_HTML.search(text) else clean_text(text)


def clean_text(text: str) -> str:
    """``text`` without control characters, direction overrides, trailing blanks and stacked empty lines."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    lines = (re.sub(r"[ \t\u00a0]+", " ", line).strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def one_line(text: str) -> str:
    """Plain text for a title: markup and line breaks gone."""
    return " ".join(plain_text(text).split())


def to_markdown(text: str) -> str:
    """Plain text as CommonMark that shows the same words and can contain no HTML (DISC texts of products).

    ``<`` and ``&`` are escaped so that neither tags nor character references appear; a backtick would start
    a code span in which the escapes were literal.
    """
    return re.sub(r"[\\<&`]", r"\\\g<0>", text)
