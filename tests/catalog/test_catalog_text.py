"""HTML of strangers becomes plain text, and plain text CommonMark without HTML."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acpref_merchant.catalog.text import clean_text, html_to_text, one_line, plain_text, to_markdown
from acpref_protocol.markdown import contains_raw_html

TAGS = ["<b>", "</b>", "<script>", "</script>", "<a href='x'>", "<br/>", "<svg onload=x>", "<http://x>"]
OPENED = ["<!--", "-->", "<![CDATA[", "]]>", "<?php", "?>", "<!DOCTYPE", "<iframe", "</", "<", ">"]
SIGNS = [
    "&lt;",
    "&gt;",
    "&#60;",
    "&amp;",
    "`",
    "```",
    "\\",
    "\n\n",
    "    ",
    "word",
    "\n- ",
    "1. ",
    "> ",
    "[x](y)",
]
FRAGMENTS = st.lists(st.sampled_from([*TAGS, *OPENED, *SIGNS]), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Soft <b>cotton</b>.</p><p>Wash cold.</p>", "Soft cotton.\n\nWash cold."),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("fish &amp; chips<br>to go", "fish & chips\nto go"),
        ("<script>alert('x')</script>Mug<style>p{}</style>", "Mug"),
        ("<iframe src='https://x.example.com'>inside</iframe>outside", "outside"),
        ("before<!-- hidden -->after", "beforeafter"),
        ("<script/>visible", "visible"),
        ("<p>unclosed <b>words", "unclosed words"),
        ("line one\n   line two", "line one line two"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("zero\x00width\u202e", "zerowidth"),
    ],
)
def test_the_words_of_html_remain_and_nothing_else(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_a_text_without_markup_keeps_its_signs() -> None:
    assert plain_text("3 < 5 & 7 > 2") == "3 < 5 & 7 > 2"


def test_a_title_is_one_line() -> None:
    assert one_line("<b>Big</b>\n mug ") == "Big mug"


@settings(deadline=None)
@given(FRAGMENTS)
@example("&lt;script&gt;alert(1)&lt;/script&gt;")
@example("\\<b>")
@example("`<b>`")
@example("```\n<b>\n```")
def test_no_text_however_nasty_survives_as_raw_html_in_a_disclosure(html: str) -> None:
    """DISC texts are CommonMark without raw HTML (MD-02)."""
    assert not contains_raw_html(to_markdown(html_to_text(html)))


@settings(deadline=None)
@given(FRAGMENTS)
def test_an_escaped_text_is_the_same_text(text: str) -> None:
    assert re.sub(r"\\([\\<&`])", r"\1", to_markdown(text)) == text


@settings(deadline=None)
@given(st.text())
def test_tidying_twice_changes_nothing_more(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


def test_a_hostile_document_takes_no_time() -> None:
    assert html_to_text("<" * 200_000).count("<") <= 65_536
