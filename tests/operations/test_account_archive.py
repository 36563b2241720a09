"""Archiving: old segments cost less room, and everything that reads an account finds them all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.shelf import FileShelf, unpacked
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.base.errors import UsageError
from memorybank_cli.operations import account_archive
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.conftest import path
from tests.accounts.sealed import adopted, ids, named, say, segment
from tests.conftest import Run
from tests.operations.banks import backed_up, contents, journal, opened, repaired, rules
from tests.operations.here import run

__all__ = ("path", "run")  # fixtures

OLD, NEW = "2026-01-01T00:00:00Z", "2026-06-01T00:00:00Z"


def packed(first: int) -> str:
    return f"{segment(first)}.zst"


def sealed_files(path: Path) -> set[str]:
    return {name for name in contents(path) if name.startswith("account_a/history/0")}


@pytest.fixture
def aged(path: Path) -> Path:
    """Four segments, two of January and two of June, and five messages that are not sealed."""
    with opened(path) as bank:
        for numbers, moment in ((range(20), OLD), (range(20, 45), NEW)):
            store(bank, "a", [Message("user", f"text {one}", f"m{one}", moment) for one in numbers])
    return path


def test_what_is_older_is_archived_and_comes_back(run: Run, aged: Path) -> None:
    before = contents(aged)
    rehearsed = run("account", "archive", "a", "--older-than", "2026-03-01", "-n", "--bank", aged, "--json").json
    assert (rehearsed["segments"], rehearsed["dry_run"], rehearsed["bytes_after"]) == (2, True, None)
    assert contents(aged) == before
    done = run("account", "archive", "a", "--older-than", "2026-03-01", "--bank", aged, "--json").json
    assert (done["segments"], done["messages"], done["archived"]) == (2, 20, 20)
    assert sealed_files(aged) == {packed(1), packed(11), segment(21), segment(31)}
    for first in (1, 11):
        data = (aged / packed(first)).read_bytes()
        assert unpacked(data) == before[segment(first)]
    assert done["bytes_after"] == sum((aged / packed(first)).stat().st_size for first in (1, 11))
    assert done["bytes_before"] == sum(len(before[segment(first)]) for first in (1, 11))
    assert rules(aged) == {}
    assert ids(aged) == named(45)
    assert [core["reason"] for core in journal(aged) if core["op"] == "restore.end"] == ["archive"]
    with opened(aged) as bank:
        assert "20 messages of a in 2 segments (" in archive(bank, "a", undo=True, dry_run=True).summary()
        assert "20 messages of a in 2 segments put back: " in archive(bank, "a", undo=True).summary()
        assert archive(bank, "a", undo=True).summary() == "Nothing of a is archived."
        assert "archived: " in archive(bank, "a", older_than="2026-03-01").summary()
    assert run("account", "archive", "a", "--undo", "--bank", aged).returncode == 0
    assert contents(aged) == before
    assert rules(aged) == {}


def test_the_largest_part_that_may_stay(aged: Path) -> None:
    with opened(aged) as bank:
        assert archive(bank, "a", keep_mib=1).segments == 0
        assert archive(bank, "a", keep_mib=0).archived == 40
        assert archive(bank, "a", keep_mib=0).segments == 0
        assert archive(bank, "a", keep_mib=0).summary() == "Nothing of a is to be archived."
    assert sealed_files(aged) == {packed(first) for first in (1, 11, 21, 31)}
    say(aged, 45, 55)
    assert sealed_files(aged) == {*(packed(first) for first in (1, 11, 21, 31)), segment(41)}
    assert ids(aged) == ids(aged, last=55) == named(55)
    with opened(aged) as bank:
        assert store(bank, "a", [Message("user", "again", "m3")]).duplicates == 1
        assert archive(bank, "a", undo=True).archived == 0


def test_an_archived_segment_that_is_damaged_or_gone_is_made_again(aged: Path) -> None:
    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
    good = contents(aged)
    (aged / packed(1)).write_bytes(good[packed(1)][:-9])
    (aged / packed(11)).unlink()
    assert rules(aged) == {packed(1): "MB110", packed(11): "MB111"}
    assert ids(aged) == named(45)
    (aged / packed(1)).unlink()
    assert repaired(aged).unrepaired == ()
    assert contents(aged) == good
    assert rules(aged) == {}


def test_what_is_no_archive_is_never_taken_for_one(aged: Path) -> None:
    import zstandard

    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
    huge = zstandard.ZstdCompressor().compress(bytes(80 << 20))
    assert unpacked(huge) is None
    assert unpacked(b"") is None
    other = zstandard.compress(json.dumps({"messages": []}).encode())
    assert unpacked(other) is not None
    (aged / packed(1)).write_bytes(other)
    assert ids(aged) == named(45)


def test_a_rollback_before_it_and_a_rollback_that_leaves_it(aged: Path) -> None:
    snapshot = backed_up(aged).document
    assert snapshot is not None
    before = contents(aged)
    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
        line = bank.end.seq
    archived = sealed_files(aged)
    say(aged, 45, 47)
    with opened(aged) as bank:
        rollback(bank, seq=line, account="a", yes=True)
    assert sealed_files(aged) == archived
    assert ids(aged) == named(45)
    assert rules(aged) == {}
    with opened(aged) as bank:
        rollback(bank, snapshot.id, account="a", yes=True)
    assert {name: data for name, data in contents(aged).items() if "account_a" in name} == {
        name: data for name, data in before.items() if "account_a" in name
    }
    assert rules(aged) == {}


def test_a_damaged_one_is_told_and_not_accepted(run: Run, aged: Path) -> None:
    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
    good = (aged / packed(11)).read_bytes()
    for data in (good[:-3], b"no frame", (aged / packed(1)).read_bytes()):
        (aged / packed(11)).write_bytes(data)
        assert rules(aged) == {packed(11): "MB110"}
        shown = run("account", "show", "a", "--bank", aged, "--json").json["components"][2]
        assert (shown["status"], shown["issues"]) == ("failing", [f"{packed(11)} is not what was recorded"])
        done = run("accept", packed(11), "--bank", aged, "--json")
        assert (done.returncode, done.error["path"]) == (13, packed(11))
        assert run("accept", "account_a", "--bank", aged, "--json").json["skipped"] == [packed(11)]
    (aged / packed(11)).unlink()
    shown = run("account", "show", "a", "--bank", aged, "--json").json["components"][2]
    assert shown["issues"] == [f"{packed(11)} is missing"]
    repaired(aged)
    assert (aged / packed(11)).read_bytes() == good
    assert run("account", "show", "a", "--bank", aged, "--json").json["components"][2]["status"] == "active"
    plain = unpacked(good)
    assert plain is not None
    (aged / packed(11)).write_bytes(zstandard.compress(plain, 19))  # the same segment, compressed by somebody else
    assert run("accept", packed(11), "--bank", aged).returncode == 0
    assert rules(aged) == {}
    assert run("account", "check", "a", "--bank", aged).returncode == 0


def test_many_segments_are_several_acts(aged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_archive, "AT_ONCE", 1)
    before = contents(aged)
    with opened(aged) as bank:
        done = archive(bank, "a", older_than="2026-03-01")
        assert (done.segments, done.messages, done.archived) == (2, 20, 20)
        assert sealed_files(aged) == {packed(1), packed(11), segment(21), segment(31)}
        done = archive(bank, "a", keep_mib=0)
        assert (done.segments, done.messages, done.archived) == (2, 20, 40)
        done = archive(bank, "a", undo=True)
        assert (done.segments, done.messages, done.archived) == (4, 40, 0)
        assert done.bytes_after == sum(len(before[name]) for name in sealed_files(aged))
    assert contents(aged) == before
    assert [core["reason"] for core in journal(aged) if core["op"] == "restore.end"] == ["archive"] * 8


def test_a_snapshot_of_it_is_good_and_comes_back(run: Run, aged: Path, tmp_path: Path) -> None:
    backed_up(aged)
    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
    assert run("backup", "--bank", aged, "--json").json["snapshot"]["status"] == "good"
    assert run("snapshot", "restore", "latest", "--to", tmp_path / "out", "--bank", aged).returncode == 0
    assert sealed_files(tmp_path / "out") == sealed_files(aged)


def test_calls_that_make_no_sense(run: Run, aged: Path) -> None:
    for words in ((), ("--undo", "--keep-mib", "1"), ("--keep-mib", "-1"), ("--older-than", "soon")):
        done = run("account", "archive", "a", *words, "--bank", aged, "--json")
        assert (done.returncode, done.error["code"]) == (2, "usage"), words
    assert run("account", "archive", "nobody", "--undo", "--bank", aged).returncode == 10
    with opened(aged) as bank, pytest.raises(UsageError, match="say what to archive"):
        archive(bank, "a")


def test_a_segment_that_is_put_back_between_two_looks(aged: Path, tmp_path: Path) -> None:
    with opened(aged) as bank:
        archive(bank, "a", keep_mib=0)
    target = adopted(aged, tmp_path)  # whose journal could not give the messages

    class Between(FileShelf):
        def archived(self, first: int) -> bytes | None:
            data = super().archived(first)
            if data is not None:
                (target / segment(first)).write_bytes(data)
                (target / packed(first)).unlink()
            return None

    with opened(target) as bank:
        segments = read_history(bank, "a", indexed=True).segments
        assert sum(len(part) for part in Between(bank, "a").forward(segments)) == 40
