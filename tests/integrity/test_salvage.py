"""What is had out of damaged bytes: complete records only, a prefix of the originals, valid JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.integrity.salvage import Salvaged, salvage

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    scalars | texts, lambda one: st.lists(one, max_size=3) | st.dictionaries(texts, one, max_size=3), max_leaves=5
)
records = st.lists(st.dictionaries(texts, values, max_size=3), min_size=1, max_size=6)
indents = st.sampled_from([None, 0, 2])
padding = st.sampled_from([b"", bytes(1), bytes(4096)])


def encode(value: Any, indent: int | None, ascii_only: bool = False) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()


def cured(data: bytes) -> Salvaged:
    found = salvage(data)
    assert found is not None, data
    return found


def ends(originals: list[Any], whole: bytes) -> list[int]:
    """The byte after each record of the first list in a text."""
    decoder, text, found = json.JSONDecoder(), whole.decode(), []
    at = text.index("[") + 1
    for _ in originals:
        while text[at] in " \n,":
            at += 1
        at = decoder.raw_decode(text, at)[1]
        found.append(len(text[:at].encode()))
    return found


@given(records, indents, padding, st.data())
def test_a_truncated_list_gives_every_complete_record_and_no_other(
    originals: list[Any], indent: int | None, tail: bytes, data: st.DataObject
) -> None:
    whole = encode(originals, indent)
    cut = data.draw(st.integers(1, len(whole) - 1))
    complete = sum(end <= cut for end in ends(originals, whole))
    found = salvage(whole[:cut] + tail)
    if not complete:
        assert found is None or loads(found.content) == _inside(originals[0], loads(found.content))
        return
    assert found is not None
    assert found.method == "complete-records"
    assert loads(found.content) == originals[:complete]


def _inside(record: Any, had: Any) -> Any:
    """Nothing is complete: what is had then must be made of the first record's own complete parts."""
    assert had in ([], [record]) or _part(had, [record])
    return had


def _part(had: Any, whole: Any) -> bool:
    if isinstance(had, list) and isinstance(whole, list):
        return len(had) <= len(whole) and all(map(_part, had, whole))
    if isinstance(had, dict) and isinstance(whole, dict):
        return all(key in whole and _part(value, whole[key]) for key, value in had.items())
    return bool(had == whole)


@given(records, indents, padding, st.data())
def test_a_truncated_document_with_records_gives_a_prefix_of_them(
    originals: list[Any], indent: int | None, tail: bytes, data: st.DataObject
) -> None:
    whole = encode({"head": {"version": 2}, "trades": originals, "status": {"ok": True}}, indent)
    cut = data.draw(st.integers(1, len(whole) - 1))
    found = salvage(whole[:cut] + tail)
    if found is None:
        assert not any(end <= cut for end in ends(originals, whole))
        return
    had = loads(found.content)
    assert had["head"] == {"version": 2}
    assert had.get("trades", []) == originals[: len(had.get("trades", []))]
    assert set(had) <= {"head", "trades", "status"}
    assert found.method == "complete-records"


@given(values, indents, st.booleans(), st.data())
def test_any_truncation_of_anything_gives_parts_of_it_or_nothing(
    value: Any, indent: int | None, ascii_only: bool, data: st.DataObject
) -> None:
    whole = encode([value] if not isinstance(value, dict | list) else value, indent, ascii_only)
    cut = data.draw(st.integers(0, len(whole) - 1))
    found = salvage(whole[:cut])
    if found is not None:
        assert _part(loads(found.content), json.loads(whole))


@given(values.filter(lambda one: isinstance(one, dict | list)), indents, st.binary(min_size=1, max_size=30))
def test_a_document_followed_by_other_bytes_gives_it_byte_for_byte(value: Any, indent: int | None, tail: bytes) -> None:
    whole = encode(value, indent)
    if not tail.strip(b" \t\r\n"):
        assert salvage(whole + tail) is None
        return
    assert salvage(whole + tail) == Salvaged(whole, "leading-document", "")


@given(st.binary(max_size=60))
def test_whatever_is_given_what_comes_back_is_good(data: bytes) -> None:
    found = salvage(data)
    if found is not None:
        loads(found.content)


def test_what_was_lost_is_named() -> None:
    found = cured(b'{"trades": [{"id": 1}, {"id": 2}, {"id": 3')
    assert loads(found.content) == {"trades": [{"id": 1}, {"id": 2}]}
    assert found.lost == "10 bytes after record 2, which was not complete"


def test_nothing_is_lost_when_only_the_brackets_are_missing() -> None:
    found = cured(b'{"trades": [{"id": 1}, {"id": 2}')
    assert (loads(found.content), found.lost) == ({"trades": [{"id": 1}, {"id": 2}]}, "")


def test_a_number_at_the_end_may_be_the_beginning_of_a_longer_one() -> None:
    assert loads(cured(b"[1, 2, 30").content) == [1, 2]


def test_members_of_an_object_are_its_records_where_they_are_all_containers() -> None:
    found = cured(b'{"WETH": {"profit": 1}, "USDC": {"profit": 7}, "DAI": {"prof')
    assert loads(found.content) == {"WETH": {"profit": 1}, "USDC": {"profit": 7}}
    assert salvage(b'{"running": true, "block": 7, "note": "stop') is None
    assert salvage(b'{"timestamp": "2025", "opportunity": {"profit": 1}, "success": tr') is None


def test_exact_numbers_stay_as_they_were_written() -> None:
    wei = b"100000000000000000000000000000000000001"
    found = cured(b'[{"wei": ' + wei + b', "gas": 1.10e-3}, {"wei": 5')
    assert b'{"wei": ' + wei + b', "gas": 1.10e-3}' in found.content
    assert loads(found.content)[0]["wei"] == int(wei)


def test_a_byte_order_mark_is_taken_off() -> None:
    assert salvage(b'\xef\xbb\xbf{"a": 1}\n') == Salvaged(b'{"a": 1}\n', "byte-order-mark-removed", "")
    assert salvage(b'\xef\xbb\xbf{"a": ') is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(100),
        b'{"a": 1}',
        b'{"a": 1, "a": 2}',
        b'[{"a": NaN}, {"a": 1}, {"b": ',
        b'{"a" 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xe9"}',
        b"[" * 200,
        b'{"a": {}, ' * 70,
        b'{"a": [1, 2}, {"b": [',
        b'[{"a": 1, "a": 2}, {"b": 3}, {"c"',
        b'[{"half": "\\ud800"}, {"b": ',
        b'"text',
        b"12 13",
    ],
)
def test_what_cannot_be_cured_by_itself(data: bytes) -> None:
    assert salvage(data) is None
    if data != b'{"a": 1}':
        with pytest.raises(FlawedJSON):
            loads(data)


def test_a_truncation_inside_a_character_is_no_obstacle() -> None:
    whole = '[{"note": "ja"}, {"note": "é"}]'.encode()
    cut = whole.index(b"\xc3") + 1
    for tail in (b"", bytes(1), bytes(5000)):
        assert loads(cured(whole[:cut] + tail).content) == [{"note": "ja"}]


def test_a_stale_tail_that_stops_inside_a_character_is_no_obstacle() -> None:
    assert cured(b'{"a": 1}"caf\xc3') == Salvaged(b'{"a": 1}', "leading-document", "")
    assert cured(b'{"a": 1}, "caf\xc3' + bytes(9)) == Salvaged(b'{"a": 1}', "leading-document", "")
