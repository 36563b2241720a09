"""Forgetting records: what the journal says of it, and the lines and quarantined bytes that lose their content.

Two lines frame it, `forget.begin` and `forget.end`, and a stage between them (`.memorybank/tmp/<id>`), so what a kill
interrupts is done at the next opening. The ids, times and digests of the lines stay: the chain covers them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from memorybank_cli.bank import compaction, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line, stripped, unframe
from memorybank_cli.base import files
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.exact_json import dumps

FEW = 20  # texts that are looked for in each line one by one
BEGIN = "forget.begin"
END = "forget.end"
REASON = "forget"
"""Of the act that makes the account's files anew."""
BEGUN = "restore.begin"
ENDED = "restore.end"
_BEGUN = b'"op":"forget.begin"'
_ACT = b'"reason":"forget"'
_KEPT, _NUL = b'"zstd":"', b"\0"
_ZSTD = b"\x28\xb5\x2f\xfd"
_NAMED = rb'(?:"(?:id|message|first_id|last_id)"\s*:|[\[,])\s*'
_NAMES = re.compile(_NAMED + rb'(?=("(?:[^"\\]|\\.)*"))')
_STORED = "record.stored"
_STORING = re.compile(rb'\{"core":\{"seq":(\d{1,16}),"ts":"[^"\\]*","actor":"(?:[^"\\]|\\.)*","op":"record\.stored"')


class Subject(NamedTuple):
    """What is to be forgotten: records of an account, or with none named the account itself."""

    account: str
    names: dict[str, int]
    """What the account was ever called, each with the last line that counts under that name."""
    records: tuple[str, ...] = ()
    lines: frozenset[int] = frozenset()
    """The lines that store the records, and those of summaries that quote them."""
    sizes: Mapping[str, int] = MappingProxyType({})
    """By id the records that were sealed when they were forgotten, with the part of a segment that each took."""

    @property
    def whole(self) -> bool:
        """Whether all of the account goes."""
        return not self.records

    def fields(self) -> dict[str, Any]:
        """What the journal says of it."""
        named = {"subject": self.account, "names": self.names}
        return {**named, "records": list(self.records), "lines": sorted(self.lines)}

    @classmethod
    def told(cls, core: dict[str, Any]) -> Subject:
        """The subject of a line that begins a forgetting."""
        names = core.get("names")
        known = {str(name): int(upto) for name, upto in names.items()} if isinstance(names, dict) else {}
        return cls(core["subject"], known, tuple(core["records"]), frozenset(core["lines"]))

    def holds(self, line: Line) -> bool:
        """Whether a stored line is one of those that go."""
        if not self.whole:
            return line.seq in self.lines
        return line.seq <= self.names.get(str(line.core.get("account")), 0)


class Forgotten:
    """What the journal says was forgotten after a line."""

    def __init__(self, bank: Bank, after: int = 0) -> None:
        begun: dict[int, Subject] = {}
        for line in bank.journal.lines(after, (_BEGUN, _ACT)):
            if line.op == BEGIN:
                begun[line.seq] = Subject.told(line.core)
            elif line.op == ENDED and (subject := begun.get(line.core.get("forgets", 0))) is not None:
                begun[line.core["forgets"]] = subject._replace(sizes=line.core.get("sizes", {}))
        self.all = list(begun.items())

    def of(self, line: Line) -> tuple[int, Subject] | None:
        """The line that first told to forget what a line stored, and with what; None where none did."""
        return next((one for one in self.all if one[1].holds(line)), None)

    def records_since(self, names: Collection[str], seq: int) -> frozenset[str]:
        """The messages that an account of such a name forgot after line `seq`, by their ids."""
        since = (one.records for at, one in self.all if at > seq and not one.names.keys().isdisjoint(names))
        return frozenset(record for records in since for record in records)

    def since(self, names: Collection[str], seq: int) -> int:
        """The line that last forgot something of an account of such a name, after line `seq`; 0 for none."""
        return max((at for at, one in self.all if at > seq and not one.names.keys().isdisjoint(names)), default=0)

    def is_whole_since(self, names: Collection[str], seq: int) -> bool:
        """Whether an account of such a name was forgotten with all that it had after line `seq`."""
        return any(at > seq and one.whole and not one.names.keys().isdisjoint(names) for at, one in self.all)

    def knows(self, account: str, record: str) -> bool:
        """Whether a record of an account was forgotten."""
        return any(record in one.records for _, one in self.all if account in one.names)


def naming(records: Collection[str]) -> Callable[[bytes], bool]:
    """Tells whether JSON names one of these records: by an `id` or `message`, or in a list of ids."""
    wanted = {dumps(record) for record in records}
    if len(wanted) > FEW:
        return lambda data: not wanted.isdisjoint(_NAMES.findall(data))
    patterns = [(text, re.compile(_NAMED + re.escape(text))) for text in wanted]
    return lambda data: any(text in data and pattern.search(data) for text, pattern in patterns)


class Traces:
    """Tells which bytes hold something of what is forgotten."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        named = "|".join(re.escape(dumps(name).decode()) for name in subject.names)
        of_account = re.compile(rb'"account_id"\s*:\s*(?:' + named.encode() + rb")")
        self._names = naming(subject.records) if subject.records else lambda data: of_account.search(data) is not None
        self.texts = (*map(dumps, subject.records), _KEPT, _NUL) if 0 < len(subject.records) <= FEW else ()
        """One of these stands in each line that holds it; () where they are too many to be looked for one by one."""
        self._texts = tuple(b'"account":' + dumps(name) for name in subject.names)
        self._places = tuple(f'"{layout.account_section(name)}/'.encode() for name in subject.names)

    def in_file(self, data: bytes) -> bool:
        """Whether a file of the account, or what was kept of one, holds it."""
        readable = _unpacked(data) if data.startswith(_ZSTD) else data
        return readable is None or self._names(readable)  # of None nobody can say that it does not

    def in_line(self, raw: bytes) -> bool:
        """Whether the data of a journal's line holds it, or nobody can say that it does not."""
        if _NUL in raw:  # a damaged frame of a compressed segment reads as NULs, and no line has any
            return True
        if b',"data":' not in raw or not any(text in raw for text in (*self._texts, *self._places)):
            return False
        quick = None if self.subject.whole else _STORING.match(raw)
        if quick and int(quick[1]) not in self.subject.lines and not self.in_file(raw):
            return False  # of another message: it need not even be parsed
        found = unframe(raw)
        if found is None:  # damaged: what cannot be read must not stay where it may be the content
            return self.subject.whole or self.in_file(raw)
        line = found[0]
        if line.op == _STORED:
            return self.subject.holds(line)
        return any(self._in_kept(line.seq, path, data) for path, data in _contents(line))

    def _in_kept(self, seq: int, path: str, data: bytes) -> bool:
        """Whether a version of a file that line `seq` keeps is one of the account's, and holds it."""
        if seq > self.subject.names.get(layout.account_of(path.partition("/")[0]), 0):
            return False
        return self.subject.whole or self.in_file(data)


def _contents(line: Line) -> Iterator[tuple[str, bytes]]:
    if "files" in line.core and line.data is not None:
        yield from versions.unpack(line).items()


def _unpacked(data: bytes) -> bytes | None:
    """The bytes of an archived segment, None where it is damaged."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    try:
        found = unpacker.decompress(data)
    except zstandard.ZstdError:
        return None
    return found if unpacker.eof else None


def lines_with(bank: Bank, traces: Traces) -> int:
    """How many lines of the journal hold it in their data."""
    return sum(_lines_with(bank, traces, first) for first in bank.journal.segments())


def _lines_with(bank: Bank, traces: Traces, first: int) -> int:
    return sum(map(traces.in_line, bank.journal.raw_lines(first, 0, traces.texts)))


def clean_journal(bank: Bank, traces: Traces) -> int:
    """Drop the data of the lines that hold it, all of them in closed segments; how many they are.

    The lock is held. Raises OSError; segments that were done stay done.
    """
    dropped, firsts = 0, bank.journal.segments()
    if firsts[-1] <= max(traces.subject.names.values(), default=0):
        raise OperationFailed(f"the journal's segment {firsts[-1]} is not closed, so nothing can be taken out of it")
    for first in firsts[:-1]:
        found = _lines_with(bank, traces, first)
        both = bank.root.stat(layout.segment_file(first)) and bank.root.stat(layout.packed_segment(first))
        if found or both:
            compaction.rewrite(bank, first, _change(traces))
            dropped += found
    return dropped


def _change(traces: Traces) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        if not traces.in_line(raw):
            return raw
        return stripped(raw) if unframe(raw) else b'{"forgotten":%d}\n' % len(raw)

    return change


def quarantined(bank: Bank, traces: Traces) -> list[str]:
    """The files in quarantine that were kept of the account's files, and others that hold it.

    What was kept was damaged or written by others: that it has no such id does not say that it has no such text.
    """
    there = [f"{layout.QUARANTINE}/{entry.name}" for entry in bank.root.listing(layout.QUARANTINE)]
    kept = dict(_kept(bank, traces.subject)) if there else {}

    def holds(path: str) -> bool:
        return kept[path] if path in kept else traces.in_file(bank.root.content(path) or b"")

    return [path for path in there if holds(path)]


def _kept(bank: Bank, subject: Subject) -> Iterator[tuple[str, bool]]:
    """Where the journal says that bytes of accounts' files were kept, and whether of this account's."""
    begun: dict[str, int] = {}
    for line in bank.journal.lines(0, (b'"kept":{', b'"op":"restore.begin"')):
        act = str(line.core.get("id", ""))
        if line.op == BEGUN:
            begun.setdefault(act, line.seq)
        kept = line.core.get("kept")
        for path, place in kept.items() if isinstance(kept, dict) else ():
            if account := layout.account_of(path.partition("/")[0]):
                stood = begun.get(act, line.seq + 1) - 1  # what an act keeps stood there before it began
                yield str(place), account == subject.account or stood <= subject.names.get(account, 0)


def clean_quarantine(bank: Bank, traces: Traces) -> list[str]:
    """Remove what waits in quarantine and holds it; the paths."""
    found = quarantined(bank, traces)
    for path in found:
        files.remove_tree(bank.root, path)
    return found


def clean_temporaries(bank: Bank, subject: Subject) -> None:
    """Remove what a kill left half written beside the account's files and in the journal. The lock is held."""
    for place in (*map(layout.account_section, subject.names), layout.JOURNAL, layout.QUARANTINE):
        for listing in bank.root.walk(place) if bank.root.is_dir(place) else ():
            for name in listing.hidden:
                if name.startswith(files.TEMPORARY):
                    files.remove(bank.root, f"{listing.path}/{name}")
