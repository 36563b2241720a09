"""What holds something of a forgotten record, and what the journal says of forgetting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memorybank_cli.bank import forgetting, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import BEGIN, Forgotten, Subject, Traces, naming
from memorybank_cli.bank.framing import GENESIS, frame, stripped, unframe
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.operations.opening import open_bank
from tests.conftest import MakeBank

ONE = Subject("a", {"a": 50}, ("m1",), frozenset({7}))
ALL = Subject("a", {"a": 50, "old": 20})


def line(op: str = "record.stored", seq: int = 7, value: Any = None, **fields: Any) -> bytes:
    core = {"seq": seq, "op": op, **fields}
    return frame(GENESIS, core, dumps({"content": "x"} if value is None else value))[0]


def version(path: str, content: bytes, seq: int = 7) -> bytes:
    row = [path, digests.of(content), len(content), 0o600, [], "", None]
    return line("file.adopted", seq, versions.pack([content]), files=[row])


@pytest.fixture(params=[0, forgetting.FEW], ids=["few", "many"])
def names(request: pytest.FixtureRequest) -> Callable[..., Callable[[bytes], bool]]:
    """`naming` of some records, alone and among many."""
    return lambda *records: naming([*records, *(f"other-{number}" for number in range(request.param))])


Names = Callable[..., Callable[[bytes], bool]]


@pytest.mark.parametrize(
    "text",
    ['"id":"m1"', '"id" : "m1"', '["m1"', '["m0","m1"]', '"message":"m1"', '"last_id": "m1"', '"a":[],"id":"m1"'],
)
def test_an_id_is_found(names: Names, text: str) -> None:
    assert names("m1")(f"{{{text}}}".encode())


@pytest.mark.parametrize("text", ['"id":"m11"', '"role":"m1"', '"m1":1', '"content":"m1"', '"id":"\\"m1\\""'])
def test_a_text_that_is_alike_is_no_id(names: Names, text: str) -> None:
    assert not names("m1")(f"{{{text}}}".encode())


def test_ids_are_found_as_json_has_them(names: Names) -> None:
    assert names('a"b\\c.*')(b'"id":"a\\"b\\\\c.*"')
    assert not names("a.c")(b'"id":"abc"')


def test_lines_that_store_it() -> None:
    traces = Traces(ONE)
    assert traces.in_line(line(account="a", kind="message", record="m1"))
    assert not traces.in_line(line(account="a", kind="message", record="m1", seq=8))
    assert not traces.in_line(line(account="b", kind="message", record="m1"))
    assert not traces.in_line(stripped(line(account="a", kind="message", record="m1")))
    everything = Traces(ALL)
    assert everything.in_line(line(account="a", kind="message", record="m9", seq=50))
    assert not everything.in_line(line(account="a", kind="message", record="m9", seq=51))
    assert everything.in_line(line(account="old", kind="summary", record="s", seq=20))
    assert not everything.in_line(line(account="old", kind="message", record="m9", seq=21))


def test_versions_of_files_that_hold_it() -> None:
    held = b'{"account_id":"a","messages":[{"id":"m1"}]}'
    assert Traces(ONE).in_line(version("account_a/short_term.json", held))
    assert not Traces(ONE).in_line(version("account_a/short_term.json", held.replace(b"m1", b"m2")))
    assert not Traces(ONE).in_line(version("account_b/short_term.json", held))
    assert not Traces(ONE).in_line(version("account_a/short_term.json", held, seq=51))
    assert Traces(ALL).in_line(version("account_a/short_term.json", b"{}"))
    assert Traces(ALL).in_line(version("account_old/short_term.json", b"{}"))
    assert not Traces(ALL).in_line(version("account_old/short_term.json", b"{}", seq=21))


def test_a_damaged_line_that_may_hold_it() -> None:
    raw = line(account="a", kind="message", record="m1", value={"id": "m1"}).replace(b'"salt"', b'"sal_"')
    assert unframe(raw) is None
    assert Traces(ONE).in_line(raw)
    assert not Traces(ONE).in_line(raw.replace(b"m1", b"m2"))
    unknown = raw.replace(b'"seq":7', b'"seq":8')
    assert Traces(ONE).in_line(unknown), "what is damaged is not among the lines that were found"
    assert Traces(ALL).in_line(raw.replace(b"m1", b"m2"))


def test_files_also_where_they_are_compressed() -> None:
    data = b'{"account_id": "a", "messages": [{"id":"m1"}]}'
    for one in (data, zstandard.compress(data), zstandard.ZstdCompressor(write_content_size=False).compress(data)):
        assert Traces(ONE).in_file(one)
        assert Traces(ALL).in_file(one)
    assert Traces(ONE).in_file(zstandard.compress(data)[:-9])  # nobody can say that it is not in there
    assert not Traces(ONE).in_file(b"")
    assert not Traces(ALL).in_file(data.replace(b'"a"', b'"b"'))


# In a bank


@pytest.fixture
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    opened = open_bank(Context(bank=str(make_bank(0, padded=False))))
    yield opened
    opened.close()


def begin(bank: Bank, subject: Subject) -> int:
    [written] = bank.commit([Entry(BEGIN, {"id": "x", **subject.fields()})])
    return written.seq


def test_what_was_forgotten_is_known(bank: Bank) -> None:
    first = begin(bank, ONE)
    second = begin(bank, ALL._replace(account="b", names={"b": 3}))
    known = Forgotten(bank)
    assert (known.since(["a"], 0), known.since(["a"], first), known.since(["b", "a"], first)) == (first, 0, second)
    assert known.is_whole_since(["b"], 0)
    assert not known.is_whole_since(["a"], 0)
    assert known.knows("a", "m1")
    assert not known.knows("b", "m1")
    told = [one for _, one in known.all]
    assert told == [ONE, ALL._replace(account="b", names={"b": 3})]


def test_a_segment_that_is_open_is_never_written_again(bank: Bank) -> None:
    with pytest.raises(OperationFailed, match="not closed"):
        forgetting.clean_journal(bank, Traces(ONE))


def test_what_reads_as_nuls_may_hold_it() -> None:
    """A damaged frame of a compressed segment, of whatever account."""
    for subject in (ONE, ALL):
        assert Traces(subject).in_line(b"\0\0\0\n")
    assert any(text in b"\0\n" for text in Traces(ONE).texts)


def test_a_damaged_line_leaves_its_length(bank: Bank) -> None:
    segment = Path(bank.root.path) / layout.segment_file(1)
    raw = line(account="a", kind="message", record="m1", value={"id": "m1"}).replace(b'"salt"', b'"sal_"')
    before = segment.read_bytes()
    bank.journal.closes = True
    begin(bank, ONE)
    segment.write_bytes(before + raw)
    traces = Traces(ONE._replace(names={"a": 3}))
    assert forgetting.lines_with(bank, traces) == 1
    assert forgetting.clean_journal(bank, traces) == 1
    assert segment.read_bytes() == before + b'{"forgotten":%d}\n' % len(raw)
    assert forgetting.clean_journal(bank, traces) == 0


def test_a_leftover_of_both_forms_is_tidied(bank: Bank) -> None:
    bank.journal.closes = True
    begin(bank, ONE)
    segment = Path(bank.root.path) / layout.segment_file(1)
    packed = segment.with_name(f"{segment.name}.zst")
    packed.write_bytes(b"")
    whole = list(bank.journal.lines())
    forgetting.clean_journal(bank, Traces(ONE._replace(names={"a": 3})))
    assert not segment.exists()
    assert list(bank.journal.lines()) == whole


def test_quarantine(bank: Bank) -> None:
    place = Path(bank.root.path) / layout.QUARANTINE
    place.mkdir()
    contents = {"1": b'{"account_id":"a","messages":[{"id":"m1"}]}', "2": b'{"account_id":"b"}', "3": b"{}", "4": b"{}"}
    for name, data in contents.items():
        (place / name).write_bytes(data)
    kept = {"account_a/x.json": f"{layout.QUARANTINE}/3", "account_b/x.json": f"{layout.QUARANTINE}/4"}
    bank.commit([Entry("note.taken", {"kept": kept})])
    (place / "5").write_bytes(contents["1"])
    bank.commit([Entry("note.taken", {"kept": {"account_b/y.json": f"{layout.QUARANTINE}/5"}})])
    ours = [f"{layout.QUARANTINE}/1", f"{layout.QUARANTINE}/3"]
    assert forgetting.quarantined(bank, Traces(ONE)) == ours
    assert forgetting.clean_quarantine(bank, Traces(ALL)) == ours
    assert sorted(one.name for one in place.iterdir()) == ["2", "4", "5"]
