"""What a snapshot holds of files that cannot be read or are damaged, and that a rollback to it removes none of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorybank_cli.base.walk import Root
from memorybank_cli.operations import reading, snapshot_rows
from memorybank_cli.operations.backup_report import BackupReport
from memorybank_cli.operations.last_good import LastGood
from memorybank_cli.operations.repositories import Snapshots, open_repository
from memorybank_cli.operations.rollback import RollbackReport, rollback
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.verifying import verify
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, backed_up, opened, put

HOUR = 3600.0
NOTE = "notes/long.md"
Content = Callable[..., bytes]
PADDED = {**trade(0), "strategy": "x" * FILE_BLOB_SIZE}
"""In a list with others: too large for one blob, so that it is read late."""


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    put(path / "notes/short.md", b"short\n", age=HOUR)
    return path


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int = errno.EIO) -> None:
    """Let what is read late of one file fail."""
    real = snapshot_rows.Source._content

    def content(self: snapshot_rows.Source, path: str, *rest: object) -> bytes:
        if path == name:
            raise OSError(number, os.strerror(number))
        return real(self, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_rows.Source, "_content", content)


def held(bank: Path, report: BackupReport) -> dict[str, bytes]:
    """The best known bytes of each file in a snapshot."""
    assert report.document is not None
    with opened(bank) as one:
        snapshots = Snapshots(one, report.repository)
        try:
            found = trees.files(snapshots.blobs, report.document.root)
            return {entry.path: trees.read_file(snapshots.blobs, entry) for entry in found}
        finally:
            snapshots.close()


def rolled_back(bank: Path, document: Document | None) -> RollbackReport:
    assert document is not None
    with opened(bank) as one:
        return rollback(one, document.id, yes=True)


def told(report: BackupReport) -> list[tuple[str, str]]:
    return [(one.rule, one.path) for one in report.findings]


# A file that cannot be read


@pytest.mark.parametrize("name", [NOTE, "trades/odd.json"])
def test_a_read_that_fails_once_leaves_the_file_out_once(
    bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One is too large for a blob, the other does not fit its schema: both are read late."""
    put(bank / NOTE, os.urandom(FILE_BLOB_SIZE + 1), age=HOUR)
    put(bank / "trades/odd.json", {"trade_id": 5, "amount": "x"}, age=HOUR)
    backed_up(bank)
    backed_up(bank)  # all is settled now
    there, place = held(bank, backed_up(bank)), str(tmp_path / "other")
    with monkeypatch.context() as patch:
        failing(patch, name)
        patch.setattr(LastGood, "row", lambda *_: None)
        failed = backed_up(bank, repo=place)
    assert told(failed) == [("MB307", name)]
    assert "is not in the snapshot" in failed.findings[0].message
    assert (failed.exit_code(), failed.excluded) == (1, (name,))
    assert held(bank, failed) == {path: data for path, data in there.items() if path != name}
    for _ in range(2):
        again = backed_up(bank, repo=place)
        assert (again.exit_code(), again.findings, again.excluded) == (0, (), ())
        assert again.document is not None
        assert (again.document.files, held(bank, again)) == (len(there), there)
    with opened(bank) as one, open_repository(one, place) as repository:
        assert verify(repository, None, True).findings == ()


def test_records_and_sections_count_what_is_in_the_snapshot(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bank / "trades/list.json", [PADDED, *map(trade, range(40))])
    whole = backed_up(bank).document
    put(bank / "trades/list.json", [PADDED, *map(trade, range(50))])
    failing(monkeypatch, "trades/list.json")
    made = backed_up(bank)
    assert whole is not None
    assert made.document is not None
    assert (made.document.records, made.document.sections) == (whole.records, whole.sections)
    assert made.findings[0].message.startswith("it could not be read, and the snapshot has its last good version: ")
    failing(monkeypatch, "trades/new.json")
    put(bank / "trades/new.json", [PADDED, *map(trade, range(60, 99))])
    made = backed_up(bank)
    assert told(made) == [("MB307", "trades/list.json"), ("MB307", "trades/new.json")]


def test_a_file_that_goes_while_it_is_saved_is_not_left_out(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bank / NOTE, os.urandom(FILE_BLOB_SIZE + 1))
    failing(monkeypatch, NOTE, errno.ENOENT)
    made = backed_up(bank)
    assert (made.exit_code(), made.excluded, NOTE in held(bank, made)) == (0, (), False)


def test_what_was_written_since_it_was_looked_at_is_saved_when_it_holds_still(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bank / "trades/list.json", [PADDED, *map(trade, range(3))])
    real = snapshot_rows.Source._content
    new = b""

    def content(self: snapshot_rows.Source, path: str, *rest: object) -> bytes:
        nonlocal new
        if path == "trades/list.json" and not new:
            new = put(bank / path, [PADDED, *map(trade, range(5))])
        return real(self, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_rows.Source, "_content", content)
    made = backed_up(bank)
    assert held(bank, made)["trades/list.json"] == new
    monkeypatch.setattr(snapshot_rows.Source, "_content", real)
    again = backed_up(bank)
    assert made.document is not None
    assert again.document is not None
    assert again.document.records == made.document.records
    assert again.document.sections == made.document.sections


# A large file that is written all the time


@pytest.fixture
def growing(bank: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Something is appended to each large file while it is read, so often as the only number in the list says."""
    for module in ("snapshot_rows", "last_good"):
        monkeypatch.setattr(f"memorybank_cli.operations.{module}.HARD_SIZE", FILE_BLOB_SIZE)
    real, left = reading.pieces, [0]

    def pieces(root: Root, path: str) -> Iterator[bytes]:
        for number, piece in enumerate(real(root, path)):
            if number == 0 and left[0]:
                left[0] -= 1
                with (bank / path).open("ab") as file:
                    file.write(b"line\n")
            yield piece

    monkeypatch.setattr(snapshot_rows, "pieces", pieces)
    return left


def test_a_large_file_that_grows_is_tried_again(bank: Path, growing: list[int]) -> None:
    data = put(bank / "notes/events.log", bytes(FILE_BLOB_SIZE + 9))
    growing[0] = 2
    made = backed_up(bank)
    assert (made.exit_code(), made.findings) == (0, ())
    assert held(bank, made)["notes/events.log"] == data + 2 * b"line\n"


def test_a_large_file_that_never_holds_still_stands_there_as_it_was_saved_last(bank: Path, growing: list[int]) -> None:
    data = put(bank / "notes/events.log", bytes(FILE_BLOB_SIZE + 9))
    backed_up(bank)
    put(bank / "notes/events.log", bytes(FILE_BLOB_SIZE + 99))
    growing[0] = 1000
    made = backed_up(bank)
    assert (told(made), made.exit_code(), made.excluded) == ([("MB307", "notes/events.log")], 1, ())
    assert held(bank, made)["notes/events.log"] == data
    growing[0] = 0
    assert held(bank, backed_up(bank))["notes/events.log"] == (bank / "notes/events.log").read_bytes()


def test_a_rollback_leaves_what_the_snapshot_could_not_read(bank: Path, growing: list[int]) -> None:
    put(bank / "notes/events.log", bytes(FILE_BLOB_SIZE + 9))
    growing[0] = 1000
    made = backed_up(bank)
    assert (made.excluded, told(made)) == (("notes/events.log",), [("MB307", "notes/events.log")])
    growing[0] = 0
    put(bank / "notes/new.md", b"new\n")
    there = (bank / "notes/events.log").read_bytes()
    back = rolled_back(bank, made.document)
    assert back.removed == ("notes/new.md",)
    assert [(one.rule, one.path) for one in back.findings] == [("MB131", "notes/events.log")]
    assert (bank / "notes/events.log").read_bytes() == there


def test_a_rollback_leaves_a_file_where_a_link_was(bank: Path) -> None:
    (bank / "notes/link").symlink_to("short.md")
    (bank / "notes/directory").symlink_to(".")
    made = backed_up(bank).document
    (bank / "notes/link").unlink()
    (bank / "notes/directory").unlink()
    put(bank / "notes/link", b"a file now\n")
    put(bank / "notes/directory/inner.md", b"in a directory now\n")
    back = rolled_back(bank, made)
    assert (back.removed, [one.path for one in back.findings]) == ((), ["notes/link"])
    assert (bank / "notes/link").read_bytes() == b"a file now\n"
    assert (bank / "notes/directory/inner.md").exists()


# Which version is the last good one


@pytest.mark.parametrize("size", [30_000, FILE_BLOB_SIZE + 1])
def test_the_recorded_version_is_taken_from_a_suspect_snapshot(bank: Path, size: int) -> None:
    for number in range(60):
        put(bank / f"trades/n{number}.md", b"note\n")
    path = bank / "state/state.json"
    put(path, {"bot_status": "1" * size})
    backed_up(bank)
    recorded = put(path, {"bot_status": "2" * size})
    for number in range(60):
        (bank / f"trades/n{number}.md").unlink()
    adopt(bank)
    assert backed_up(bank).document.status == "suspect"  # type: ignore[union-attr]
    put(path, recorded[: len(recorded) // 2])
    made = backed_up(bank)
    assert made.damaged == ({"path": "state/state.json", "rule": "MB103"},)
    assert held(bank, made)["state/state.json"] == recorded


def test_without_the_recorded_version_it_is_the_newest_good_one(bank: Path) -> None:
    path = bank / "state/state.json"
    for letter in "12":
        saved = put(path, {"bot_status": letter * 30_000})
        backed_up(bank)
    put(path, {"bot_status": "3" * 30_000})
    adopt(bank)
    put(path, b'{"bot_status": "3')
    assert held(bank, backed_up(bank))["state/state.json"] == saved
