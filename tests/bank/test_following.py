"""What others appended, followed lightly: the same end and the same records as a full reading, or nothing at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import following, layout
from memorybank_cli.bank.chain import START, Position
from memorybank_cli.bank.following import Told, follow
from memorybank_cli.bank.journal import Entry, Journal
from memorybank_cli.base import files
from memorybank_cli.base.walk import Root


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    root = Root(tmp_path)
    files.make_dirs(root, layout.PRIVATE)
    made = Journal(root, 'na"me\\')
    yield made
    made.close()
    root.close()


def message(record: str, content: str = "text", **more: object) -> Entry:
    value = {"id": record, "role": "user", "content": content, "timestamp": "2026-01-01T00:00:00.000000Z", **more}
    return Entry("record.stored", {"account": "a", "kind": "message", "record": record}, value)


def begun(journal: Journal) -> Position:
    return journal.append(START, [[Entry("first", {})]])[1]


def told(journal: Journal, end: Position) -> list[Told] | None:
    found = follow(journal.tip.descriptor(end.segment), end)
    return None if found is None else found.told


def test_lines_are_followed_to_the_end(journal: Journal) -> None:
    start = begun(journal)
    other = Entry("files.rendered", {"account": "b", "upto": 1, "files": [["p", "f" * 64, 1, 2, [], "k", None]]})
    groups = [[message("m1")], [message("m2"), message("m3")], [other], [Entry("checkpoint", {"upto": [1, "x"]})]]
    _, end = journal.append(start, groups)
    found = follow(journal.tip.descriptor(1), start)
    assert found is not None
    assert found.end == end
    moment = "2026-01-01T00:00:00.000000Z"
    assert [one._replace(line=b"") for one in found.told[:3]] == [
        Told(2, "record.stored", "a", "m1", "message", moment, b""),
        Told(3, "record.stored", "a", "m2", "message", moment, b""),
        Told(4, "record.stored", "a", "m3", "message", moment, b""),
    ]
    assert [(one.op, one.account) for one in found.told[3:]] == [("files.rendered", "b"), ("checkpoint", "")]
    assert told(journal, end) == []


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ['","timestamp":"no', "},\\", '{"core":{"seq":1', '"record":"x"', "\n", "\\\\"]
)


@given(records=st.lists(st.tuples(TEXTS.filter(bool), TEXTS), min_size=1, max_size=5))
def test_whatever_is_said_is_told_as_it_was_stored(records: list[tuple[str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        root = Root(place)
        files.make_dirs(root, layout.PRIVATE)
        made = Journal(root, "me")
        start = begun(made)
        metadata = {"timestamp": "not this one"}
        lines, end = made.append(start, [[message(one, text, metadata=metadata) for one, text in records]])
        found = follow(made.tip.descriptor(1), start)
        assert found is not None
        assert found.end == end
        assert [one._replace(line=one.whole() or b"") for one in found.told] == [following.told(line) for line in lines]
        assert [one.record for one in found.told] == [one for one, _ in records]
        assert {one.time for one in found.told} == {"2026-01-01T00:00:00.000000Z"}
        made.close()
        root.close()


def test_a_line_whose_content_was_dropped_has_no_time(journal: Journal) -> None:
    start = begun(journal)
    journal.append(start, [[Entry("record.stored", {"account": "a", "kind": "message", "record": "m"})]])
    found = told(journal, start)
    assert found is not None
    assert found[0]._replace(line=b"") == Told(2, "record.stored", "a", "m", "message", "", b"")


def cut_line(data: bytes) -> bytes:
    return data[:-3]


def cut_group(data: bytes) -> bytes:
    return data[: data.rindex(b"\n", 0, -1) + 1]


def begun_within_a_group(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return lines[0] + b"".join(lines[2:])


def changed(data: bytes) -> bytes:
    return data.replace(b'"record":"m2"', b'"record":"m9"')


def shorter(data: bytes) -> bytes:
    return data[:10]


def garbage(data: bytes) -> bytes:
    return data + b"garbage\n"


@pytest.mark.parametrize("damage", [cut_line, cut_group, begun_within_a_group, changed, shorter, garbage])
def test_what_is_not_plain_is_left_to_the_full_reading(journal: Journal, tmp_path: Path, damage: object) -> None:
    start = begun(journal)
    journal.append(start, [[message("m1"), message("m2"), message("m3")]])
    file = tmp_path / layout.segment_file(1)
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    assert told(journal, start) is None


def test_too_much_at_once_is_left_to_the_full_reading(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    start = begun(journal)
    _, end = journal.append(start, [[message("m1")]])
    monkeypatch.setattr(following, "MOST_BYTES", end.offset - start.offset - 1)
    assert told(journal, start) is None
    assert os.fstat(journal.tip.descriptor(1)).st_size == end.offset
