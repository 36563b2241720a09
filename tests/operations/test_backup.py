"""Backup: what a snapshot holds, what it costs, and that damage never displaces good."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.base import clock
from memorybank_cli.base.errors import Refused
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.backup_report import BackupReport
from memorybank_cli.operations.reading import pieces
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.operations.snapshots import restore
from memorybank_cli.snapshots import saving, trees
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put

LARGE = "x" * 20_000  # more than the journal keeps of a version
BROKEN = b'{"timestamp" "2025"}'


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def document(report: BackupReport) -> Document:
    assert report.document is not None
    return report.document


def restored(bank: Path, to: Path, expect: int = 0) -> dict[str, bytes]:
    """What the newest snapshot puts into a new directory."""
    with opened(bank) as one:
        done = restore(one, to=str(to))
    assert done.exit_code() == expect
    return contents(to)


def entries(bank: Path) -> dict[str, trees.FileEntry]:
    """The files of the newest snapshot."""
    with opened(bank) as one:
        snapshots = Snapshots(one)
        try:
            return {found.path: found for found in trees.files(snapshots.blobs, snapshots.newest_first()[0].root)}
        finally:
            snapshots.close()


def age(bank: Path) -> None:
    """Let every file be an hour old, so that its stat can be relied on."""
    for path in bank.rglob("*.*"):
        if path.is_file():
            put(path, path.read_bytes(), age=3600)


# What it holds


def test_a_snapshot_holds_every_byte_and_restores_it(bank: Path, tmp_path: Path, home: Path) -> None:
    report = backed_up(bank, tag=("first",))
    made = document(report)
    assert (made.status, made.reasons, made.tags, report.exit_code()) == ("good", (), ("first",), 0)
    assert restored(bank, tmp_path / "to") == contents(bank)
    assert made.files == report.files == len(contents(bank))
    assert made.bytes == sum(map(len, contents(bank).values()))
    assert report.repository == str(home / "repositories" / made.bank_id)
    assert journal(bank)[-1]["snapshot"] == made.id
    assert f"Snapshot {made.id}: " in report.summary()


def test_the_second_snapshot_of_the_same_writes_next_to_nothing(bank: Path) -> None:
    first, second = backed_up(bank), backed_up(bank)
    assert document(second).parent == document(first).id
    assert document(second).root == document(first).root
    assert second.new_bytes == 0 < first.new_bytes


def test_a_file_whose_stat_did_not_move_is_not_read_again(make_bank: MakeBank) -> None:
    bank = make_bank(30, padded=False)
    age(bank)
    backed_up(bank)
    good = (bank / "trades/trade_7.json").read_bytes()
    before = entries(bank)["trades/trade_7.json"].good
    put(bank / "trades/trade_7.json", good.replace(b"2025", b"2026"), age=3600)
    info = (bank / "trades/trade_7.json").stat()
    with opened(bank) as one, one.catalog.writing():  # as if the catalog had seen these very stats a moment ago
        one.catalog.db.execute(
            "UPDATE files SET s_mtime=?, s_ctime=?, s_inode=?, s_hashed=? WHERE name='trade_7.json'",
            (info.st_mtime_ns, info.st_ctime_ns, info.st_ino, clock.now_ns() + 10**9),
        )
    assert backed_up(bank).damaged == ()
    assert entries(bank)["trades/trade_7.json"].good == before


def test_what_never_belongs_into_a_snapshot_is_listed(bank: Path, tmp_path: Path) -> None:
    put(bank / "state/prod.env", b"PASSWORD=1")
    put(bank / "config/server.pem", b"-----BEGIN")
    put(bank / "config/id_ed25519", b"-----BEGIN")
    put(bank / ".env", b"A=1")
    put(bank / "docs/.git/config", b"[core]")
    (bank / "state/link.json").symlink_to(tmp_path / "outside.json")
    (bank / "metrics/elsewhere").symlink_to(tmp_path)
    os.mkfifo(bank / "state/pipe.json")
    inner = bank / "docs/inner"
    put(inner / "bank.json", b"{}")
    put(inner / "trades/t.json", trade(1))
    report = backed_up(bank)
    assert set(report.excluded) == {
        ".env",
        "config/id_ed25519",
        "config/server.pem",
        "docs/.git",
        "docs/inner",
        "metrics/elsewhere",
        "state/link.json",
        "state/pipe.json",
        "state/prod.env",
    }
    assert document(report).excluded == report.excluded
    assert report.exit_code() == 0
    assert not {"state/prod.env", "docs/inner/bank.json", "state/link.json"} & set(entries(bank))


def test_names_that_are_no_text(bank: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"docs/\xff\n\x1b[31m\\.md")
    put(bank / odd, b"odd")
    report = backed_up(bank)
    assert report.exit_code() == 0
    assert "docs/\\xff\\x0a\\x1b[31m\\\\.md" in entries(bank)
    assert restored(bank, tmp_path / "to")[odd] == b"odd"


def test_a_file_of_more_than_one_blob(bank: Path, tmp_path: Path) -> None:
    data = put(bank / "metrics/large.json", {"noise": random.Random(7).randbytes(2_300_000).hex()})
    assert len(data) > FILE_BLOB_SIZE
    report = backed_up(bank)
    ids = entries(bank)["metrics/large.json"].good
    assert ids is not None
    assert len(ids) == 2
    assert report.exit_code() == 0
    assert restored(bank, tmp_path / "to")["metrics/large.json"] == data
    again = backed_up(bank)
    assert again.new_bytes == 0
    put(bank / "metrics/large.json", data[:-100])
    assert [one["rule"] for one in backed_up(bank).damaged] == ["MB103"]
    assert restored(bank, tmp_path / "again")["metrics/large.json"] == data


def test_modes_and_times_are_kept(bank: Path) -> None:
    (bank / "state/state.json").chmod(0o640)
    os.utime(bank / "state/state.json", ns=(5, 1_700_000_000_123_456_789))
    backed_up(bank)
    entry = entries(bank)["state/state.json"]
    assert (entry.mode, entry.mtime_ns) == (0o640, 1_700_000_000_123_456_789)


# Damage never displaces good


@pytest.mark.parametrize("damage", [BROKEN, b"", bytes(50), b'{"a": 1}\0\0\0', b'[{"a": 1}, {"a'])
def test_a_damaged_file_stands_beside_the_journals_version(bank: Path, tmp_path: Path, damage: bytes) -> None:
    good = contents(bank)
    put(bank / "trades/trade_0.json", damage)
    report = backed_up(bank)
    assert report.exit_code() == 1
    assert [one["path"] for one in report.damaged] == ["trades/trade_0.json"]
    made = document(report)
    assert (made.status, made.reasons) == ("good", ("1 damaged file beside the last good version",))
    assert "1 damaged file beside the last good version; next: memorybank repair" in report.summary()
    entry = entries(bank)["trades/trade_0.json"]
    assert (entry.rule, entry.found is not None) == (report.damaged[0]["rule"], True)
    assert entry.size == len(good["trades/trade_0.json"])
    assert restored(bank, tmp_path / "to") == good


def test_a_damaged_file_too_large_for_the_journal_stands_beside_the_last_snapshots(bank: Path, tmp_path: Path) -> None:
    large = put(bank / "trades/large.json", {**trade(1), "strategy": LARGE})
    backed_up(bank)
    first = entries(bank)["trades/large.json"]
    for damage in (BROKEN, bytes(3)):
        put(bank / "trades/large.json", damage)
        assert backed_up(bank).exit_code() == 1
        entry = entries(bank)["trades/large.json"]
        assert (entry.good, entry.size, entry.mtime_ns) == (first.good, first.size, first.mtime_ns)
        assert entry.found is not None
    assert restored(bank, tmp_path / "to")["trades/large.json"] == large


def test_the_journals_version_is_newer_than_the_last_snapshots(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    newer = put(bank / "state/state.json", {"bot_status": "stopped"})
    adopt(bank)
    put(bank / "state/state.json", BROKEN)
    backed_up(bank)
    assert restored(bank, tmp_path / "to")["state/state.json"] == newer


def test_a_file_that_never_was_good_is_kept_as_it_was_found(bank: Path, tmp_path: Path) -> None:
    put(bank / "trades/new.json", BROKEN)
    assert backed_up(bank).damaged == ({"path": "trades/new.json", "rule": "MB101"},)
    assert backed_up(bank).damaged == ({"path": "trades/new.json", "rule": "MB101"},)
    entry = entries(bank)["trades/new.json"]
    assert (entry.good, entry.rule) == (None, "MB101")
    assert restored(bank, tmp_path / "to", expect=1)["trades/new.json"] == BROKEN


def test_changes_that_nobody_accepted_are_held_back(bank: Path, tmp_path: Path) -> None:
    put(bank / "config/memorybank.json", {"settle_ms": 100})
    with opened(bank) as one:
        accept(one, "config/memorybank.json")
    good = contents(bank)
    put(bank / "trades/trade_0.json", {**trade(0), "success": False})
    put(bank / "config/memorybank.json", {"settle_ms": 500})
    (bank / "trades/trade_1.json").unlink()
    report = backed_up(bank)
    assert {one["path"]: one["rule"] for one in report.damaged} == {
        "config/memorybank.json": "MB110",
        "trades/trade_0.json": "MB113",
        "trades/trade_1.json": "MB111",
    }
    assert report.exit_code() == 1
    assert restored(bank, tmp_path / "to") == good
    with opened(bank) as one:
        accept(one, ".")
    assert backed_up(bank).exit_code() == 0
    assert restored(bank, tmp_path / "again") == contents(bank)


def test_a_file_that_is_gone_and_nowhere_is_said_to_be_so(bank: Path) -> None:
    put(bank / "trades/large.json", {**trade(1), "strategy": LARGE})
    adopt(bank)
    (bank / "trades/large.json").unlink()
    report = backed_up(bank)
    assert report.damaged == ({"path": "trades/large.json", "rule": "MB111"},)
    assert "trades/large.json" not in entries(bank)


def test_a_file_that_changes_during_the_read_is_held_back_until_it_holds_still(bank: Path) -> None:
    path = bank / "state/state.json"
    good = path.read_bytes()
    stop, number = threading.Event(), 0

    def write() -> None:
        nonlocal number
        with path.open("r+b", buffering=0) as file:
            while not stop.is_set():
                number += 1
                file.seek(0)
                file.write(json.dumps({"bot_status": "x" * 50_000, "n": number}).encode())
                time.sleep(0.0002)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not number:
            pass
        report = backed_up(bank)
    finally:
        stop.set()
        writer.join()
    held = entries(bank)["state/state.json"]
    if report.findings:
        assert {one.rule for one in report.findings} <= {"MB307"}
        assert report.exit_code() == 1
        assert held.size == len(good)
    else:  # it held still for one read: then it is a state that existed
        assert held.size > 50_000
    assert backed_up(bank).findings == ()
    assert entries(bank)["state/state.json"].size == path.stat().st_size


# How it is called


def test_a_rehearsal_writes_nothing(bank: Path, home: Path) -> None:
    put(bank / "trades/trade_0.json", BROKEN)
    put(bank / "trades/new.json", trade(9))
    before = {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name}
    report = backed_up(bank, dry_run=True)
    assert {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name} == before
    assert not (home / "repositories").exists()
    assert (report.document, report.files, report.exit_code()) == (None, len(contents(bank)), 1)
    assert report.damaged == ({"path": "trades/trade_0.json", "rule": "MB101"},)
    assert report.as_dict()["snapshot"]["id"] is None
    assert report.summary().startswith("Would save ")


def test_a_repository_inside_the_bank_is_refused(bank: Path, tmp_path: Path, run: Run) -> None:
    for place in (bank / "backups", bank):
        with pytest.raises(Refused):
            backed_up(bank, repo=str(place))
    (tmp_path / "round").symlink_to(bank / "state")
    refused = run("backup", "--repo", tmp_path / "round" / "repo", "--json", cwd=bank)
    assert (refused.returncode, refused.error["code"]) == (13, "refused")
    assert not (bank / "state/repo").exists()


def test_another_repository_and_no_proof_afterwards(bank: Path, tmp_path: Path, home: Path) -> None:
    report = backed_up(bank, repo=str(tmp_path / "elsewhere"), verify=False)
    assert report.repository == str(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/config.json").exists()
    assert not (home / "repositories").exists()


def test_the_command(bank: Path, run: Run) -> None:
    done = run("backup", "--json", "--tag", "a", "--tag", "b", cwd=bank)
    assert done.returncode == 0
    snapshot = done.json["snapshot"]
    assert set(snapshot) >= {
        "id",
        "time",
        "seq",
        "status",
        "reasons",
        "files",
        "bytes",
        "new_bytes",
        "damaged",
        "excluded",
    }
    put(bank / "trades/trade_0.json", BROKEN)
    held = run("backup", cwd=bank)
    assert held.returncode == 1
    assert "trades/trade_0.json" in held.stdout or "1 damaged" in held.stdout
    assert run("snapshot", "list", "--tag", "b", "--json", cwd=bank).json["snapshots"][0]["id"] == snapshot["id"]


def test_a_repository_that_cannot_be_made_is_a_clear_error(bank: Path, tmp_path: Path, run: Run) -> None:
    put(tmp_path / "file", b"")
    failed = run("backup", "--repo", tmp_path / "file" / "repo", "--json", cwd=bank)
    assert (failed.returncode, failed.error["code"]) == (3, "operation_failed")
    put(tmp_path / "other/config.json", {"format": "something else"})
    failed = run("backup", "--repo", tmp_path / "other", "--json", cwd=bank)
    assert failed.returncode in (3, 14)


@pytest.mark.slow
def test_a_file_that_is_too_large_for_memory_is_saved_in_pieces(bank: Path) -> None:
    put(bank / "docs/large.bin", b"beginning")
    os.truncate(bank / "docs/large.bin", HARD_SIZE + 5)
    put(bank / "state/large.json", b"{}")
    os.truncate(bank / "state/large.json", HARD_SIZE + 7)
    report = backed_up(bank)
    assert report.damaged == ({"path": "state/large.json", "rule": "MB108"},)
    whole, found = entries(bank)["docs/large.bin"], entries(bank)["state/large.json"]
    assert (whole.size, len(whole.good or ())) == (HARD_SIZE + 5, HARD_SIZE // FILE_BLOB_SIZE + 1)
    assert (found.good, len(found.found or ())) == (None, HARD_SIZE // FILE_BLOB_SIZE + 1)
    with opened(bank) as one:
        snapshots = Snapshots(one)
        try:
            assert trees.read_file(snapshots.blobs, whole) == (bank / "docs/large.bin").read_bytes()
        finally:
            snapshots.close()


def test_all_pieces_but_the_last_are_full_where_reads_are_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * FILE_BLOB_SIZE + 5))
    real = os.read
    monkeypatch.setattr("os.read", lambda fd, length: real(fd, min(length, 1 << 20)))
    with closing(Root(tmp_path)) as root:
        assert [len(piece) for piece in pieces(root, "large")] == [FILE_BLOB_SIZE, FILE_BLOB_SIZE, 5]


# What is gone, or became something else


def test_files_of_a_directory_that_is_gone_stay_in_the_snapshot(bank: Path, tmp_path: Path) -> None:
    for name in ("2024/a", "2024/12/b", "2025/c"):
        put(bank / f"trades/{name}.json", trade(1))
    backed_up(bank)
    good = contents(bank)
    shutil.rmtree(bank / "trades/2024")
    report = backed_up(bank)
    assert {one["path"]: one["rule"] for one in report.damaged} == {
        "trades/2024/a.json": "MB111",
        "trades/2024/12/b.json": "MB111",
    }
    assert report.exit_code() == 1
    assert restored(bank, tmp_path / "to") == good


def test_a_directory_where_a_file_should_be_and_the_other_way_round(bank: Path, tmp_path: Path) -> None:
    put(bank / "trades/2024/a.json", trade(1))
    backed_up(bank)
    good = contents(bank)
    (bank / "trades/trade_0.json").unlink()
    put(bank / "trades/trade_0.json/inner.json", trade(2))
    shutil.rmtree(bank / "trades/2024")
    put(bank / "trades/2024", b"no directory")
    report = backed_up(bank)
    assert {one["path"] for one in report.damaged} == {"trades/trade_0.json", "trades/2024/a.json"}
    assert set(report.excluded) == {"trades/trade_0.json", "trades/2024"}
    assert restored(bank, tmp_path / "to") == good


def test_a_bank_json_in_a_section_hides_no_file(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    good = contents(bank)
    put(bank / "trades/bank.json", {"format": 1})
    report = backed_up(bank)
    assert {one["path"] for one in report.damaged} >= {"trades/trade_0.json", "trades/trade_1.json"}
    kept = restored(bank, tmp_path / "to")
    assert {name for name in good if name.startswith("trades/trade_")} <= kept.keys()


# Interrupted, and long


def test_an_interrupted_backup_goes_on_where_it_was(
    bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr("memorybank_cli.snapshots.packing.FRAME_SIZE", 20_000)
    monkeypatch.setattr("memorybank_cli.snapshots.packing.PACK_SIZE", 100_000)
    for number in range(60):
        put(bank / f"docs/{number:02d}.bin", os.urandom(20_000), age=3600)
    real = saving._Run._sound

    def killed(self: saving._Run, batch: saving.Sound) -> None:
        real(self, batch)
        if batch.directory == "docs":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saving._Run, "_sound", killed)
        with pytest.raises(KeyboardInterrupt):
            backed_up(bank)
    with opened(bank) as one:
        packs = len([path for path in (Path(one.home.repository) / "packs").rglob("*") if path.is_file()])
    assert packs > 8
    report = backed_up(bank)
    assert report.adopted_packs == packs
    assert report.new_bytes < 200_000
    assert f"{packs} packs of an interrupted run adopted" in report.summary()
    assert run("backup", "--json", cwd=bank).json["snapshot"]["adopted_packs"] == 0
    assert restored(bank, tmp_path / "to") == contents(bank)


def test_a_repository_that_is_gone_is_told_once(bank: Path, tmp_path: Path, run: Run) -> None:
    usb = tmp_path / "usb"
    repo = ("--repo", str(usb / "repo"))
    assert backed_up(bank, repo=repo[1]).exit_code() == 0
    usb.rename(tmp_path / "away")
    done = run("backup", *repo, "--quiet", cwd=bank)
    assert (done.returncode, done.stderr.count("is gone; a new one was begun there")) == (1, 1)
    assert run("backup", *repo, "--quiet", cwd=bank).returncode == 0
    shutil.rmtree(usb)
    report = backed_up(bank, repo=repo[1])
    assert [(one.rule, one.path) for one in report.findings] == [("MB130", "")]
    assert report.findings[0].message in report.summary()
    assert run("backup", "--repo", str(tmp_path / "other"), cwd=bank).returncode == 0


def test_what_is_left_out_is_shown_shortened(bank: Path, run: Run) -> None:
    for number in range(30):
        put(bank / f"docs/{number}.env", b"secret")
    shown = run("backup", cwd=bank)
    assert shown.returncode == 0
    assert "... and 10 more left out (--json shows all)" in shown.stdout
    assert len(run("backup", "--json", cwd=bank).json["snapshot"]["excluded"]) == 30


def test_an_encrypted_repository_is_made(bank: Path, tmp_path: Path, run: Run) -> None:
    put(tmp_path / "word", b"correct horse\n")
    (tmp_path / "word").chmod(0o600)
    done = run(
        "backup", "--encrypt", "--password-file", tmp_path / "word", "--repo", tmp_path / "repo", "--json", cwd=bank
    )
    assert (done.returncode, done.json["encrypted"]) == (0, True)
    words = {path.read_bytes()[:8] for path in (tmp_path / "repo/snapshots").iterdir()}
    assert not any(word.startswith(b"{") for word in words)
    again = run("backup", "--repo", tmp_path / "repo", "--no-input", cwd=bank)
    assert again.returncode != 0
