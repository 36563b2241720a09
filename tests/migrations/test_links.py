from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.migrations.links import rewrite

MOVED = {
    "README.md": "docs/README.md",
    "notes.md": "docs/notes.md",
    "docs/guide.md": "docs/guide.md",
    "memory/log.md": "docs/memory/log.md",
    "data/x.json": "shared/data/x.json",
    "data/y (1).json": "shared/data/y (1).json",
}


def rewritten(text: str, before: str = "README.md") -> tuple[str, int]:
    return rewrite(text, before, MOVED[before], lambda path: MOVED.get(path, ""))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[x](data/x.json)", "[x](../shared/data/x.json)"),
        ("![i](data/x.json 'title')", "![i](../shared/data/x.json 'title')"),
        ("[g](docs/guide.md#top)", "[g](guide.md#top)"),
        ("[g](./docs/guide.md?raw=1)", "[g](guide.md?raw=1)"),
        ("[[a](docs/guide.md)](data/x.json)", "[[a](guide.md)](../shared/data/x.json)"),
        ("[y](<data/y (1).json>)", "[y](<../shared/data/y (1).json>)"),
        ("[y](data/y%20(1).json)", "[y](../shared/data/y%20%281%29.json)"),
        ("[y](data/y%20\\(1\\).json)", "[y](../shared/data/y%20%281%29.json)"),
        ('[ref]: data/x.json "title"', '[ref]: ../shared/data/x.json "title"'),
        ("  [ref]: <data/x.json>", "  [ref]: <../shared/data/x.json>"),
        ("- a\n    - [x](data/x.json)", "- a\n    - [x](../shared/data/x.json)"),
        ("text\n    [x](data/x.json)", "text\n    [x](../shared/data/x.json)"),
        ("`a` [x](data/x.json) `b`", "`a` [x](../shared/data/x.json) `b`"),
        ("` [x](data/x.json)", "` [x](../shared/data/x.json)"),
        ("```\ncode\n```\n[x](data/x.json)\r\n", "```\ncode\n```\n[x](../shared/data/x.json)\r\n"),
    ],
)
def test_links_to_what_moved_are_updated(before: str, after: str) -> None:
    assert rewritten(before) == (after, 1 + before.startswith("[["))


@pytest.mark.parametrize(
    "text",
    [
        "[n](notes.md) [l](memory/log.md) [self](README.md) [top](#top) [empty]()",
        "[web](https://example.org/data/x.json) [mail](mailto:a@example.org) [drive](C:data/x.json)",
        "[root](/data/x.json) [share](\\\\host\\x.json)",
        "[gone](data/gone.json) [out](../data/x.json)",
        "`[x](data/x.json)` and ``a ` [x](data/x.json)``",
        "\\[x\\](data/x.json)",
        "```json\n[x](data/x.json)\n```",
        "~~~\n[x](data/x.json)\n```\n[x](data/x.json)\n~~~",
        "````\n```\n[x](data/x.json)\n````",
        "text\n\n    [x](data/x.json)\n",
        "```\n[x](data/x.json)",
        "\t[x](data/x.json)",
    ],
)
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert rewritten(text) == (text, 0)


def test_links_are_seen_from_where_the_document_stands() -> None:
    assert rewritten("[x](../data/x.json) [n](../notes.md)", "memory/log.md") == (
        "[x](../../shared/data/x.json) [n](../notes.md)",
        1,
    )


def test_a_second_time_nothing_is_left_to_do() -> None:
    text = "[x](data/x.json) [g](docs/guide.md)\n\n[r]: <data/y (1).json>\n"
    once, _ = rewritten(text)
    places = {place: place for place in MOVED.values()}
    assert rewrite(once, "docs/README.md", "docs/README.md", lambda path: places.get(path, "")) == (once, 0)


@given(st.text("[]()<>`~#\\ \n\tab.:/-*1\r", max_size=200))
def test_any_text_without_known_targets_stays_the_same(text: str) -> None:
    assert rewrite(text, "a.md", "docs/a.md", lambda _: "") == (text, 0)


@pytest.mark.parametrize(
    "part", ["](", "[", "[a](", "](\\", "` ", "``` `", "a ](((", "[x]:(", "[a]: <", "](<", "[x](a(b", "\t- \n\n"]
)
def test_hostile_text_takes_time_in_proportion(part: str) -> None:
    def needed(times: int) -> float:
        start = time.process_time()
        rewrite(part * times, "a.md", "docs/a.md", lambda _: "")
        return time.process_time() - start

    assert needed(50_000) < 40 * needed(5_000) + 0.5
