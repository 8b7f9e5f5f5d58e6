"""CommonMark without raw HTML."""

from __future__ import annotations

import pytest

from acpref_protocol.markdown import contains_raw_html, to_html


@pytest.mark.parametrize(
    "text",
    [
        "<b>x</b>",
        "a <br> b",
        "<div>\nx\n</div>",
        "- item\n\n  <script>alert(1)</script>",
        "> quoted <i>x</i>",
        "<!-- comment -->",
        "*emphasis <u>x</u>*",
        "[<b>x</b>](https://example.com)",
        "<?php ?>",
    ],
)
def test_raw_html_is_found_wherever_it_is(text: str) -> None:
    """MD-02, MD-03."""
    assert contains_raw_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a < b and c > d",
        "1 <2> 3",
        "<https://example.com>",
        "`<b>code</b>`",
        "```\n<div></div>\n```",
        "    <b>indented code</b>",
        r"\<b>escaped\</b>",
        "&lt;b&gt;",
        "**bold** [link](https://example.com) ![image](https://example.com/a.png)",
    ],
)
def test_text_that_only_looks_like_html_is_not(text: str) -> None:
    """MD-01, MD-02."""
    assert not contains_raw_html(text)


def test_rendering_escapes_html_and_keeps_script_links_text() -> None:
    """MD-04."""
    shown = to_html(
        "**hi** <script>x</script> [a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](https://e.com)"
    )
    assert "<strong>hi</strong>" in shown
    assert "<script" not in shown
    assert 'href="javascript' not in shown.lower()
    assert 'href="https://e.com"' in shown
