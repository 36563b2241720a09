"""What differs: between two snapshots, and between a snapshot and the bank as it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.base import walk
from memorybank_cli.base.errors import SnapshotNotFound
from memorybank_cli.operations import standing
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.comparing import diff
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import resolve
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, put


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    put(path / "state/state.json", {"cycle": 1, "mode": "live"})
    put(path / "trades/list.json", [{"trade_id": number, "price": 1.5} for number in range(4)])
    return path


def saved(bank: Path) -> str:
    made = backed_up(bank).document
    assert made is not None
    return made.id


def compared(bank: Path, *sides: str, **options: Any) -> dict[str, Any]:
    with opened(bank) as one:
        return diff(one, *sides, **options).as_dict()


def files(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["what"], one["path"]) for one in report["files"]]


def records(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["what"], one["kind"], one["id"]) for one in report["records"]]


def change_everything(bank: Path) -> None:
    put(bank / "state/state.json", {"cycle": 2, "mode": "live"})
    put(bank / "trades/list.json", [{"trade_id": 3, "price": 1.5}, {"trade_id": 1, "price": 2}, {"trade_id": 9}])
    put(bank / "trades/new.json", {"trade_id": "n", "timestamp": "2026-01-01T00:00:00Z"})
    put(bank / "docs/notes.md", b"notes")


CHANGED = [
    ("added", "docs/notes.md"),
    ("changed", "state/state.json"),
    ("changed", "trades/list.json"),
    ("added", "trades/new.json"),
]
RECORDS = [
    ("changed", "member", "cycle"),
    ("changed", "trade", "1"),
    ("added", "trade", "9"),
    ("removed", "trade", "0"),
    ("removed", "trade", "2"),
    ("added", "trade", "n"),
]


def test_the_bank_against_the_newest_snapshot(bank: Path) -> None:
    before = saved(bank)
    assert compared(bank)["files"] == []
    change_everything(bank)
    report = compared(bank)
    assert (report["before"], report["after"]) == (before, "now")
    assert files(report) == CHANGED
    assert records(report) == RECORDS
    assert report["records"][1]["fields"] == [{"pointer": "/price", "what": "changed", "before": 1.5, "after": 2}]
    listed = report["files"][2]
    assert (listed["records"], listed["reordered"]) == ({"changed": 1, "added": 1, "removed": 2}, True)
    assert report["sections"]["trades"] == {
        "files": {"changed": 1, "added": 1},
        "records": {"changed": 1, "added": 2, "removed": 2},
    }


def test_two_snapshots_say_the_same(bank: Path) -> None:
    before = saved(bank)
    change_everything(bank)
    now = compared(bank)
    after = saved(bank)
    report = compared(bank, before, after)
    assert (report["files"], report["records"]) == (now["files"], now["records"])
    back = compared(bank, after, before)
    assert [one["what"] for one in back["files"]] == ["removed", "changed", "changed", "removed"]


def test_sections_only(bank: Path) -> None:
    saved(bank)
    change_everything(bank)
    report = compared(bank, stat=True)
    assert report.keys() == {"before", "after", "sections", "stat", "findings"}
    assert report["sections"]["docs"] == {"files": {"added": 1}, "records": {}}


def test_files_in_the_bank_that_nobody_changed_are_not_read(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(bank)
    put(bank / "state/state.json", {"cycle": 5})
    looked: list[str] = []

    class Looking(Examiner):
        def file(self, name: str, *more: Any, **options: Any) -> Any:
            looked.append(name)
            return super().file(name, *more, **options)

    monkeypatch.setattr(standing, "Examiner", Looking)
    assert files(compared(bank)) == [("changed", "state/state.json")]
    assert looked == ["state.json"]


def test_what_is_damaged_removed_or_only_written_differently(bank: Path) -> None:
    before = saved(bank)
    put(bank / "trades/trade_0.json", b'{"timestamp": "20')
    whole = json.loads((bank / "trades/trade_1.json").read_bytes())
    put(bank / "trades/trade_1.json", json.dumps(whole).encode())
    (bank / "trades/trade_2.json").unlink()
    (bank / "state/state.json").chmod(0o640)
    report = compared(bank)
    assert files(report) == [
        ("mode", "state/state.json"),
        ("damaged", "trades/trade_0.json"),
        ("changed", "trades/trade_1.json"),
        ("removed", "trades/trade_2.json"),
    ]
    mode, damaged, rewritten, _ = report["files"]
    assert (mode["after"]["mode"], damaged["unreadable"]) == ("0640", "after")
    assert (damaged["after"]["rule"], rewritten["after"]["rule"], rewritten["same_values"]) == ("MB103", "MB113", True)
    assert records(report) == [("removed", "trade", f"0x{2:064x}")]
    # A snapshot holds the last good version of what is damaged, so there no record differs.
    after = saved(bank)
    report = compared(bank, before, after)
    assert files(report) == [
        ("mode", "state/state.json"),
        ("damaged", "trades/trade_0.json"),
        ("damaged", "trades/trade_1.json"),
    ]
    assert records(report) == []
    # What was held back stands there still; what was missing is missing.
    assert files(compared(bank, after)) == [("removed", "trades/trade_2.json")]


def test_a_change_that_was_accepted_is_healed(bank: Path) -> None:
    put(bank / "trades/trade_0.json", {"timestamp": "2026-01-01T00:00:00Z", "net_profit": 7})
    held_back = saved(bank)
    assert compared(bank)["files"] == []
    with opened(bank) as one:
        accept(one, "trades/trade_0.json")
    after = saved(bank)
    report = compared(bank, held_back, after)
    assert files(report) == [("healed", "trades/trade_0.json")]
    assert records(report)[0][:2] == ("changed", "trade")


def test_messages_are_one_history_for_each_account(bank: Path) -> None:
    with opened(bank) as one:
        create(one, "a")
        create(one, "b")
        store(one, "a", [Message("user", f"text {number}", id=f"m{number}") for number in range(3)])
    before = saved(bank)
    with opened(bank) as one:
        store(one, "a", [Message("user", f"text {number}", id=f"m{number}") for number in range(3, 2_600)])
    report = compared(bank)
    assert {one["path"] for one in report["records"]} == {"account_a"}
    assert [one["id"] for one in report["records"]] == [f"m{number}" for number in range(3, 2_600)]
    assert {one["what"] for one in report["records"]} == {"added"}
    assert report["sections"]["account_a"]["records"] == {"added": 2_597}
    assert any(one["path"].startswith("account_a/history/") for one in report["files"])
    assert compared(bank, account="b")["files"] == []
    after = saved(bank)
    back = compared(bank, after, before, account="a")
    assert {one["what"] for one in back["records"]} == {"removed"}
    assert len(back["records"]) == 2_597


def test_a_history_that_is_damaged_is_compared_by_its_bytes(bank: Path) -> None:
    with opened(bank) as one:
        create(one, "a")
        store(one, "a", [Message("user", "text", id="m")])
    saved(bank)
    put(bank / "account_a/whole_history.json", b"{")
    report = compared(bank)
    assert [(one["what"], one["path"], one["unreadable"]) for one in report["files"]] == [
        ("damaged", "account_a/whole_history.json", "after")
    ]


def test_a_file_of_an_account_that_was_changed_by_hand(bank: Path) -> None:
    with opened(bank) as one:
        create(one, "a")
        store(one, "a", [Message("user", "text", id="m")])
    saved(bank)
    tier = bank / "account_a/short_term.json"
    put(tier, json.loads(tier.read_bytes()) | {"first": 5})
    report = compared(bank)
    assert [(one["path"], one["after"]["rule"]) for one in report["files"]] == [("account_a/short_term.json", "MB110")]
    assert records(report) == [("changed", "member", "first")]


def test_a_part_of_the_bank(bank: Path) -> None:
    saved(bank)
    change_everything(bank)
    assert files(compared(bank, path=("trades/new.json", "docs"))) == [CHANGED[0], CHANGED[3]]
    assert files(compared(bank, path=(str(bank / "state"),))) == [CHANGED[1]]
    assert len(compared(bank, path=(".",))["files"]) == (0 if Path.cwd() == bank else 4)
    with pytest.raises(SnapshotNotFound) as caught:
        compared(bank, path=("trades/lst.json",))
    assert caught.value.hint == "did you mean trades/list.json or trades/new.json?"


def test_a_directory_that_is_gone(bank: Path) -> None:
    saved(bank)
    every = sorted((bank / "trades").iterdir())
    for one in every:
        one.unlink()
    (bank / "trades").rmdir()
    report = compared(bank, path=("trades/list.json",))
    assert files(report) == [("removed", "trades/list.json")]
    assert files(compared(bank)) == [("removed", f"trades/{one.name}") for one in every]


def test_a_directory_that_cannot_be_looked_into(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(bank)
    real = walk.may
    monkeypatch.setattr(walk, "may", lambda path, *more: path != "trades" and real(path, *more))
    report = compared(bank)
    assert report["files"] == []
    assert [(one["rule"], one["path"]) for one in report["findings"]] == [("MB307", "trades")]


def test_a_file_that_cannot_be_read_is_named(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(bank)
    put(bank / "state/state.json", {"cycle": 5})
    put(bank / "state/gone.json", {})

    class Looking(Examiner):
        def file(self, name: str, *more: Any, **options: Any) -> Any:
            raise Changing("it keeps changing") if name == "state.json" else FileNotFoundError

    monkeypatch.setattr(standing, "Examiner", Looking)
    with opened(bank) as one:
        report = diff(one)
    assert report.exit_code() == 1
    assert report.files == ()
    assert [(found.rule, found.path) for found in report.findings] == [("MB307", "state/state.json")]


def test_large_files_by_their_pieces(bank: Path) -> None:
    put(bank / "docs/same.bin", b"x" * (9 << 20))
    put(bank / "docs/other.bin", b"x" * (9 << 20))
    saved(bank)
    with opened(bank) as one:
        one.catalog.forget_seen()
    put(bank / "docs/same.bin", b"x" * (9 << 20))
    put(bank / "docs/other.bin", b"x" * (5 << 20) + b"y" + b"x" * ((4 << 20) - 1))
    assert files(compared(bank)) == [("changed", "docs/other.bin")]


def test_a_tree_or_content_that_cannot_be_had_is_named(bank: Path) -> None:
    before = saved(bank)
    change_everything(bank)
    after = saved(bank)
    with opened(bank) as one, open_repository(one, None) as repository:
        entry = trees.find(Blobs(repository), resolve(repository, after).root, "state/state.json")
        assert isinstance(entry, trees.FileEntry)
        assert entry.good is not None
        gone = entry.good[0]
    real = Blobs.get

    def get(self: Blobs, name: str) -> bytes:
        if name == gone:
            raise Damaged("gone")
        return real(self, name)

    with pytest.MonkeyPatch.context() as patch, opened(bank) as one:
        patch.setattr(Blobs, "get", get)
        report = diff(one, before, after)
    assert report.exit_code() == 1
    assert [(found.rule, found.path) for found in report.findings] == [("MB130", "state/state.json")]
    assert len(report.files) == 4


def test_as_a_command(bank: Path, run: Run) -> None:
    before = saved(bank)
    done = run("snapshot", "diff", cwd=bank)
    assert (done.returncode, done.stdout) == (0, f"Nothing differs between snapshot {before} and now.\n")
    change_everything(bank)
    done = run("snapshot", "diff", cwd=bank)
    assert done.returncode == 0
    assert "changed trade 1: price 1.5 -> 2\n" in done.stdout
    assert done.stdout.endswith(f"4 files and 6 records differ between snapshot {before} and now\n")
    done = run("snapshot", "diff", before, "now", "--stat", cwd=bank)
    assert "SECTION  FILES               RECORDS\n" in done.stdout
    done = run("snapshot", "diff", "nothing", "--json", cwd=bank)
    assert (done.returncode, done.error["code"]) == (10, "snapshot_not_found")
