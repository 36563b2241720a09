"""Looking at one file: its digest, what is wrong with its bytes, whether its schema fits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.layout import Place, place
from memorybank_cli.bank.rows import Content
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import walk
from memorybank_cli.base.digests import UNREAD
from memorybank_cli.base.strict_json import HARD_SIZE

TRADE = place("trades/x.json")


@pytest.fixture
def examiner() -> Examiner:
    return Examiner(Registry())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def rules(content: tuple[Content, ...]) -> list[str]:
    return [one.rule for one in content]


@pytest.mark.parametrize(
    ("data", "rule", "kind"),
    [
        (b'{"timestamp": 1}', "", "trade"),
        (b'{"timestamp": 1}\0\0', "MB102", "trade"),
        (b'[{"timestamp": 1}]\0\0', "MB102", "trade_list"),
        (b'{"trades": []}}', "MB102", "trade_list"),
        (b'{"trades": [', "MB103", "trade"),
        (b"", "MB104", "trade"),
        (b'{"a": nope}', "MB101", "trade"),
        (b'{"a": 1, "a": 2}', "MB105", "trade"),
        (b'\xef\xbb\xbf{"timestamp": 1}', "MB106", "trade"),
        (b'{"timestamp": NaN}', "MB107", "trade"),
        (b"[" * 100_000, "MB108", "trade"),
    ],
)
def test_what_bytes_are(examiner: Examiner, data: bytes, rule: str, kind: str) -> None:
    found = examiner.memory(data, TRADE)
    assert (rules(found.content), found.kind) == ([rule] if rule else [], kind)
    assert (found.sha, found.size) == (sha256(data).hexdigest(), len(data))


def test_a_file_as_it_stands(examiner: Examiner, tmp_path: Path, folder: int) -> None:
    data = b'{"trades": [{"timestamp": 1}, {"timestamp": 2}]}'
    (tmp_path / "a.json").write_bytes(data)
    (tmp_path / "a.json").chmod(0o640)
    before = time.time_ns()
    seen = examiner.file("a.json", folder, TRADE)
    info = os.stat(tmp_path / "a.json")
    assert (seen.sha, seen.size, seen.mtime, seen.ctime, seen.inode, seen.mode) == (
        sha256(data).hexdigest(),
        info.st_size,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
        info.st_mode,
    )
    assert (seen.kind, seen.content, seen.records) == ("trade_list", (), 2)
    assert before <= seen.hashed <= time.time_ns()


@pytest.mark.parametrize("size", [walk.READ_SIZE - 1, walk.READ_SIZE, walk.READ_SIZE + 1, 3 * walk.READ_SIZE])
def test_files_around_one_read(examiner: Examiner, tmp_path: Path, folder: int, size: int) -> None:
    data = b'{"timestamp": 1, "notes": "' + b"x" * (size - 29) + b'"}'
    assert len(data) == size
    (tmp_path / "a.json").write_bytes(data)
    seen = examiner.file("a.json", folder, TRADE)
    assert (seen.sha, seen.size, seen.content) == (sha256(data).hexdigest(), size, ())


def test_a_file_past_the_hard_limit_is_digested_and_not_parsed(examiner: Examiner, tmp_path: Path, folder: int) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(HARD_SIZE + 1)
    seen = examiner.file("a.json", folder, TRADE)
    assert (rules(seen.content), seen.size, seen.kind) == (["MB108"], HARD_SIZE + 1, "trade")


def test_a_document_is_digested_only(examiner: Examiner, tmp_path: Path, folder: int) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe no JSON")
    seen = examiner.file("README.md", folder, place("README.md"))
    assert (seen.content, seen.sha) == ((), sha256(b"\xff\xfe no JSON").hexdigest())
    assert examiner.memory(b"\xff", place("README.md")).content == ()


def test_links_and_pipes_are_not_read(examiner: Examiner, tmp_path: Path, folder: int) -> None:
    (tmp_path / "real.json").write_bytes(b"{}")
    (tmp_path / "link.json").symlink_to("real.json")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("link.json", "pipe.json", "gone.json"):
        with pytest.raises(OSError, match=name):
            examiner.file(name, folder, TRADE)


class Restless(Registry):
    """A registry during whose check the file is written to."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__()
        self.path, self.times = path, times

    def matches(self, kind: str, value: Any) -> bool:
        if self.times:
            self.times -= 1
            self.path.write_text(f'{{"timestamp": {self.times}{"0" * self.times}}}')
        return super().matches(kind, value)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, folder: int) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"timestamp": 123456}')
    seen = Examiner(Restless(path, 2)).file("a.json", folder, TRADE)
    assert seen.sha == sha256(path.read_bytes()).hexdigest()
    assert seen.size == path.stat().st_size


def test_a_file_that_never_holds_still(tmp_path: Path, folder: int) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"timestamp": 12345678901234}')
    with pytest.raises(Changing, match="keeps changing"):
        Examiner(Restless(path, 9)).file("a.json", folder, TRADE)


def test_misfits_say_where(examiner: Examiner) -> None:
    data = b'{\n  "timestamp": 1,\n  "opportunity": {\n    "dex_1": 5\n  }\n}'
    [found] = examiner.memory(data, TRADE).content
    assert (found.rule, found.pointer, found.line) == ("MB201", "/opportunity/dex_1", 4)
    assert "expected" in found.message


def test_at_most_five_misfits_are_kept(examiner: Examiner) -> None:
    data = b'{"trades": [' + b", ".join([b'{"timestamp": []}'] * 20) + b"]}"
    assert rules(examiner.memory(data, TRADE).content) == ["MB201"] * 5


def test_a_schema_file_is_held_against_the_rules_for_schemas(examiner: Examiner) -> None:
    where = place("config/schemas/own.schema.json")
    assert examiner.memory(b'{"type": "object"}', where).content == ()
    assert rules(examiner.memory(b'{"type": "nonsense"}', where).content) == ["MB201"]
    assert examiner.memory(b"true", where).content == ()


def test_a_file_without_a_kind_has_no_shape(examiner: Examiner) -> None:
    assert examiner.memory(b'{"any": "thing"}', place("agents/a/x.json")).content == ()


@pytest.mark.parametrize(
    ("path", "data", "records"),
    [
        ("trades/a.json", b'{"timestamp": 1}', 1),
        ("trades/a.json", b"[1, 2, 3]", 3),
        ("trades/a.json", b'{"trades": [1, 2]}', 2),
        ("trades/a.json", b'{"trades": [', 0),
        ("account_a/short_term.json", b'{"messages": [1, 2, 3, 4]}', 4),
        ("state/state.json", b'{"trades": [1, 2]}', 1),
        ("state/state.json", b'"text"', 1),
        ("README.md", b"anything", 0),
    ],
)
def test_how_many_records(examiner: Examiner, path: str, data: bytes, records: int) -> None:
    assert examiner.memory(data, place(path)).records == records


def test_the_line_of_a_misfit_is_that_of_its_element(examiner: Examiner) -> None:
    data = b'{"trades": [\n{"timestamp": 1, "price": 5},\n{"timestamp": 1,\n"price": "x"}]}'
    [one] = examiner.memory(data, TRADE).content
    assert (one.pointer, one.line, one.expected, one.found) == ("/trades/1/price", 4, "null or number", "'x'")


def test_a_misfit_of_the_whole_has_no_line(examiner: Examiner) -> None:
    [one] = examiner.memory(b'\n{"timestmp": 1}', TRADE).content
    assert (one.pointer, one.line) == ("", None)
    assert one.message.endswith("; 'timestmp' may be meant for 'timestamp'")


def test_places_of_other_kinds(examiner: Examiner) -> None:
    where = Place("anywhere", "samples", "open")
    assert rules(examiner.memory(b"[]", where).content) == ["MB201"]


def test_a_file_that_is_too_large_is_told_from_its_earlier_self_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        examiner = Examiner(Registry())
        first = examiner.file("a.json", fd, place("trades/a.json"))
        assert first.sha.startswith(UNREAD)
        assert [one.rule for one in first.content] == ["MB108"]
        assert examiner.file("a.json", fd, place("trades/a.json")).sha == first.sha
        with open(path, "r+b") as file:
            file.write(b"x")
        assert examiner.file("a.json", fd, place("trades/a.json")).sha != first.sha
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (b"1", ("MB209", "2", "1")),
        (b"2", ("MB201", "", "")),
        (b"3", ("MB203", "at most 2", "3")),
        (b'"3"', ("MB201", "", "")),
    ],
)
def test_a_document_of_another_version_is_not_held_against_the_shape(version: bytes, expected: tuple[str, ...]) -> None:
    examiner = Examiner(Registry({"trade": {"required": ["price"], "x-memorybank": {"version": 2}}}))
    [found] = examiner.memory(b'{\n"schema_version": ' + version + b"}", TRADE).content
    assert found.rule == expected[0]
    if found.rule != "MB201":
        assert (found.pointer, found.line, found.expected, found.found) == ("/schema_version", 2, *expected[1:])


def test_the_banks_own_schema_of_an_agents_section_takes_what_has_no_other_kind() -> None:
    where = place("agents/a/mood.json")
    examiner = Examiner(Registry({"agents": {"required": ["mood"]}, "shared": {"type": "nonsense"}}))
    assert examiner.memory(b'{"mood": 1}', where).content == ()
    looked = examiner.memory(b"{}", where)
    assert (looked.kind, rules(looked.content)) == ("agents", ["MB201"])
    assert examiner.memory(b'{"decision_id": "d"}', where).kind == "decision"
    assert examiner.memory(b"{}\0", where).kind == "agents"
    assert examiner.memory(b"{}", place("shared/x.json")).kind == ""
    assert Examiner(Registry()).memory(b"{}", where).kind == ""
