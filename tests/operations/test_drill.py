"""The drill: verified means restored and validated."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from memorybank_cli.operations.accounts import Account, Accounts
from memorybank_cli.operations.drill import DrillReport, drill
from memorybank_cli.operations.proofs import last_drill
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.restoring import Restored, restore_to
from memorybank_cli.snapshots.saving import save
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, journal, opened, put
from tests.snapshots.making import row


@pytest.fixture
def bank(make_bank: MakeBank, run: Run) -> Path:
    path = make_bank(padded=False)
    for number in range(3):
        put(path / f"state/noise_{number}.json", {"noise": os.urandom(90_000).hex()})
    assert run("account", "create", "alpha", cwd=path).returncode == 0
    for text in ("one", "two"):
        assert run("message", "add", "--account", "alpha", "--role", "user", text, cwd=path).returncode == 0
    return path


def drilled(bank: Path, *arguments: str, **options: Any) -> DrillReport:
    with opened(bank) as one:
        return drill(one, *arguments, **options)


def repository(bank: Path) -> Path:
    with opened(bank) as one, open_repository(one, None) as found:
        return Path(found.path)


def scratch(bank: Path) -> Path:
    with opened(bank) as one:
        return Path(one.home.root.absolute("drill"))


def drills(bank: Path) -> list[dict[str, Any]]:
    return [core for core in journal(bank) if core["op"] == "drill.done"]


def snapshot_of(bank: Path, rows: bytes, count: int, records: int = 0) -> str:
    """A snapshot whose root is this tree, made by nobody's backup; its id."""
    with opened(bank) as one, open_repository(one, None) as repo:
        writer = PackWriter(repo, {})
        root = writer.add_tree(rows)
        writer.finish()
        made = documents.make(root, count, 0, documents.Meta(one.bank_id, seq=10_000, records=records))
        documents.write(repo, made)
    return made.id


def test_a_good_snapshot_passes(bank: Path, run: Run) -> None:
    made = backed_up(bank).document
    assert made is not None
    before = contents(bank)
    done = run("snapshot", "drill", "--json", cwd=bank)
    assert done.returncode == 0, done.stderr
    report = done.json
    assert (report["ok"], report["findings"], report["known"], report["kept"]) == (True, [], [], None)
    assert (report["snapshot"]["id"], report["files"], report["bytes"]) == (made.id, made.files, made.bytes)
    assert (report["records"], report["accounts"], report["messages"]) == (made.records, 1, 2)
    assert set(report["seconds"]) == {"restore", "validate", "recovery"}
    assert report["bytes_per_second"] > 0
    assert not scratch(bank).exists()
    assert contents(bank) == before
    (line,) = drills(bank)
    assert (line["result"], line["snapshot"], line["problems"]) == ("passed", made.id, [])
    assert line["restored"]["files"] == made.files
    assert run("log", "--verify", cwd=bank).returncode == 0
    assert "drill.done" in run("log", cwd=bank).stdout


def test_people_see_the_time_to_recovery_and_status_the_last_drill(bank: Path, run: Run) -> None:
    backed_up(bank)
    assert "last_drill" in run("status", "--json", cwd=bank).json
    assert "last drill" not in run("status", cwd=bank).stdout
    assert "drill_age_seconds" not in run("health", "--json", cwd=bank).json["samples"]
    shown = run("snapshot", "drill", cwd=bank).stdout
    assert "time to recovery:" in shown
    assert "1 account with 2 messages" in shown
    assert "is a whole, valid bank again" in shown
    assert "passed" in run("status", cwd=bank).stdout
    assert run("health", "--json", cwd=bank).json["samples"]["drill_age_seconds"] >= 0


def test_a_damaged_pack_fails_it(bank: Path, run: Run) -> None:
    backed_up(bank)
    for path in (repository(bank) / "packs").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[1000] ^= 1
            path.chmod(0o600)
            path.write_bytes(data)
    done = run("snapshot", "drill", "--json", cwd=bank)
    assert (done.returncode, done.json["ok"]) == (1, False)
    assert done.json["findings"]
    assert not scratch(bank).exists()
    assert [line["result"] for line in drills(bank)] == ["failed"]
    shown = run("snapshot", "drill", cwd=bank)
    assert (shown.returncode, "FAILED" in shown.stdout) == (1, True)
    assert "FAILED" in run("status", cwd=bank).stdout


def test_a_snapshot_whose_root_is_lost_fails_it(bank: Path) -> None:
    backed_up(bank)
    shutil.rmtree(repository(bank) / "packs")
    report = drilled(bank)
    assert not report.ok
    assert (report.files, report.kept) == (0, None)
    assert "cannot be restored" in report.findings[0].message
    assert drills(bank)[0]["problems"]


def test_two_verified_backups_that_were_empty(bank: Path, run: Run) -> None:
    """A public attempt kept two "verified" backups that were empty archives of 87 bytes."""
    good = backed_up(bank).document
    assert good is not None
    kept = contents(bank)
    for name in kept:
        if name != "bank.json":
            (bank / name).unlink()
    for _ in range(2):
        done = run("backup", "--json", cwd=bank)
        assert (done.returncode, done.json["snapshot"]["status"]) == (1, "suspect")
    assert drilled(bank).snapshot.id == good.id  # what would be restored is what was good
    for name, data in kept.items():
        put(bank / name, data)
    empty = snapshot_of(bank, b"[]", 0)
    verified = run("snapshot", "verify", empty, "--read-data", "--json", cwd=bank)
    assert (verified.returncode, verified.json["ok"]) == (0, True)  # each of its no bytes is as it was written
    failed = run("snapshot", "drill", empty, "--json", cwd=bank)
    assert (failed.returncode, failed.json["ok"]) == (1, False)
    assert any("holds no file at all" in one["message"] for one in failed.json["findings"])


def test_a_snapshot_without_records_fails_where_the_bank_has_some(bank: Path) -> None:
    backed_up(bank)
    with opened(bank) as one, open_repository(one, None) as repo:
        (pack, *_) = documents.listing(repo).documents
        assert pack.records
    readme = snapshot_of(bank, _tree_of(bank, "README.md"), 1)
    report = drilled(bank, readme)
    assert any("holds no record at all" in one.message for one in report.findings)


def test_records_that_did_not_come_back_fail_it(bank: Path) -> None:
    backed_up(bank)
    report = drilled(bank, snapshot_of(bank, _tree_of(bank, "bank.json"), 1, records=5))
    assert any("says that it has 5 records" in one.message for one in report.findings)


def test_what_cannot_be_opened_as_a_bank_fails_it(bank: Path) -> None:
    backed_up(bank)
    report = drilled(bank, snapshot_of(bank, _tree_of(bank, "README.md"), 1, records=5))
    assert any("cannot be opened as a bank" in one.message for one in report.findings)


def test_fewer_files_than_the_snapshot_says_fail_it(bank: Path) -> None:
    backed_up(bank)
    report = drilled(bank, snapshot_of(bank, _tree_of(bank, "bank.json"), 7, records=1))
    assert any("says that it has 7 files; 1 came back" in one.message for one in report.findings)


def _tree_of(bank: Path, *names: str) -> bytes:
    """A tree of files of the newest snapshot's root."""
    with opened(bank) as one, open_repository(one, None) as repo:
        document = documents.resolve(repo, "latest")
        found = [entry for entry in trees.files(Blobs(repo), document.root) if entry.path in names]
    assert len(found) == len(names)
    return orjson.dumps([["f", one.path, one.mode, one.mtime_ns, (one.good or ("",))[0], one.size] for one in found])


def test_trouble_that_the_bank_has_too_is_known(bank: Path, run: Run) -> None:
    put(bank / "trades/never_good.json", b'{"trade_id": "never good"')
    put(bank / "state/state.json", {"bot_status": 7})
    assert run("backup", cwd=bank).returncode == 1
    report = drilled(bank)
    assert report.ok, report.findings
    assert ("MB103", "trades/never_good.json") in {(one.rule, one.path) for one in report.known}
    assert "came along" in run("snapshot", "drill", cwd=bank).stdout


def test_trouble_that_the_bank_has_no_more_fails_it(bank: Path) -> None:
    """An account whose history does not fit: a snapshot of the time before it was cured is no good to go back to."""
    path = "account_alpha/whole_history.json"
    wrong = (bank / path).read_bytes().replace(b'"total": 2', b'"total": 3')
    assert wrong != (bank / path).read_bytes()
    backed_up(bank)
    report = drilled(bank, _with_another(bank, path, wrong))
    assert ("MB114", path) in {(one.rule, one.path) for one in report.findings}, report.findings


def _with_another(bank: Path, path: str, data: bytes) -> str:
    """A snapshot like the newest, with other bytes in one file; its id."""
    with opened(bank) as one, open_repository(one, None) as repo:
        document, blobs = documents.resolve(repo, "latest"), Blobs(repo)
        found = []
        for entry in trees.files(blobs, document.root):
            content = data if entry.path == path else trees.read_file(blobs, entry)
            found.append(row(entry.path, content))
        return save(repo, found, lambda _: documents.Meta(one.bank_id, seq=10_000, records=1)).document.id


def test_places(bank: Path, tmp_path: Path, run: Run) -> None:
    backed_up(bank)
    kept = drilled(bank, keep=True)
    assert kept.kept == str(scratch(bank) / "bank")
    assert contents(Path(kept.kept)).keys() == contents(bank).keys()
    assert drilled(bank).kept is None  # and what was kept is gone
    assert not scratch(bank).exists()
    (tmp_path / "there").mkdir()
    for name in ("there", "new/place"):
        done = run("snapshot", "drill", "--to", tmp_path / name, "--json", cwd=bank)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name).exists() is (name == "there")
    assert list((tmp_path / "there").iterdir()) == []
    done = run("snapshot", "drill", "--to", tmp_path / "there", "--keep", cwd=bank)
    assert done.returncode == 0
    assert "kept:" in done.stdout
    assert contents(tmp_path / "there")
    for place in (tmp_path / "there", bank / "inside", repository(bank) / "inside"):
        refused = run("snapshot", "drill", "--to", place, "--json", cwd=bank)
        assert (refused.returncode, refused.error["code"]) == (13, "refused")
    assert contents(tmp_path / "there")
    assert run("snapshot", "drill", "nosuch", cwd=bank).returncode == 10


def test_a_killed_drill_leaves_nothing_that_stays(bank: Path) -> None:
    for number in range(200):
        put(bank / f"state/many_{number}.json", {"noise": os.urandom(20_000).hex()})
    backed_up(bank)
    place = scratch(bank)
    child = subprocess.Popen([sys.executable, "-m", "memorybank_cli", "snapshot", "drill"], cwd=bank)
    until = time.monotonic() + 60
    while not (place.exists() and any(place.iterdir())) and child.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert place.exists()
    assert drilled(bank).ok
    assert not place.exists()


def test_an_interrupted_drill_removes_its_scratch(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    backed_up(bank)
    monkeypatch.setattr("memorybank_cli.operations.drill.look", interrupt)
    for to in (None, str(tmp_path / "to")):
        with pytest.raises(KeyboardInterrupt):
            drilled(bank, to=to)
    assert not scratch(bank).exists()
    assert not (tmp_path / "to").exists()
    assert drills(bank) == []


def test_what_cannot_be_journaled_is_told(bank: Path, run: Run) -> None:
    backed_up(bank)
    segment = max((bank / ".memorybank/journal").iterdir())
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([lines[0], lines[1].replace(b'"actor":"', b'"actor":"x'), *lines[2:]]))
    for path in (bank / ".memorybank").glob("catalog*"):
        path.unlink()
    done = run("snapshot", "drill", "--json", cwd=bank)
    assert (done.returncode, done.json["ok"], done.json["journaled"]) == (0, True, False), done.stderr
    assert "could not be journaled" in run("snapshot", "drill", cwd=bank).stderr


def test_a_damaged_note_of_the_last_drill_counts_as_none(bank: Path) -> None:
    with opened(bank) as one:
        for value in ({"time": 7}, {"time": "yesterday"}, {"time": "2026-11-21T00:00:00Z", "last_good": []}):
            one.home.keep_derived("drill", value)
            assert last_drill(one) == {}


def test_what_the_disk_gives_back_is_compared(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of files that no check looks at, and of those that a snapshot holds in several pieces."""
    (bank / "notes.bin").write_bytes(b"note")
    put(bank / "state/large.json", {"noise": os.urandom(2_300_000).hex()})
    backed_up(bank)
    assert drilled(bank).ok

    def spoiling(repository: Repository, document: documents.Document, place: str, **options: Any) -> Restored:
        done = restore_to(repository, document, place, **options)
        for name in ("notes.bin", "state/large.json", "trades/trade_0.json"):
            data = bytearray((Path(place) / name).read_bytes())
            data[-3] ^= 1
            (Path(place) / name).write_bytes(data)
        (Path(place) / "trades/trade_1.json").unlink()
        return done

    monkeypatch.setattr("memorybank_cli.operations.drill.restore_to", spoiling)
    found = {one.path for one in drilled(bank).findings if "what the disk gives back" in one.message}
    assert found == {"notes.bin", "state/large.json", "trades/trade_0.json", "trades/trade_1.json"}


def test_a_history_that_cannot_be_read_fails_it(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backed_up(bank)
    damaged = Accounts((Account("alpha", "", 0, 0, 0, "", damaged=True),))
    monkeypatch.setattr("memorybank_cli.operations.drill.list_", lambda _bank: damaged)
    report = drilled(bank)
    assert [one.path for one in report.findings] == ["account_alpha"]


def test_a_suspect_one_says_so(bank: Path, run: Run) -> None:
    backed_up(bank)
    (bank / "metrics/metrics.json").unlink()
    made = backed_up(bank).document
    assert made is not None
    shown = run("snapshot", "drill", made.id, "--keep", cwd=bank).stdout
    assert "section metrics is empty" in shown
    assert "kept:" in shown
