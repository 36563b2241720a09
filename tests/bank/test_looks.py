"""What is not done twice: the same bytes are not judged again, and looks are kept as they are made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank import scan
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.layout import place
from memorybank_cli.bank.rows import Content, Seen
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import digests
from memorybank_cli.base.records import QUIET
from memorybank_cli.operations import manifest
from memorybank_cli.operations.anywhere import check_files
from tests.conftest import MakeBank, trade
from tests.operations.banks import opened, put


def seen_rows(bank: Bank) -> set[str]:
    return {row[0] for row in bank.catalog.db.execute("SELECT name FROM files WHERE s_sha IS NOT NULL")}


def test_the_same_bytes_are_what_they_were(tmp_path: Path) -> None:
    examiner, where = Examiner(Registry()), place("trades/one.json")
    data = put(tmp_path / "one.json", trade(1))
    mark = Content("MB201", "as it was found before", "/x", 1)
    known = Seen(digests.of(data), 0, 0, 0, 0, 0, "trade", (mark,), 0, 7)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        again = examiner.file("one.json", fd, where, known)
        assert (again.content, again.records, again.size) == ((mark,), 7, len(data))
        other = examiner.file("one.json", fd, where, known._replace(sha="0" * 64))
        assert (other.content, other.records, other.sha) == ((), 1, digests.of(data))
    finally:
        os.close(fd)


def test_init_leaves_a_catalog_that_knows_every_file(make_bank: MakeBank) -> None:
    path = make_bank(5, padded=False)
    with opened(path) as bank:
        assert not bank.catalog.in_memory
        assert {f"trade_{number}.json" for number in range(5)} <= seen_rows(bank)


@pytest.mark.parametrize(("at_once", "in_one"), [(1, False), (1_000, True)])
def test_looks_are_kept_in_parts(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, at_once: int, in_one: bool
) -> None:
    path = make_bank(7, padded=False)
    with opened(path) as bank:
        with bank.catalog.writing():
            bank.catalog.forget_seen()
        Scanner(bank).run()
        monkeypatch.setattr(scan, "KEPT_AT_ONCE", at_once)
        statements: list[str] = []
        bank.catalog.db.set_trace_callback(statements.append)
        assert Scanner(bank).run(full=True).checked == len(seen_rows(bank))
        bank.catalog.db.set_trace_callback(None)
    kept = statements[[one.startswith("SELECT dir,signature") for one in statements].index(True) :]
    assert (kept.count("COMMIT") == 1) is in_one


@pytest.mark.parametrize("size", [0, 1, digests.CHUNK - 1, digests.CHUNK, digests.CHUNK + 1])
def test_one_read_proves_only_small_files(tmp_path: Path, size: int) -> None:
    data = put(tmp_path / "a.json", b"x" * size)
    wanted = [("a.json", digests.of(data))]
    assert manifest.compare(str(tmp_path), wanted) == []
    put(tmp_path / "a.json", data + b"tail")
    assert [one.rule for one in manifest.compare(str(tmp_path), wanted)] == ["MB110"]


def test_a_pipe_in_the_place_of_a_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    reader = os.open(tmp_path / "a.json", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "a.json", os.O_WRONLY)
    os.write(writer, b"{}")
    try:
        [found] = manifest.compare(str(tmp_path), [("a.json", digests.of(b"{}"))])
        assert (found.rule, os.read(reader, 10)) == ("MB307", b"{}")
    finally:
        os.close(writer)
        os.close(reader)


def test_a_directory_stands_for_its_files_by_their_real_names(tmp_path: Path) -> None:
    for name in ("b/a\nb.json", "b/back\\slash.json", "a.json", "b/.hidden.json", ".dot/c.json", "b/c.txt"):
        put(tmp_path / name, trade(1))
    put(tmp_path / "z.json/inner.json", b"{")
    (tmp_path / "link.json").symlink_to("a.json")
    count, findings = check_files([str(tmp_path)], "trade", None, QUIET)
    assert (count, [(one.rule, Path(one.path).name) for one in findings]) == (4, [("MB103", "inner.json")])
