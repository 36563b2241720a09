"""Messages: what can be one, and what makes two of them the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.messages import Message, checked, parse
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError

KEY, NOW = b"k" * 32, "2026-11-20T14:00:00.000000Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_the_callers_id_is_kept() -> None:
    record = Message("user", "hello", id="m1", metadata={"a": 10**30}).record(KEY, NOW)
    assert record == {"id": "m1", "role": "user", "content": "hello", "timestamp": NOW, "metadata": {"a": 10**30}}


def test_without_id_and_time_every_message_is_its_own() -> None:
    one, other = (Message("user", "hello").record(KEY, NOW) for _ in range(2))
    assert one["id"] != other["id"]
    assert one["timestamp"] == NOW


def test_with_a_time_the_digest_is_the_identity() -> None:
    def identity(role: str = "user", content: str = "hello", moment: str = NOW, key: bytes = KEY) -> str:
        return str(Message(role, content, timestamp=moment).record(key, NOW)["id"])

    assert identity() == identity(moment="2026-11-20T15:00:00+01:00")
    others = [identity(role="assistant"), identity(content="Hello"), identity(moment=clock.now()), identity(key=b"x")]
    assert len({identity(), *others}) == 5
    assert len(identity()) == 32


@given(TEXT, TEXT, TEXT, TEXT)
def test_role_and_content_cannot_be_shifted_into_each_other(role: str, content: str, a: str, b: str) -> None:
    same = (
        Message(role, content, timestamp=NOW).record(KEY, NOW)["id"]
        == Message(a, b, timestamp=NOW).record(KEY, NOW)["id"]
    )
    assert same == ((role, content) == (a, b))


def test_what_is_not_known_becomes_metadata() -> None:
    found = parse(
        {
            "type": "message",
            "seq": 7,
            "role": "user",
            "content": "hi",
            "model": "m",
            "metadata": {"model": "n", "x": 1},
        },
        "line 1",
    )
    assert found == Message("user", "hi", metadata={"model": "n", "x": 1})


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "line 3 is no JSON object"),
        ("text", "line 3 is no JSON object"),
        ({"role": "user", "content": 5}, "'content' must be a text, not 5"),
        ({"role": None}, "'role' must be a text, not None"),
        ({"role": "user", "id": ["\x1b"]}, "'id' must be a text"),
        ({"role": "user", "content": "x", "metadata": []}, "'metadata' must be an object"),
        ({"content": "x"}, "line 3 has no role"),
        ({"role": "r" * 65, "content": "x"}, "the role has 65 characters"),
        ({"role": "user", "text": "under another name"}, "line 3 has no content"),
        ({"role": "user", "content": "x", "id": "i" * 257}, "the id has 257 characters"),
        ({"role": "user", "content": "x", "timestamp": "yesterday"}, "'yesterday' is not a time"),
        ({"role": "user", "content": "x", "timestamp": "0001-01-01T00:00:00+14:00"}, "is not a time"),
        ({"role": "user", "content": "x", "timestamp": "9999-12-31T23:59:59-14:00"}, "is not a time"),
        ({"role": "user", "content": "\ud800"}, "half a character"),
        ({"role": "user", "content": "x", "metadata": {"\udfff": 1}}, "half a character"),
    ],
)
def test_what_is_no_message(value: Any, says: str) -> None:
    with pytest.raises(UsageError, match="line 3") as caught:
        parse(value, "line 3")
    assert says in caught.value.message
    assert caught.value.message.isprintable()


def test_a_message_may_be_empty_or_long() -> None:
    assert checked(Message("user", "")).content == ""
    assert len(checked(Message("tool", "x" * 1_000_000)).content) == 1_000_000


def test_times_before_the_year_1000_keep_four_digits() -> None:
    assert Message("user", "x", timestamp="0999-01-01").record(KEY, NOW)["timestamp"] == "0999-01-01T00:00:00.000000Z"
