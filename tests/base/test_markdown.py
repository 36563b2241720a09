"""Text of unknown origin in Markdown: held against a parser of CommonMark and GitHub's tables."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from memorybank_cli.base.markdown import code, plain
from memorybank_cli.base.names import escape_text

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "<script>alert(1)</script>", "a | b", "`code`", "[x](javascript:1)", "![x](http://a/b.png)", "<http://a>",
    "&amp; &#65;", "**bold** *i* _u_ __u__ ~~s~~", "# heading", "- item", "1. item", "123) item", "+ item", "> quote",
    "---", "===", "***", "\\", "a\\", "\\|", "``", "`` ` ``", "a`", "`", "\n\n# heading", "    code", "\t- x", "|---|",
    "www.a.com", "https://a.com", "$x$", "@name", "#1", "_", "a_b_c", "~~~", "```", "<!-- x", "-->", "[1]: /url",
    "\u2028# x", "\x1b[31m",
]  # fmt: skip
TEXT = (
    st.text(max_size=30) | st.sampled_from(HOSTILE) | st.text(st.sampled_from("`|\\<>[]()*_~#!&-+=1. \n"), max_size=15)
)


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or ()]


def words(text: str) -> str:
    """What people see of a text: its blanks are not kept."""
    return " ".join(escape_text(text).split())


@given(TEXT)
def test_plain_text_is_itself_wherever_it_stands(text: str) -> None:
    for before, kinds in (("", "paragraph_open"), ("- ", "bullet_list_open"), ("- x: ", "bullet_list_open")):
        tokens = PARSER.parse(before + plain(text) + "\n")
        if not words(text):
            continue
        assert tokens[0].type == kinds
        assert sum(token.type == "paragraph_open" for token in tokens) == 1
        assert {token.type for token in inline(tokens)} <= {"text", "text_special"}
        shown = " ".join("".join(token.content for token in inline(tokens)).split())
        assert shown == (words(text) if before != "- x: " else f"x: {words(text)}")


@given(TEXT, TEXT)
def test_a_cell_stays_a_cell(first: str, second: str) -> None:
    rows = f"| a | b |\n|---|---|\n| {plain(first)} | {plain(second)} |\n"
    tokens = PARSER.parse(rows)
    assert [token.type for token in tokens].count("td_open") == 2
    assert {token.type for token in inline(tokens)} <= {"text", "text_special"}
    cells = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
    assert [" ".join(cell.split()) for cell in cells] == ["a", "b", words(first), words(second)]


@given(TEXT)
@example("` a")
@example("  ")
@example("")
def test_a_code_span_is_one_span(text: str) -> None:
    tokens = inline(PARSER.parse(f"- in {code(text)}: x\n"))
    if not words(text):
        assert code(text) == "(nothing)"
        return
    assert [token.type for token in tokens] == ["text", "code_inline", "text"]
    assert tokens[1].content == escape_text(text)


@pytest.mark.parametrize("text", ["trade_1.json", "2026-11-20T14:00:00Z", "expected number, found '1'", "1.5", "a: b"])
def test_what_is_harmless_stays_readable(text: str) -> None:
    assert plain(text) == (text if text != "1.5" else "&#49;.5")


def test_nothing_is_made_a_link() -> None:
    for text in ("https://a.com/x", "HTTP://a.com", "www.a.com", "WWW.a.com"):
        assert "://" not in plain(text)
        assert "www." not in plain(text).lower()
