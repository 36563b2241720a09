from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import layout
from memorybank_cli.bank.chain import CHECKPOINT, GAP, START, Break, Position, Reader, Reading, Tail
from memorybank_cli.bank.framing import GENESIS, Line, frame
from memorybank_cli.bank.journal import Entry, Journal
from memorybank_cli.base import files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.walk import Root

NO_MARK = (0, "")


class Memory:
    """Segments in memory: bytes by first seq."""

    def __init__(self, content: dict[int, bytes], packed: tuple[int, ...] = ()) -> None:
        self.content, self.packed = content, packed

    def segments(self) -> list[int]:
        return sorted(self.content)

    def is_packed(self, first: int) -> bool:
        return first in self.packed

    def raw_lines(self, first: int, offset: int) -> Iterator[bytes]:
        yield from self.content[first][offset:].splitlines(keepends=True)


class Writer:
    """Makes chained lines."""

    def __init__(self, seq: int = 0, digest: str = GENESIS) -> None:
        self.seq, self.digest, self.groups = seq, digest, 0
        self.lines: list[Line] = []

    def line(self, op: str = "x", value: Any = None, **fields: Any) -> bytes:
        self.seq = fields.pop("seq", self.seq + 1)
        raw, line = frame(self.digest, {"seq": self.seq, "op": op, **fields}, None if value is None else dumps(value))
        self.digest = line.hash
        self.lines.append(line)
        return raw

    def group(self, size: int) -> list[bytes]:
        self.groups += 1
        return [self.line("g", index, txn=[f"t{self.groups}", index, size]) for index in range(size)]

    @property
    def mark(self) -> tuple[int, str]:
        return self.seq, self.digest


def read(
    content: dict[int, bytes], mark: tuple[int, str] = NO_MARK, after: Position = START
) -> tuple[list[int], Reading]:
    """Seqs that were served, and the reading."""
    items = list(Reader(Memory(content), after, mark).run())
    reading = items.pop()
    assert isinstance(reading, Reading)
    seqs = [item.seq for item in items if isinstance(item, Line)]
    assert len(seqs) == len(items)
    return seqs, reading


@cache
def sample(checkpoint: bool) -> tuple[tuple[bytes, ...], tuple[int, str]]:
    """Two lines, a group of three, perhaps a checkpoint, one line; and the mark of the end."""
    one = Writer()
    raws = [one.line(), one.line("y", {"a": 1}), *one.group(3)]
    if checkpoint:
        raws.append(one.line(CHECKPOINT, upto=list(one.mark)))
    raws.append(one.line())
    return tuple(raws), one.mark


def test_an_empty_journal() -> None:
    assert read({}) == ([], Reading(START, (), None))
    assert read({1: b""}) == ([], Reading(START, (), None))


def test_a_whole_journal_is_read_from_any_place() -> None:
    raws, mark = sample(checkpoint=True)
    whole = b"".join(raws)
    seqs, reading = read({1: whole}, mark)
    assert seqs == [1, 2, 3, 4, 5, 6, 7]
    assert reading == Reading(Position(7, mark[1], 1, len(whole)), (), None)
    first = Writer()
    first.line()
    after = Position(1, first.digest, 1, len(raws[0]))
    assert after.hash != mark[1]
    writer = Writer()
    begin = writer.line()
    rest = writer.line()
    seqs, reading = read({1: begin + rest}, NO_MARK, Position(1, writer.lines[0].hash, 1, len(begin)))
    assert seqs == [2]
    assert reading.end.offset == len(begin + rest)


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.no_cover
def test_every_flipped_bit_is_noticed_where_the_end_is_vouched_for(checkpoint: bool) -> None:
    raws, mark = sample(checkpoint)
    whole = b"".join(raws)
    for place in range(len(whole)):
        for bit in range(8):
            data = bytearray(whole)
            data[place] ^= 1 << bit
            seqs, reading = read({1: bytes(data)}, mark)
            assert reading.breaks, (place, bit)
            assert reading.tail is None
            assert {one.rule for one in reading.breaks} <= {"MB120", "MB121"}
            assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("checkpoint", [False, True])
def test_every_flipped_bit_is_noticed_or_leaves_a_tail_where_nothing_vouches(checkpoint: bool) -> None:
    raws, _ = sample(checkpoint)
    whole = b"".join(raws)
    vouched = whole.rindex(raws[-1]) if checkpoint else 0
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << (place % 8)
        seqs, reading = read({1: bytes(data)})
        assert bool(reading.breaks) != bool(reading.tail)
        if reading.tail is None:
            assert place < vouched
        else:
            assert reading.tail.offset <= place
            assert reading.tail.offset + reading.tail.size == len(data)
            assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("checkpoint", [False, True])
def test_every_truncation(checkpoint: bool) -> None:
    raws, mark = sample(checkpoint)
    whole = b"".join(raws)
    ends = [0]
    for raw in raws:
        ends.append(ends[-1] + len(raw))
    group_ends = [end for index, end in enumerate(ends) if index not in {3, 4}]
    for size in range(len(whole)):
        seqs, reading = read({1: whole[:size]})
        kept = max(end for end in group_ends if end <= size)
        assert len(seqs) == ends.index(kept)
        assert not reading.breaks
        assert reading.tail == (Tail(1, kept, size - kept) if size > kept else None)
        assert reading.end.offset == kept
        _, vouched = read({1: whole[:size]}, mark)
        assert {one.rule for one in vouched.breaks} == {"MB121" if size == kept else "MB120"}
        assert vouched.tail is None


@pytest.mark.parametrize("damaged", range(8))
def test_what_follows_a_damaged_line_is_served(damaged: int) -> None:
    writer = Writer()
    raws = [writer.line(), writer.line(), *writer.group(3), writer.line(), writer.line(CHECKPOINT), writer.line()]
    raws[damaged] = b"garbage" + raws[damaged]
    seqs, reading = read({1: b"".join(raws)}, writer.mark)
    lost = {damaged + 1} | ({one for one in (3, 4, 5) if one <= damaged + 1} if damaged in {2, 3, 4} else set())
    assert seqs == [seq for seq in range(1, 9) if seq not in lost]
    assert {one.rule for one in reading.breaks} == {"MB120"}
    assert reading.breaks[0].after == min(lost) - 1
    assert reading.end.seq == (8 if damaged < 7 else 7)


def test_a_line_that_was_taken_out_is_a_break_and_the_rest_is_served() -> None:
    raws, mark = sample(checkpoint=True)
    seqs, reading = read({1: b"".join([raws[0], *raws[2:]])}, mark)
    # The line after the missing one is not proved either, and the group that it began goes with it.
    assert seqs == [1, 6, 7]
    assert (reading.breaks[0].rule, reading.breaks[0].after) == ("MB120", 1)


def test_a_line_that_was_rewritten_is_a_break() -> None:
    raws, mark = sample(checkpoint=True)
    forged = Writer()
    forged.line()
    other = forged.line("forged")
    seqs, reading = read({1: b"".join([raws[0], other, *raws[2:]])}, mark)
    assert (reading.breaks[0].rule, reading.breaks[0].after) == ("MB120", 2)
    assert seqs == [1, 2, 6, 7]


def test_a_journal_rewritten_from_end_to_end_contradicts_the_mark() -> None:
    raws, mark = sample(checkpoint=False)
    forged = Writer()
    whole = b"".join(forged.line("forged") for _ in raws)
    seqs, reading = read({1: whole}, mark)
    assert len(seqs) == len(raws)
    assert [one.rule for one in reading.breaks] == ["MB120"]
    assert "not the one acknowledged" in reading.breaks[0].reason


def segments(writer: Writer, *sizes: int) -> dict[int, bytes]:
    content = {}
    for size in sizes:
        first = writer.seq + 1
        content[first] = b"".join(writer.line() for _ in range(size))
    return content


def test_lines_run_on_over_segments() -> None:
    writer = Writer()
    content = segments(writer, 2, 3, 1)
    seqs, reading = read(content, writer.mark)
    assert seqs == [1, 2, 3, 4, 5, 6]
    assert reading == Reading(Position(6, writer.digest, 6, len(content[6])), (), None)
    seqs, _ = read(content, writer.mark, Position(2, writer.lines[1].hash, 1, len(content[1])))
    assert seqs == [3, 4, 5, 6]


@pytest.mark.parametrize("mark", [True, False])
def test_a_middle_segment_that_is_gone_is_a_break(mark: bool) -> None:
    writer = Writer()
    content = segments(writer, 2, 3, 4)
    del content[3]
    seqs, reading = read(content, writer.mark if mark else NO_MARK)
    if mark:
        assert seqs == [1, 2, 7, 8, 9]
        assert [(one.rule, one.after) for one in reading.breaks] == [("MB120", 2)]
    else:
        assert reading.breaks or reading.tail


def test_a_packed_segment_was_closed_so_lines_came_after_it() -> None:
    writer = Writer()
    first = [writer.line(), writer.line()]
    content = {1: b"".join(first), 3: writer.line()}
    *_, whole = Reader(Memory(content, packed=(1,)), START, NO_MARK).run()
    assert isinstance(whole, Reading)
    assert whole.breaks == ()
    *_, reading = Reader(Memory({1: content[1]}, packed=(1,)), START, NO_MARK).run()
    assert isinstance(reading, Reading)
    assert [one.rule for one in reading.breaks] == ["MB121"]
    *_, reading = Reader(Memory({1: content[1][:-9]}, packed=(1,)), START, NO_MARK).run()
    assert isinstance(reading, Reading)
    assert (reading.tail, [one.rule for one in reading.breaks][:1]) == (None, ["MB120"])


def test_the_last_segment_that_is_gone_is_known_by_the_mark_only() -> None:
    writer = Writer()
    content = segments(writer, 2, 3)
    del content[3]
    assert read(content)[1].breaks == ()
    seqs, reading = read(content, writer.mark)
    assert seqs == [1, 2]
    assert reading.breaks == (
        Break(2, writer.lines[1].hash, 1, len(content[1]), "MB121", "ends at line 2, but line 5 was acknowledged"),
    )


def test_a_journal_that_is_gone_is_known_by_the_mark_only() -> None:
    assert read({}, (3, "f" * 64))[1].breaks[0].rule == "MB121"


def test_damage_in_a_closed_segment_is_never_a_tail() -> None:
    writer = Writer()
    content = segments(writer, 2, 2)
    content[1] = content[1][:-5]
    seqs, reading = read(content)
    assert seqs == [1, 3, 4]
    assert [one.rule for one in reading.breaks] == ["MB120"]
    assert reading.tail is None


def heal(writer: Writer, reading: Reading, seq: int) -> bytes:
    """The line that names the breaks, chained to the end that was read."""
    raw, line = frame(
        reading.end.hash, {"seq": seq, "op": GAP, "breaks": [[one.after, one.hash] for one in reading.breaks]}
    )
    writer.seq, writer.digest = seq, line.hash
    return raw


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "first line", "everything"])
def test_a_gap_line_heals_what_it_names_and_writing_goes_on(damage: str) -> None:
    writer = Writer()
    content = segments(writer, 3, 3)
    mark = writer.mark
    if damage == "cut":
        content[4] = content[4][:-3]
    elif damage == "flip":
        content[1] = content[1].replace(b'"x"', b'"z"', 1)
    elif damage == "gone":
        del content[4]
    elif damage == "first line":
        content[1] = content[1][5:]
    else:
        content = {1: b"\0" * 100, 4: b"\0" * 100}
    _, broken = read(content, mark)
    assert broken.breaks
    seq = max(broken.end.seq, mark[0]) + 1
    content[seq] = heal(writer, broken, seq)
    content[seq] += writer.line() + writer.line(CHECKPOINT)
    seqs, reading = read(content, writer.mark)
    assert reading.breaks == ()
    assert reading.tail is None
    assert seqs[-3:] == [seq, seq + 1, seq + 2]
    assert (reading.end.seq, reading.end.hash) == writer.mark


def test_a_gap_line_does_not_heal_what_it_does_not_name() -> None:
    writer = Writer()
    content = segments(writer, 3, 3)
    content[1] = content[1].replace(b'"x"', b'"z"', 1)
    _, broken = read(content, writer.mark)
    content[7] = heal(writer, broken._replace(breaks=()), 7)
    assert read(content, writer.mark)[1].breaks == broken.breaks


def test_a_snapshot_line_vouches_like_a_checkpoint() -> None:
    for op, vouches in (("snapshot.created", True), (CHECKPOINT, True), (GAP, True), ("other", False)):
        writer = Writer()
        raws = [writer.line(), writer.line(), writer.line(), writer.line(op)]
        raws[1] = raws[1].replace(b'"x"', b'"z"')
        _, reading = read({1: b"".join(raws)})
        assert bool(reading.breaks) == vouches, op
        assert bool(reading.tail) != vouches, op


def test_a_checkpoint_that_is_itself_unchained_vouches_for_nothing() -> None:
    writer = Writer()
    first = writer.line()
    writer.digest = "e" * 64
    stray = writer.line(CHECKPOINT)
    seqs, reading = read({1: first + stray})
    assert seqs == [1]
    assert reading.tail == Tail(1, len(first), len(stray))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_groups_are_had_whole_or_not_at_all(sizes: list[int], data: st.DataObject) -> None:
    writer = Writer()
    raws: list[bytes] = []
    whole_ends = {0}
    for size in sizes:
        raws += writer.group(size) if size > 1 else [writer.line()]
        whole_ends.add(len(raws))
    kept = data.draw(st.integers(0, len(raws)))
    seqs, reading = read({1: b"".join(raws[:kept])})
    served = max(end for end in whole_ends if end <= kept)
    assert seqs == list(range(1, served + 1))
    assert (reading.tail is None) == (served == kept)


@pytest.mark.parametrize("damaged", [0, 1, 4, 8])
def test_damage_in_a_group_is_one_break(damaged: int) -> None:
    writer = Writer()
    raws = [writer.line(), *writer.group(9), writer.line(), writer.line()]
    raws[1 + damaged] = raws[1 + damaged].replace(b'"op":"g"', b'"op":"h"')
    seqs, reading = read({1: b"".join(raws)}, writer.mark)
    assert [one.after for one in reading.breaks] == [1]
    assert set(seqs) >= {1, 11, 12}
    assert damaged + 2 not in seqs


def test_groups_do_not_mix() -> None:
    writer = Writer()
    one = writer.line("g", txn=["a", 0, 2])
    for txn in (["b", 1, 2], ["a", 0, 2], ["a", 2, 3], None):
        other = Writer(writer.seq, writer.digest)
        raw = other.line("g", **({} if txn is None else {"txn": txn}))
        seqs, reading = read({1: one + raw})
        assert seqs == []
        assert reading.tail == Tail(1, 0, len(one + raw))
    middle = Writer().line("g", txn=["a", 1, 2])
    assert read({1: middle})[1].tail == Tail(1, 0, len(middle))


@given(st.data())
def test_any_damage_is_read_without_a_failure(data: st.DataObject) -> None:
    raws, mark = sample(checkpoint=data.draw(st.booleans()))
    pieces = data.draw(st.lists(st.sampled_from([*raws, b"x\n", b"\n", b"\0\0", raws[2][:50]]), max_size=8))
    cut = data.draw(st.integers(0, len(pieces)))
    content = {1: b"".join(pieces[:cut]), 5: b"".join(pieces[cut:])}
    seqs, reading = read(content, data.draw(st.sampled_from([mark, NO_MARK])))
    assert len(seqs) <= len(pieces)
    if b"".join(pieces) == b"".join(raws) and cut in {0, len(pieces)}:
        assert not reading.breaks


@pytest.mark.parametrize("held", [0, 1, 400, 1 << 20])
def test_a_long_group_is_read_without_holding_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr("memorybank_cli.bank.chain.HELD", held)
    root = Root(tmp_path)
    files.make_dirs(root, layout.JOURNAL)
    journal = Journal(root, "")
    one = journal.append(START, [[Entry("a", {})]])[1]
    end = journal.append(one, [[Entry("b", {"n": number}) for number in range(20)], [Entry("c", {})]])[1]
    *lines, reading = journal.read(START)
    assert [line.op for line in lines if isinstance(line, Line)] == ["a", *["b"] * 20, "c"]
    assert reading == Reading(end, (), None)
    segment = tmp_path / layout.segment_file(1)
    whole = segment.read_bytes()
    for cut in (whole.rindex(b'{"core"') - 1, whole.rindex(b'"b"'), whole.index(b'"b"') + 3):
        segment.write_bytes(whole[:cut])
        *lines, reading = journal.read(START)
        assert [line.op for line in lines if isinstance(line, Line)] == ["a"]
        assert isinstance(reading, Reading)
        assert reading.tail is not None
        assert (reading.end, reading.tail.offset, reading.tail.size) == (one, one.offset, cut - one.offset)
    root.close()
