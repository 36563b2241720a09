"""What messages are, what is rejected, and that tiers that overlap give each message once."""

from __future__ import annotations

import codecs
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.messages import Message, checked
from memorybank_cli.migrations import conversations as module
from memorybank_cli.migrations.conversations import Conversation, is_derived, looks_like_one
from memorybank_cli.migrations.items import Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.moments import SECONDS
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make, as_bytes


def said(content: str, time: Any = 1743394526.5, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, "timestamp": time, **more}


def tiers(source: Source, *paths: str, beside: str = "") -> list[Item]:
    """Each file a tier of its own."""
    conversation = Conversation(source, "a")
    found = [item for path in paths for item in conversation.tier([path], beside)]
    return [*found, *conversation.assumptions()]


def messages(items: list[Item]) -> list[MessageItem]:
    return [item for item in items if isinstance(item, MessageItem)]


def rejected(items: list[Item]) -> list[Rejected]:
    return [item for item in items if isinstance(item, Rejected)]


def assumed(items: list[Item]) -> dict[str, int]:
    return {item.text: item.count for item in items if isinstance(item, Assumption)}


def test_a_list_and_an_object_with_messages_are_read_alike(make_source: Make) -> None:
    source = make_source({"a.json": [said("x"), said("y")], "b.json": {"seq": 7, "messages": [said("x"), said("y")]}})
    first, second = messages(tiers(source, "a.json")), messages(tiers(source, "b.json"))
    assert [one.content for one in first] == ["x", "y"]
    assert [one._replace(origin="") for one in first] == [one._replace(origin="") for one in second]
    assert first[0].timestamp == "2025-03-31T04:15:26.500000Z"
    assert first[0].id != first[1].id
    assert assumed(tiers(source, "a.json")) == {SECONDS: 2}


def test_what_a_message_says_besides_is_its_metadata(make_source: Make) -> None:
    source = make_source({"a.json": [said("x", id="m-1", seq=4, model="big", metadata={"tokens": 3}, created_at="z")]})
    found = messages(tiers(source, "a.json"))[0]
    assert found.id == "m-1"
    assert found.metadata == {"model": "big", "created_at": "z", "tokens": 3}


def test_a_member_and_metadata_of_one_name_are_both_kept(make_source: Make) -> None:
    source = make_source({"a.json": [said("x", mood="up", metadata={"mood": "down"})]})
    assert messages(tiers(source, "a.json"))[0].metadata == {"mood": "up", "metadata": {"mood": "down"}}


def test_another_member_tells_the_time_where_there_is_no_timestamp(make_source: Make) -> None:
    value = {"role": "user", "content": "x", "timestamp": None, "created_at": "2025-03-31T04:15:26Z", "": 5}
    found = messages(tiers(make_source({"a.json": [value]}), "a.json"))[0]
    assert found.timestamp == "2025-03-31T04:15:26.000000Z"
    assert found.metadata == {"timestamp": None, "": 5}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (17, "no object"),
        ({"content": "x"}, "no 'role'"),
        ({"role": "user"}, "no 'content'"),
        ({"role": 5, "content": "x"}, "'role' must be a text"),
        ({"role": "user", "content": ["x"]}, "'content' must be a text"),
        ({"role": "", "content": "x"}, "role has 0 characters"),
        ({"role": "r" * 65, "content": "x"}, "role has 65 characters"),
        (said("x", id="i" * 257), "id has 257 characters"),
        (said("x", id=True), "'id' must be a text"),
        (said("x", id=["i"]), "'id' must be a text"),
        (said("x", metadata="m"), "'metadata' must be an object"),
        (said("x", "99999-01-01T00:00:00Z"), "time is none"),
        (said("x", -1), "time is none"),
        (said("x", True), "time is none"),
        (said("x" * 1_100_000), "at most 1,048,576"),
    ],
)
def test_what_is_no_message_is_rejected_and_the_others_come_in(make_source: Make, value: Any, reason: str) -> None:
    items = tiers(make_source({"a.json": [said("before"), value, said("after")]}), "a.json")
    assert [one.content for one in messages(items)] == ["before", "after"]
    (one,) = rejected(items)
    assert one.reason.startswith("message 2: ")
    assert reason in one.reason
    assert one.data is not None
    assert json.loads(one.data) == value


@pytest.mark.parametrize(
    "written",
    [
        '{"role": "user", "content": "a", "content": "b"}',
        '{"role": "user", "content": "a", "timestamp": NaN}',
        '{"role": "user", "content": "a", "timestamp": 1e300}',
        '{"role": "user", "content": "\\ud800"}',
        '{"role": "user", "content": "a", "metadata": ' + '{"a":' * 70 + "1" + "}" * 70 + "}",
    ],
)
def test_what_a_bank_may_not_hold_is_rejected_as_it_is_written(make_source: Make, written: str) -> None:
    text = f"[{json.dumps(said('before'))}, {written}, {json.dumps(said('after'))}]"
    items = tiers(make_source({"a.json": text}), "a.json")
    assert [one.content for one in messages(items)] == ["before", "after"]
    (one,) = rejected(items)
    assert json.loads(one.data or b"") == json.loads(written) or one.data == written.encode()


def test_everything_before_a_truncation_comes_in(make_source: Make) -> None:
    whole = json.dumps([said("x"), said("y"), said("z")])
    items = tiers(make_source({"a.json": whole[:-20]}), "a.json")
    assert [one.content for one in messages(items)] == ["x", "y"]
    assert rejected(items)[0].reason.startswith("MB103 ")
    assert rejected(items)[0].reason.endswith("; 2 messages of it were taken")
    assert rejected(items)[0].data is None


def test_what_follows_a_document_is_told(make_source: Make) -> None:
    items = tiers(make_source({"a.json": json.dumps([said("x")]).encode() + bytes(5_000)}), "a.json")
    assert len(messages(items)) == 1
    assert rejected(items)[0].reason.startswith("MB102 ")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_believed(make_source: Make, encoding: str) -> None:
    source = make_source({"a.json": json.dumps([said("grüße")], ensure_ascii=False).encode(encoding)})
    items = tiers(source, "a.json")
    assert [one.content for one in messages(items)] == ["grüße"]
    assert any("byte order mark" in text for text in assumed(items))


def test_latin_1_is_not_guessed(make_source: Make) -> None:
    source = make_source({"a.json": json.dumps([said("ok"), said("grüße")], ensure_ascii=False).encode("latin-1")})
    items = tiers(source, "a.json")
    assert [one.content for one in messages(items)] == ["ok"]
    assert rejected(items)[0].reason.startswith("MB106 ")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("17", "neither a list of messages"),
        ('{"a": 1}', "no list of messages"),
        ('{"messages": "none"}', "no list of messages"),
        ("", "MB104"),
        ("nonsense", "MB101"),
    ],
)
def test_a_document_without_messages_is_rejected(make_source: Make, document: str, reason: str) -> None:
    items = tiers(make_source({"a.json": document}), "a.json")
    assert reason in rejected(items)[0].reason


def test_an_empty_document_says_nothing(make_source: Make) -> None:
    assert (
        tiers(make_source({"a.json": [], "b.json": {"messages": []}, "c.json": {}}), "a.json", "b.json", "c.json") == []
    )


def test_what_stands_beside_messages_is_kept(make_source: Make) -> None:
    document = {"title": "Trip", "count": 1, "messages": [said("x")]}
    source = make_source({"d/a.json": document, "b.json": {"count": 0, "messages": []}})
    files = [item for item in tiers(source, "d/a.json", "b.json", beside="state/x") if isinstance(item, FileItem)]
    assert [(one.path, one.origin) for one in files] == [("state/x/a.json", "d/a.json")]
    assert json.loads(files[0].data or b"") == {"title": "Trip", "count": 1}


def test_what_stands_beside_messages_has_a_limit(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BESIDE", 10)
    items = tiers(make_source({"a.json": {"title": "x" * 20, "messages": [said("x")]}}), "a.json", beside="state/x")
    assert len(messages(items)) == 1
    assert "beside its messages" in rejected(items)[0].reason
    assert not any(isinstance(item, FileItem) for item in items)


def test_a_file_that_changes_or_vanishes_is_rejected(make_source: Make) -> None:
    source = make_source({"a.json": [said("x")]})
    Path(source.root.path, "a.json").unlink()
    items = tiers(source, "a.json")
    assert rejected(items)[0].reason == "it changed or vanished while it was read; 0 messages of it were taken"


def test_messages_of_an_earlier_tier_are_left_out(make_source: Make) -> None:
    history = [said(str(number), number) for number in range(10)]
    source = make_source(
        {"whole.json": history, "mid.json": history[4:8], "short.json": [*history[8:], said("new", 10)]}
    )
    found = messages(tiers(source, "whole.json", "mid.json", "short.json"))
    assert [one.content for one in found] == [*map(str, range(10)), "new"]


def test_messages_without_a_time_are_matched_by_what_they_say(make_source: Make) -> None:
    one, other = {"role": "user", "content": "ok"}, {"role": "user", "content": "no"}
    source = make_source({"whole.json": [one, other, one], "short.json": [one, one, one, other]})
    found = messages(tiers(source, "whole.json", "short.json"))
    assert [item.content for item in found] == ["ok", "no", "ok", "ok"]
    assert len({item.id for item in found}) == 4
    assert {item.timestamp for item in found} == {""}
    again = messages(tiers(source, "whole.json", "short.json"))
    assert [item.id for item in again] == [item.id for item in found]


def test_an_id_that_stands_for_two_messages_loses_none(make_source: Make) -> None:
    whole = [said("a", 1, id=1), said("b", 2, id=2), said("c", 3, id=1)]
    source = make_source({"whole.json": whole, "short.json": whole})
    items = tiers(source, "whole.json", "short.json")
    found = messages(items)
    assert [item.content for item in found] == ["a", "b", "c"]
    assert [item.id for item in found][:2] == ["1", "2"]
    assert len({item.id for item in found}) == 3
    assert any("several messages" in text for text in assumed(items))
    assert assumed(items)["ids that are numbers were taken as text"] == 3


def test_an_id_that_comes_again_much_later_is_found_too() -> None:
    ids = module.Ids()
    assert all(ids.is_free(digest(number), b"message%d" % number) for number in range(120_000))
    assert not ids.is_free(digest(0), b"another ")
    assert ids.is_free(digest(0), b"message0")


def digest(number: int) -> bytes:
    return sha256(b"%d" % number).digest()


def test_derived_documents_and_messages_are_told_apart() -> None:
    assert is_derived({"account_id": "a", "seq": 1})
    assert not is_derived({"account_id": "a", "title": "x"})
    assert looks_like_one({"role": "user", "content": "x"})
    assert not looks_like_one({"role": "user"})
    assert not looks_like_one(["role", "content"])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3),
    max_leaves=4,
)
odd = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("role", "content", "id", "timestamp", "metadata", "created_at", "x"), values)
) | st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}, optional={"id": values, "timestamp": values})
marks = st.sampled_from([b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])


@given(st.lists(odd | values, max_size=5), st.integers(0, 40), marks, st.binary(max_size=4))
def test_any_bytes_give_messages_that_the_bank_takes(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], cut: int, mark: bytes, tail: bytes
) -> None:
    directory = tmp_path_factory.mktemp("any")
    data = as_bytes(records)
    (directory / "a.json").write_bytes(mark + data[: len(data) - cut] + tail)
    source = Source(directory)
    for item in tiers(source, "a.json", beside="state/x"):
        if isinstance(item, MessageItem):
            assert item.id
            checked(Message(item.role, item.content, item.id, item.timestamp, item.metadata))
    source.close()
