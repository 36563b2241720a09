from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import versions
from memorybank_cli.bank.chain import START
from memorybank_cli.bank.framing import GENESIS, Line, frame
from memorybank_cli.bank.journal import Entry, Journal
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.walk import Root


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    root = Root(tmp_path)
    yield Journal(root, "tester")
    root.close()


def rows(contents: dict[str, bytes]) -> list[list[Any]]:
    return [list(FileRow(path, digests.of(data), len(data), 0o600, [], "", None)) for path, data in contents.items()]


def recorded(contents: dict[str, bytes], kept: list[bytes | None]) -> Line:
    return frame(GENESIS, {"seq": 1, "op": "file.adopted", "files": rows(contents)}, dumps(versions.pack(kept)))[1]


@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans()), max_size=6))
def test_what_is_kept_is_had_back(files: list[tuple[bytes, bool]]) -> None:
    contents = {str(index): data for index, (data, _) in enumerate(files)}
    line = recorded(contents, [data if keep else None for data, keep in files])
    assert versions.unpack(line) == {str(index): data for index, (data, keep) in enumerate(files) if keep}


def test_large_contents_are_not_kept() -> None:
    large, small = b"x" * (versions.LARGEST + 1), b"y" * versions.LARGEST
    assert versions.pack([large]) is None
    assert versions.pack([None]) is None
    assert versions.pack([]) is None
    assert versions.unpack(recorded({"a": large, "b": small}, [large, small])) == {"b": small}


def test_what_does_not_have_the_recorded_digest_is_left_out() -> None:
    assert versions.unpack(recorded({"a": b"12", "b": b"34"}, [b"xx", b"34"])) == {"b": b"34"}


def test_lines_without_versions() -> None:
    bare = frame(GENESIS, {"seq": 1, "op": "x", "files": []})[1]
    assert versions.unpack(bare) == {}
    assert versions.unpack(frame(GENESIS, {"seq": 1, "op": "x"}, b'["data"]')[1]) == {}
    assert versions.unpack(frame(GENESIS, {"seq": 1, "op": "x"}, b'{"other":1}')[1]) == {}
    line = recorded({"a": b"1"}, [b"1"])
    assert versions.unpack(line._replace(data=None)) == {}


def test_a_version_is_found_at_its_line_or_anywhere(journal: Journal) -> None:
    end = START
    for data, keep in ((b"one", True), (b"two", False), (b"three", True), (b"one", False)):
        packed = versions.pack([data if keep else None])
        _, end = journal.append(end, [[Entry("file.adopted", {"files": rows({"a": data})}, packed)]])
    _, end = journal.append(end, [[Entry("other", {"note": "a"})]])
    assert versions.find(journal, "a", digests.of(b"one"), 1) == b"one"
    assert versions.find(journal, "a", digests.of(b"one"), 4) == b"one"
    assert versions.find(journal, "a", digests.of(b"one"), 99) == b"one"
    assert versions.find(journal, "a", digests.of(b"three")) == b"three"
    assert versions.find(journal, "a", digests.of(b"two"), 2) is None
    assert versions.find(journal, "b", digests.of(b"one")) is None
    assert [(line.seq, row.after) for line, row in versions.history(journal, "a")] == [
        (seq, digests.of(data)) for seq, data in ((4, b"one"), (3, b"three"), (2, b"two"), (1, b"one"))
    ]
    assert versions.history(journal, "b") == []
