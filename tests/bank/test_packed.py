"""Compressed segments of the journal: the same lines at the same places, from wherever they are read."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank import layout, packed
from memorybank_cli.bank.chain import START, Position, Reading
from memorybank_cli.bank.framing import Line, stripped, unframe
from memorybank_cli.bank.journal import Entry, Journal
from memorybank_cli.base.walk import Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / layout.JOURNAL).mkdir(parents=True)
    made = Root(tmp_path)
    yield made
    made.close()


def lines_of(root: Root, path: str, offset: int) -> Iterator[bytes]:
    return (line for block in packed.blocks(root, path, offset) for line in io.BytesIO(block))


LINES = st.lists(st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"\r") + b"\n"), max_size=40)


@given(LINES, st.integers(1, 200), st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lines_come_back_from_any_offset(
    root: Root, monkeypatch: pytest.MonkeyPatch, lines: list[bytes], size: int, data: st.DataObject
) -> None:
    monkeypatch.setattr(packed, "PIECE_BYTES", size)
    path = Path(root.path) / "x.zst"
    path.write_bytes(b"".join(packed.pack(enumerate(lines, 1))))
    whole = b"".join(lines)
    assert packed.size(root, "x.zst") == len(whole)
    assert b"".join(lines_of(root, "x.zst", 0)) == whole
    assert list(lines_of(root, "x.zst", 0)) == lines
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert b"".join(lines_of(root, "x.zst", start)) == whole[start:]
    assert packed.ending(root, "x.zst", start, stop) == whole[start:stop]
    seq = data.draw(st.integers(0, len(lines) + 1))
    place = packed.before(root, "x.zst", seq)
    first = whole[:place].count(b"\n") + 1
    assert first <= max(seq, 1)
    with path.open("rb") as file:
        assert zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read() == whole


@pytest.fixture
def damaged(root: Root, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[bytes]]:
    monkeypatch.setattr(packed, "PIECE_BYTES", 400)
    lines = [b'{"core":{"seq":%d,"text":"%s"}}\n' % (number, os.urandom(20).hex().encode()) for number in range(1, 41)]
    path = Path(root.path) / "x.zst"
    path.write_bytes(b"".join(packed.pack(enumerate(lines, 1))))
    return path, lines


def test_every_flipped_byte_leaves_the_other_pieces_in_their_place(
    root: Root, damaged: tuple[Path, list[bytes]]
) -> None:
    path, lines = damaged
    data = path.read_bytes()
    with path.open("rb") as file:
        pieces = packed.pieces(file.fileno())
    numbers = {place for one in pieces for place in range(one.place - 16, one.place - 8)}  # seqs: only hints
    for index in range(0, len(data), 7):
        path.write_bytes(data[:index] + bytes([data[index] ^ 0xFF]) + data[index + 1 :])
        found = list(lines_of(root, "x.zst", 0))
        assert all(raw in lines or not raw.strip(b"\0\n") for raw in found)
        assert (found == lines) == (index in numbers)
        assert found[: len(lines)] == lines or lines[0] in found or index < pieces[1].place


def test_a_damaged_piece_is_one_line_of_nuls(root: Root, damaged: tuple[Path, list[bytes]]) -> None:
    path, lines = damaged
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        pieces = packed.pieces(file.fileno())
    assert len(pieces) > 3
    data[pieces[1].place + pieces[1].size // 2] ^= 1
    path.write_bytes(data)
    found = list(lines_of(root, "x.zst", 0))
    [lost] = [raw for raw in found if raw not in lines]
    assert lost == bytes(pieces[1].length - 1) + b"\n"
    assert sum(map(len, found)) == len(b"".join(lines))
    assert packed.ending(root, "x.zst", pieces[1].start, pieces[2].start) == bytes(pieces[1].length)


@pytest.mark.parametrize("cut", [1, 5, 23, 30])
def test_what_is_cut_off_is_seen(root: Root, damaged: tuple[Path, list[bytes]], cut: int) -> None:
    path, lines = damaged
    path.write_bytes(path.read_bytes()[:-cut])
    found = list(lines_of(root, "x.zst", 0))
    assert found[-1] == b"\0\n"
    assert found[:-1] == lines[: len(found) - 1]


def test_a_length_that_cannot_be_is_not_believed(root: Root, damaged: tuple[Path, list[bytes]]) -> None:
    path, _ = damaged
    path.write_bytes(path.read_bytes()[:20] + b"\xff\xff\xff\xff" + path.read_bytes()[24:])
    assert list(lines_of(root, "x.zst", 0)) == [b"\0\n"]


def test_what_is_not_there(root: Root) -> None:
    assert list(lines_of(root, "x.zst", 0)) == []
    assert packed.size(root, "x.zst") is None
    assert packed.before(root, "x.zst", 5) == 0
    assert packed.ending(root, "x.zst", 0, 5) == b""


def test_one_that_may_not_be_read_is_no_end(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: str) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr(root, "open", refused)
    with pytest.raises(PermissionError):
        list(lines_of(root, "x.zst", 0))


# The journal over them


@pytest.fixture
def journal(root: Root, monkeypatch: pytest.MonkeyPatch) -> tuple[Journal, Position, list[Line]]:
    """Thirty lines in segments of seven, of which all but the last two are compressed."""
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 7)
    made, end, written = Journal(root, "tester"), START, []
    for number in range(30):
        lines, end = made.append(end, [[Entry("a", {"path": f"p{number % 3}"}, {"text": f"value {number}"})]])
        written += lines
    for first in made.segments()[:-2]:
        pack(made, first)
    return made, end, written


def pack(journal: Journal, first: int, drop: bool = False) -> None:
    plain = Path(journal.root.path) / layout.segment_file(first)
    raw = [stripped(line) if drop else line for line in io.BytesIO(plain.read_bytes())]
    found = [unframe(line) for line in raw]
    assert all(found)
    numbered = ((one[0].seq, line) for one, line in zip(found, raw, strict=True) if one)
    plain.with_name(f"{plain.name}.zst").write_bytes(b"".join(packed.pack(numbered)))
    plain.unlink()


def test_everything_is_read_as_before(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, end, written = journal
    assert [made.is_packed(first) for first in made.segments()] == [True, True, True, False, False]
    *lines, reading = made.read(START, (end.seq, end.hash))
    assert lines == written
    assert reading == Reading(end, (), None)
    for after in range(31):
        assert list(made.lines(after)) == written[after:]
    assert list(made.newest_first(b'"p1"')) == [line for line in written if line.core["path"] == "p1"][::-1]
    assert made.lines_about("p2") == [line for line in written if line.core["path"] == "p2"][::-1]
    assert [seq for seq, _ in made.times()] == list(range(1, 31))
    assert not made.is_ahead(end)


def test_every_position_is_known_as_before(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 7)
    made, end, places = Journal(root, ""), START, []
    for _ in range(30):
        _, end = made.append(end, [[Entry("a", {}, {"x": 1})]])
        places.append((end, made.ending(end)))
    for first in made.segments()[:-1]:
        pack(made, first)
    for position, ending in places:
        assert made.ending(position) == ending
        assert not made.is_behind(position)
        *lines, reading = made.read(position)
        assert [line.seq for line in lines if isinstance(line, Line)] == list(range(position.seq + 1, 31))
        assert reading == Reading(end, (), None)
    assert made.is_behind(places[3][0]._replace(offset=1 << 30))
    assert made.is_behind(places[3][0]._replace(segment=3))


def test_dropped_data_leaves_the_chain_proved(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, end, written = journal
    pack(made, made.segments()[-2], drop=True)
    *lines, reading = made.read(START, (end.seq, end.hash))
    assert reading == Reading(end, (), None)
    assert [line.hash for line in lines if isinstance(line, Line)] == [line.hash for line in written]
    assert [line.data is None for line in lines if isinstance(line, Line)] == [21 < n <= 28 for n in range(1, 31)]


def test_a_damaged_piece_is_a_break_and_the_rest_is_served(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, end, _ = journal
    path = Path(made.root.path) / layout.packed_segment(8)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    *lines, reading = made.read(START, (end.seq, end.hash))
    assert isinstance(reading, Reading)
    assert [one.rule for one in reading.breaks] == ["MB120"]
    assert reading.end == end
    seqs = [line.seq for line in lines if isinstance(line, Line)]
    assert seqs == [*range(1, 8), *range(15, 31)]
    assert [line.seq for line in made.lines(5)] == [6, 7, *range(15, 31)]


def test_a_lost_active_segment_is_seen_without_a_mark(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, _, _ = journal
    for first in made.segments()[-2:]:
        (Path(made.root.path) / layout.segment_file(first)).unlink()
    *_, reading = made.read(START)
    assert isinstance(reading, Reading)
    assert [one.rule for one in reading.breaks] == ["MB121"]
    assert reading.end.seq == 21


def test_a_damaged_last_segment_is_a_break_and_no_tail(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, _, _ = journal
    for first in made.segments()[-2:]:
        (Path(made.root.path) / layout.segment_file(first)).unlink()
    path = Path(made.root.path) / layout.packed_segment(15)
    path.write_bytes(path.read_bytes()[:-5])
    *_, reading = made.read(START)
    assert isinstance(reading, Reading)
    assert reading.tail is None
    assert reading.end.seq == 14
    assert {one.rule for one in reading.breaks} == {"MB120"}


def test_where_both_stand_the_plain_one_counts(journal: tuple[Journal, Position, list[Line]]) -> None:
    made, _, written = journal
    first = made.segments()[-2]
    plain = Path(made.root.path) / layout.segment_file(first)
    data = plain.read_bytes()
    pack(made, first, drop=True)
    plain.write_bytes(data)
    assert not made.is_packed(first)
    assert list(made.lines()) == written
