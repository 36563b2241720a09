from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank import layout
from memorybank_cli.bank.chain import START, Position, Reading, Tail
from memorybank_cli.bank.framing import Line, unframe
from memorybank_cli.bank.journal import CUT, Entry, Journal
from memorybank_cli.base import digests, files
from memorybank_cli.base.walk import Root
from tests.broken_os import Fault, broken, failing, full_after, one_byte


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    root = Root(tmp_path)
    yield Journal(root, "tester")
    root.close()


def on_disk(journal: Journal) -> dict[str, bytes]:
    folder = Path(journal.root.path) / layout.JOURNAL
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def read(journal: Journal, after: Position = START, mark: tuple[int, str] = (0, "")) -> tuple[list[Line], Reading]:
    *lines, reading = journal.read(after, mark)
    assert isinstance(reading, Reading)
    return [line for line in lines if isinstance(line, Line)], reading


def write(journal: Journal, *ops: str, end: Position = START) -> Position:
    for op in ops:
        _, end = journal.append(end, [[Entry(op, {})]])
    return end


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert journal.segments() == []
    assert read(journal) == ([], Reading(START, (), None))
    assert journal.is_ahead(START)
    assert not journal.is_behind(START)
    assert list(journal.lines()) == []


def test_what_is_appended_is_read_and_says_who_and_when(journal: Journal) -> None:
    lines, end = journal.append(START, [[Entry("a", {"path": "x"}, {"v": 10**20}), Entry("b", {})], [Entry("c", {})]])
    again, reading = read(journal, START, (end.seq, end.hash))
    assert again == lines
    assert reading == Reading(end, (), None)
    assert [line.op for line in lines] == ["a", "b", "c"]
    assert all(line.core["actor"] == "tester" and line.core["ts"].endswith("Z") for line in lines)
    assert all(line.core["key"] is None for line in lines)
    group = lines[0].core["txn"][0]
    assert [line.core.get("txn") for line in lines] == [[group, 0, 2], [group, 1, 2], None]
    assert lines[0].value == {"v": 10**20}
    assert not journal.is_ahead(end)
    assert not journal.is_behind(end)


OPS = st.lists(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), min_size=1, max_size=6)


@given(OPS, st.integers(1, 5), st.integers(200, 3_000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_groups_are_read_back_from_any_position(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, ops: list[list[str]], per: int, size: int
) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", per)
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", size)
    root = Root(tmp_path_factory.mktemp("journal"))
    journal, end, written = Journal(root, ""), START, []
    ends: list[tuple[Position, int]] = [(START, 0)]
    for group in ops:
        lines, end = journal.append(end, [[Entry(op, {}, op * 50) for op in group]])
        written += lines
        ends.append((end, len(written)))
        where = {line.seq: first for first, one in _by_segment(journal).items() for line in one}
        assert len({where[line.seq] for line in lines}) == 1  # a group is never split
    for after, count in ends:
        lines, reading = read(journal, after, (end.seq, end.hash))
        assert lines == written[count:]
        assert reading == Reading(end, (), None)
        assert journal.is_ahead(after) == (count < len(written))
        assert not journal.is_behind(after)
        assert list(journal.lines(after.seq)) == written[count:]
    assert all(len(one) > 0 for one in _by_segment(journal).values())
    root.close()


def _by_segment(journal: Journal) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = {}
    for line in journal.lines():
        first = max(one for one in journal.segments() if one <= line.seq)
        found.setdefault(first, []).append(line)
    return found


def test_a_segment_is_closed_when_it_is_full(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 2)
    end = write(journal, "a", "b", "c", "d", "e")
    assert journal.segments() == [1, 3, 5]
    assert end.segment == 5
    assert [line.op for line in read(journal)[0]] == ["a", "b", "c", "d", "e"]
    assert [line.op for line in journal.lines(3)] == ["d", "e"]
    files.replace(journal.root, f"{layout.JOURNAL}/notes.txt", b"no segment")
    assert journal.segments() == [1, 3, 5]
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 100)
    monkeypatch.setattr(journal_module, "SEGMENT_BYTES", end.offset)
    assert write(journal, "f", end=end).segment == 6


def test_lines_about_a_path_come_newest_first(journal: Journal) -> None:
    end = START
    for number, path in enumerate(["x", "y", "x", 'q"\u00e9'], 1):
        _, end = journal.append(end, [[Entry("file", {"files": [[path, str(number), 0, 0, [], "", None]]})]])
    assert [line.seq for line in journal.lines_about("x")] == [3, 1]
    assert [line.seq for line in journal.lines_about('q"\u00e9')] == [4]
    assert journal.lines_about("z") == []
    Path(journal.root.absolute(layout.segment_file(1))).write_bytes(b'garbage "x"\n')
    assert journal.lines_about("x") == []
    assert list(journal.lines()) == []


FAULTS: dict[str, Callable[[], dict[str, Fault]]] = {
    "write fails": lambda: {"write": failing(errno.EIO)},
    "no room": lambda: {"write": full_after(0)},
    "short write, then no room": lambda: {"write": full_after(1)},
    "no room for the second half": lambda: {"write": full_after(150)},
    "fdatasync fails": lambda: {"fdatasync": failing(errno.EIO)},
    "open fails": lambda: {"open": failing(errno.EMFILE)},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("groups", [1, 3])
def test_a_failed_append_leaves_the_journal_as_it_was(journal: Journal, fault: str, groups: int) -> None:
    end = write(journal, "a", "b")
    before = on_disk(journal)
    journal.close()
    entries = [[Entry("c", {}, "v" * 50), Entry("d", {})]] * groups
    with broken(**FAULTS[fault]()), pytest.raises(OSError, match="Errno"):
        journal.append(end, entries)
    assert on_disk(journal) == before
    assert read(journal)[1] == Reading(end, (), None)
    lines, later = journal.append(end, entries)
    assert read(journal)[0][2:] == lines
    assert read(journal)[1] == Reading(later, (), None)


def test_a_failed_first_append_can_be_done_again(journal: Journal) -> None:
    for fault in ("write fails", "fdatasync fails", "short write, then no room"):
        with broken(**FAULTS[fault]()), pytest.raises(OSError, match="Errno"):
            journal.append(START, [[Entry("a", {})]])
        assert read(journal) == ([], Reading(START, (), None))
    end = write(journal, "a")
    assert read(journal)[1] == Reading(end, (), None)


def test_writes_of_single_bytes_come_to_the_whole(journal: Journal) -> None:
    with broken(write=one_byte) as calls:
        end = write(journal, "a")
    assert calls.calls.count("write") == end.offset
    assert read(journal)[1].end == end


def always(number: int) -> Fault:
    def fault(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fault


def test_where_cutting_back_fails_too_the_tail_is_no_line(journal: Journal) -> None:
    end = write(journal, "a")
    with (
        broken(write=full_after(30), ftruncate=always(errno.EIO)),
        pytest.raises(OSError, match=os.strerror(errno.EIO)),
    ):
        journal.append(end, [[Entry("b", {})]])
    lines, reading = read(journal)
    assert [line.op for line in lines] == ["a"]
    assert reading.tail == Tail(1, end.offset, 30)


def test_unsynced_lines_cost_no_sync(journal: Journal) -> None:
    end = write(journal, "a")
    with broken() as calls:
        _, later = journal.append(end, [[Entry("b", {})]], sync=False)
    assert "fdatasync" not in calls.calls
    with broken() as calls:
        journal.append(later, [[Entry("c", {})]])
    assert calls.calls == ["write", "fdatasync"]  # its descriptor stays open


def test_descriptors_are_those_of_the_files_that_stand(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 1)
    end = write(journal, "a")
    fd = journal.tip.descriptor(1)
    assert journal.tip.descriptor(1) == journal.tip.current(1) == fd
    path = Path(journal.root.absolute(layout.segment_file(1)))
    path.rename(path.with_name("away"))
    with pytest.raises(FileNotFoundError):
        journal.tip.descriptor(1, create=False)
    path.write_bytes(path.with_name("away").read_bytes())
    assert journal.tip.descriptor(1) != fd
    for _ in range(3):
        _, end = journal.append(end, [[Entry("b", {})]])
    assert [first for first, _ in journal.tip._open] == journal.segments()[-2:]  # a thread may be syncing the first one
    journal.close()
    journal.close()


def test_a_tail_is_cut_and_the_cut_is_an_entry(journal: Journal) -> None:
    end = write(journal, "a", "b")
    path = Path(journal.root.absolute(layout.segment_file(1)))
    tail = b'{"core":{"seq":3' + bytes(300)
    path.write_bytes(path.read_bytes() + tail)
    assert journal.is_ahead(end)
    reading = read(journal)[1]
    assert reading == Reading(end, (), Tail(1, end.offset, len(tail)))
    assert reading.tail is not None
    entry = journal.cut(reading.tail, end)
    assert entry.op == CUT
    assert entry.fields == {
        "segment": layout.segment_file(1),
        "offset": end.offset,
        "bytes": len(tail),
        "sha256": digests.of(tail),
        "after_seq": 2,
    }
    lines, later = journal.append(end, [[entry], [Entry("c", {})]])
    assert read(journal) == ([*read(journal)[0][:2], *lines], Reading(later, (), None))


def test_a_journal_that_became_shorter_is_behind(journal: Journal) -> None:
    first = write(journal, "a")
    end = write(journal, "b", end=first)
    path = Path(journal.root.absolute(layout.segment_file(1)))
    os.truncate(path, first.offset)
    assert journal.is_behind(end)
    assert not journal.is_behind(first)
    path.unlink()
    assert journal.is_behind(first)
    assert list(journal.raw_lines(1, 0)) == []


def test_a_seq_that_is_given_is_taken(journal: Journal) -> None:
    end = write(journal, "a")
    lines, end = journal.append(end._replace(segment=0, offset=0, seq=9), [[Entry("journal.gap", {"seq": 10})]])
    assert [line.seq for line in lines] == [10]
    assert "seq" in lines[0].core
    assert journal.segments() == [1, 10]
    assert end == Position(10, lines[0].hash, 10, end.offset)


def test_a_line_that_is_being_written_ends_the_reading(journal: Journal) -> None:
    """Its rest, and what follows it, may appear while the file is read: that must not look like damage."""
    write(journal, "a", "b")
    path = journal.root.absolute(layout.segment_file(1))
    whole = Path(path).read_bytes()
    half = whole.index(b"\n") + 40
    Path(path).write_bytes(whole[:half])
    lines = journal.raw_lines(1, 0)
    assert next(lines) == whole[: whole.index(b"\n") + 1]
    assert next(lines) == whole[whole.index(b"\n") + 1 : half]
    with open(path, "ab") as file:
        file.write(whole[half:])
    assert list(lines) == []


def test_only_lines_with_a_text_are_looked_at(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size, up to any end; a block ends where a line does."""
    write(journal, "a", "bb", "c", "bb", "d")
    whole = Path(journal.root.absolute(layout.segment_file(1))).read_bytes()
    lines = whole.splitlines(keepends=True)
    for size in (1, 7, 200, 1 << 20):
        monkeypatch.setattr(journal_module, "READ_BYTES", size)
        assert list(journal.raw_lines(1, 0)) == lines
        assert list(journal.raw_lines(1, 0, (b'"bb"',))) == [lines[1], lines[3]]
        assert list(journal.raw_lines(1, len(lines[0]), (b'"bb"', b'"a"'))) == [lines[1], lines[3]]
        end = len(b"".join(lines[:3]))
        assert list(journal.raw_lines(1, 0, (b'"bb"',), end)) == [lines[1]]
        assert list(journal.raw_lines(1, 0, end=end)) == lines[:3]
        assert [line.op for line in journal.lines(0, (b'"d"',))] == ["d"]


# From any line on


def long(journal: Journal, count: int = 300) -> list[Line]:
    """Lines of some 2 kB in three segments."""
    lines: list[Line] = []
    end = START
    for start in range(0, count, 10):
        group = [Entry("even" if number % 2 else "odd", {"text": "x" * 2_000}) for number in range(start, start + 10)]
        written, end = journal.append(end, [group])
        lines += written
    return lines


@pytest.mark.parametrize("near", [100, 5_000, 20_000, 1 << 16])
def test_lines_from_any_line_on(journal: Journal, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "NEAR", near)
    monkeypatch.setattr(journal_module, "SEGMENT_LINES", 100)
    lines = long(journal)
    assert len(journal.segments()) == 3
    for after in (0, 1, 2, 57, 99, 100, 101, 150, 298, 299, 300, 301):
        assert [line.seq for line in journal.lines(after)] == [line.seq for line in lines if line.seq > after]


def test_only_what_lies_near_is_read(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    long(journal)
    parsed: list[bytes] = []

    def counted(raw: bytes) -> tuple[Line, bytes] | None:
        parsed.append(raw)
        return unframe(raw)

    monkeypatch.setattr(journal_module, "unframe", counted)
    assert [line.seq for line in journal.lines(290)] == list(range(291, 301))
    assert len(parsed) < 60
    parsed.clear()
    assert [line.seq for line in journal.lines(0, (b'"seq":17,', b'"seq":44,'))] == [17, 44]
    assert len(parsed) == 2
    parsed.clear()
    assert [line.seq for line in journal.lines(200, ops={b"odd"})] == list(range(201, 301, 2))
    assert len(parsed) < 80  # and a few in the search for the first
    assert list(journal.lines(ops=set())) == []


def test_an_operation_is_found_whoever_did_it_and_however_it_is_written(journal: Journal) -> None:
    entries = [Entry("wanted", {"text": '"op":"other"'}), Entry('qu"oted', {}), Entry("other", {})]
    _, end = journal.append(START, [entries])
    Journal(journal.root, 'with "op":"other", \\').append(end, [[Entry("wanted", {})], [Entry("other", {})]])
    assert [line.seq for line in journal.lines(ops={b"wanted"})] == [1, 2, 4]  # the second cannot be told unparsed


@pytest.mark.parametrize("place", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("size", [10, 200_000])
def test_damage_on_the_way_hides_no_line(journal: Journal, place: float, size: int) -> None:
    long(journal)
    [path] = (Path(journal.root.path) / layout.JOURNAL).iterdir()
    data = path.read_bytes()
    cut = int(len(data) * place)
    path.write_bytes(data[:cut] + b"?" * size + data[cut + size :])
    whole = [line.seq for line in journal.lines()]
    assert size == 10 or len(whole) < 300
    for after in range(0, 301, 25):
        assert [line.seq for line in journal.lines(after)] == [seq for seq in whole if seq > after]


def test_a_segment_that_went_away_meanwhile(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "segments", lambda: [1])
    assert list(journal.lines(5)) == []


def test_a_segment_that_a_crash_left_empty_is_the_next_one(journal: Journal) -> None:
    end = write(journal, "a", "b")
    (Path(journal.root.path) / layout.segment_file(3)).touch()
    assert read(journal) == (list(journal.lines()), Reading(end, (), None))
    end = write(journal, "c", "d", end=end)
    assert [line.op for line in journal.lines(2)] == ["c", "d"]
    assert end.segment == 3
    journal.closes = True
    end = write(journal, "e", end=end)
    assert (end.segment, journal.closes) == (5, False)
    assert read(journal)[1] == Reading(end, (), None)
