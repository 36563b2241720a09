from __future__ import annotations

import os
import subprocess
import time
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memorybank_cli.base import names
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import check_id, escape, is_id, is_text, printable, quoted, unescape, uuid7


@given(st.binary(max_size=40))
@example(b"plain.json")
@example(b"\\x41")
@example(b"\\\\x41\\")
@example(b"\xff\\xff\n\x7f")
@example("é\u200b\u2028😀".encode())
@example(b"\xed\xa0\x80")
def test_any_name_of_the_system_is_had_back(raw: bytes) -> None:
    name = os.fsdecode(raw)
    escaped = escape(name)
    assert escaped.isprintable()
    assert escaped.encode().decode() == escaped
    assert os.fsencode(unescape(escaped)) == raw


@given(st.binary(max_size=12), st.binary(max_size=12))
def test_two_names_never_look_the_same(one: bytes, other: bytes) -> None:
    assert (escape(os.fsdecode(one)) == escape(os.fsdecode(other))) == (one == other)


@given(st.text(max_size=20))
@example("\ud800")
@example("a\udcffb\ud800")
def test_any_text_can_be_shown(text: str) -> None:
    assert escape(text).isprintable()
    shown = printable(text)
    shown.encode()
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == text.count("\n")


def test_printable_names_are_themselves() -> None:
    for name in ("trades/trade_1.json", "ä ö", "日本", "a'b\"c"):
        assert escape(name) == name
        assert unescape(name) == name
        assert printable(name) == name
    assert escape("a\\b\n") == "a\\\\b\\x0a"
    assert printable("a\\b\x1b[31m") == "a\\b\\x1b[31m"


@pytest.mark.parametrize("good", ["a", "A-1_b.c", "-", "_", "0" * 64, "a..b"])
def test_good_ids(good: str) -> None:
    assert is_id(good)
    assert check_id(good, "account") == good


@pytest.mark.parametrize(
    "bad", ["", ".", "..", ".a", "a/b", "a b", "é", "a\n", "\n", "a\0", "0" * 65, "a\\b", "\uff21"]
)
def test_bad_ids(bad: str) -> None:
    assert not is_id(bad)
    with pytest.raises(UsageError, match="is not a good account id") as caught:
        check_id(bad, "account")
    assert caught.value.message.isprintable()


@given(st.from_regex(rf"\A{names.ID_PATTERN}\Z"))
def test_no_id_leads_anywhere(text: str) -> None:
    assert is_id(text)
    assert "/" not in text
    assert not text.startswith(".")


def test_uuids_are_version_7_and_sort_by_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(500)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == 500
    for text in made:
        value = UUID(text)
        assert (value.version, value.variant) == (7, "specified in RFC 4122")
        assert before <= value.int >> 80 <= after
        assert str(value) == text
    assert [text[:13] for text in made] == sorted(text[:13] for text in made)


@pytest.mark.parametrize("path", ["trades/a.json", "a; touch b.json", "$(touch b)", "x'; touch b; '", "`b`", "a b"])
def test_a_path_in_a_hint_is_one_word_to_a_shell(path: str) -> None:
    said = subprocess.run(["sh", "-c", f"printf %s {quoted(path)}"], capture_output=True, text=True, check=True)
    assert said.stdout == path


def test_a_plain_path_in_a_hint_is_itself() -> None:
    assert quoted("account_a/short_term.json") == "account_a/short_term.json"


@pytest.mark.parametrize(
    ("given", "is_one"), [("", True), ("é\0\U0001f600", True), ("a\udcff", False), ("\ud800", False)]
)
def test_what_can_stand_in_a_document(given: str, is_one: bool) -> None:
    assert is_text(given) == is_one
