"""Segments: where a history is cut, and that index and segments read back as they were written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.segments import (
    LARGEST,
    MOST,
    full,
    index_text,
    parse_index,
    parse_segment,
    seal,
)
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import dumps, loads

SIZES = st.lists(st.integers(1, 2 * LARGEST) | st.integers(1, 400), max_size=60)


def message(position: int, **fields: Any) -> dict[str, Any]:
    found = {"id": f"m{position}", "seq": position, "role": "user", "content": "x"}
    return {**found, "timestamp": "2026-11-20T14:00:00.000000Z", "metadata": {}, **fields}


def texts(messages: list[dict[str, Any]]) -> list[bytes]:
    return [dumps(one) for one in messages]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ([], 0),
        ([1] * (MOST - 1), 0),
        ([1] * MOST, MOST),
        ([1] * (3 * MOST), MOST),
        ([LARGEST - 1], 0),
        ([LARGEST], 1),
        ([LARGEST - 1, 1], 2),
        ([LARGEST - 1, 2], 1),
        ([5, 3 * LARGEST], 1),
        ([3 * LARGEST, 5], 1),
    ],
)
def test_where_a_segment_ends(sizes: list[int], count: int) -> None:
    assert full(sizes) == count


@given(SIZES, SIZES)
def test_what_comes_later_does_not_move_a_cut(sizes: list[int], later: list[int]) -> None:
    count = full(sizes)
    if count:
        assert full(sizes + later) == count
        assert count == 1 or sum(sizes[:count]) <= LARGEST


def test_a_segment_and_its_index_read_back() -> None:
    messages = [message(7), message(8, metadata={"wei": 10**30}), message(9, content="line\nbreak \u2028")]
    segment, data = seal("a", texts(messages), messages[0], messages[-1])
    assert (segment.first, segment.length, segment.last, segment.first_id, segment.last_id) == (7, 3, 9, "m7", "m9")
    assert segment.sha256 == digests.of(data)
    assert parse_segment(data) == (segment, messages)
    index = index_text("a", [segment])
    assert parse_index(index) == [segment]
    assert loads(index)["segments"][0]["file"] == "000000000007.json"
    registry = Registry()
    assert registry.misfits("history_segment", loads(data), 5) == []
    assert registry.misfits("history_index", loads(index), 5) == []
    assert registry.misfits("history_index", loads(index_text("a", [])), 5) == []
    assert data.count(b"\n") == 2 + len(messages) + 5


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"first": 1, "count": 0, "messages": []}', b'{"first": 1, "count": 1, "messages": [1]}'],
)
def test_what_is_no_segment(data: bytes) -> None:
    with pytest.raises(ValueError, match="no segment"):
        parse_segment(data)


@pytest.mark.parametrize("seqs", [(1, 3), (2, 3), (1, 1)])
def test_a_segment_whose_order_is_broken(seqs: tuple[int, int]) -> None:
    messages = [message(1, seq=seqs[0]), message(2, seq=seqs[1])]
    value = {"account_id": "a", "first": 1, "count": 2, "messages": messages}
    with pytest.raises(ValueError, match="order is broken"):
        parse_segment(dumps(value))


@pytest.mark.parametrize(
    "change",
    [
        {"first": "../../x"},
        {"first": 1.5},
        {"first": -5},
        {"first": 10**12},
        {"count": "9"},
        {"count": True},
        {"sha256": 5},
    ],
)
def test_what_is_no_index(change: dict[str, Any]) -> None:
    segment, _ = seal("a", texts([message(1)]), message(1), message(1))
    (row,) = loads(index_text("a", [segment]))["segments"]
    with pytest.raises(ValueError, match="no index"):
        parse_index(dumps({"segments": [{**row, **change}]}))
