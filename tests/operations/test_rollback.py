"""Rollback: the bank or a part of it as a snapshot has it, byte for byte, and the way back."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from memorybank_cli.bank import replacing
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused, SnapshotNotFound, UsageError
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.messages import add, list_
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.rollback import RollbackReport, rollback
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put, rules

BROKEN = b'{"timestamp" "2025"}'


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def saved(bank: Path) -> Document:
    made = backed_up(bank).document
    assert made is not None
    return made


def test_after_a_disaster_the_newest_is_the_latest(bank: Path, tmp_path: Path, run: Run) -> None:
    for number in range(5):
        put(bank / f"trades/old_{number}.json", trade(number))
        assert run("backup", "--repo", tmp_path / "repo", cwd=bank).returncode == 0
    again = {"MEMORYBANK_STATE_HOME": str(tmp_path / "new home"), "MEMORYBANK_REPOSITORY": str(tmp_path / "repo")}
    run("init", tmp_path / "none", env=again)
    new = tmp_path / "new"
    restored = run("snapshot", "restore", "latest", "--to", new, "--bank", tmp_path / "none", env=again)
    assert restored.returncode == 0, restored.stderr
    assert run("init", new, env=again).returncode == 0
    for number in range(2):
        put(new / f"trades/new_{number}.json", trade(10 + number))
        made = run("backup", "--json", env=again, cwd=new)
        assert made.returncode == 0, made.stderr
    found = run("snapshot", "list", "--json", env=again, cwd=new).json["snapshots"]
    assert [one["number"] for one in found] == [1, 2, 3, 4, 5, 6, 7]
    assert found[-1]["seq"] < found[-3]["seq"]
    assert [one["id"] for one in found if one["latest"]] == [made.json["snapshot"]["id"]]
    put(new / "trades/later.json", trade(20))
    assert run("rollback", "--yes", env=again, cwd=new).returncode == 0
    assert {f"trades/new_{number}.json" for number in range(2)} <= contents(new).keys()
    assert "trades/later.json" not in contents(new)


def rolled_back(bank: Path, snapshot: str | None = None, **options: object) -> RollbackReport:
    with opened(bank) as one:
        return rollback(one, snapshot, **{"yes": True, **options})  # type: ignore[arg-type]


def change_all(bank: Path) -> None:
    """Something of everything: changed, damaged, removed, new, replaced by a directory."""
    put(bank / "state/state.json", {"bot_status": "stopped"})
    put(bank / "trades/trade_0.json", {**trade(0), "success": False})
    put(bank / "trades/trade_1.json", BROKEN)
    (bank / "trades/trade_2.json").unlink()
    put(bank / "trades/trade_9.json", trade(9))
    put(bank / "docs/new/note.md", b"new")
    (bank / "metrics/metrics.json").unlink()
    put(bank / "metrics/metrics.json/inner.json", {"a": 1})


def test_everything_is_put_back_byte_for_byte(bank: Path) -> None:
    before, made = contents(bank), saved(bank)
    change_all(bank)
    report = rolled_back(bank)
    assert contents(bank) == before
    assert report.from_ == made.id
    assert set(report.restored) == {
        "metrics/metrics.json",
        "state/state.json",
        "trades/trade_0.json",
        "trades/trade_1.json",
        "trades/trade_2.json",
    }
    assert set(report.removed) == {"docs/new/note.md", "metrics/metrics.json/inner.json", "trades/trade_9.json"}
    assert report.findings == ()
    assert rules(bank) == {}
    assert rolled_back(bank, made.id).summary() == f"Nothing differs from snapshot {made.id}."


def test_a_rollback_can_be_rolled_back(bank: Path) -> None:
    before, made = contents(bank), saved(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    put(bank / "trades/trade_9.json", trade(9))
    (bank / "trades/recent_trades.json").unlink()
    after = contents(bank)
    report = rolled_back(bank, made.id)
    assert report.safety_snapshot is not None
    assert "to undo: memorybank rollback --undo" in report.summary()
    assert contents(bank) == before
    again = rolled_back(bank, report.safety_snapshot)
    assert contents(bank) == after
    assert again.safety_snapshot not in (None, report.safety_snapshot)
    assert rules(bank) == {}
    rolled_back(bank, made.id[:-2])
    assert contents(bank) == before


def test_what_was_replaced_though_nobody_recorded_it_is_kept(bank: Path) -> None:
    saved(bank)
    change_all(bank)
    found = contents(bank)
    rolled_back(bank)
    waiting = {path.read_bytes() for path in (bank / ".memorybank/quarantine").rglob("*") if path.is_file()}
    for path in ("trades/trade_0.json", "trades/trade_1.json", "metrics/metrics.json/inner.json"):
        assert found[path] in waiting, path


def test_mode_and_time_come_back(bank: Path) -> None:
    path = bank / "state/state.json"
    path.chmod(0o640)
    os.utime(path, ns=(5, 1_700_000_000_123_456_789))
    saved(bank)
    path.unlink()
    put(path, {"bot_status": "stopped"})
    rolled_back(bank)
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)


def test_only_the_paths_that_are_named(bank: Path) -> None:
    before = contents(bank)
    saved(bank)
    change_all(bank)
    changed = contents(bank)
    report = rolled_back(bank, path=("trades/trade_1.json",))
    assert (report.restored, report.removed) == (("trades/trade_1.json",), ())
    assert contents(bank) == {**changed, "trades/trade_1.json": before["trades/trade_1.json"]}
    report = rolled_back(bank, path=("trades", "metrics/metrics.json"), snapshot=report.from_)
    assert "trades/trade_9.json" in report.removed
    assert contents(bank)["state/state.json"] == changed["state/state.json"]
    assert {name for name in contents(bank) if name.startswith(("trades", "metrics"))} == {
        name for name in before if name.startswith(("trades", "metrics"))
    }


def test_a_path_that_is_in_neither_is_an_error(bank: Path) -> None:
    saved(bank)
    with pytest.raises(SnapshotNotFound) as failed:
        rolled_back(bank, path=("trades/never.json",))
    assert "trades/never.json is not in snapshot" in failed.value.message
    with pytest.raises(UsageError):
        rolled_back(bank, path=("../outside",))


def test_an_account_alone_with_its_messages(bank: Path) -> None:
    with opened(bank) as one:
        for account in ("alpha", "beta"):
            create_account(one, account)
            add(one, Context(), "first", account=account, role="user", id="1")
    made = saved(bank)
    with opened(bank) as one:
        for account in ("alpha", "beta"):
            add(one, Context(), "second", account=account, role="user", id="2")
    report = rolled_back(bank, made.id, account="alpha")
    assert report.restored
    assert all(path.startswith("account_alpha/") for path in report.restored)

    def said(account: str) -> list[str]:
        with opened(bank) as one:
            return [message["id"] for message in list_(one, account=account)]

    assert (said("alpha"), said("beta")) == (["1"], ["1", "2"])
    with opened(bank) as one:
        assert add(one, Context(), "second", account="alpha", role="user", id="2").added == 1
    assert (said("alpha"), said("beta")) == (["1", "2"], ["1", "2"])
    assert rules(bank) == {}
    with pytest.raises(UsageError):
        rolled_back(bank, account="../beta")


def test_a_time_before_everything(bank: Path) -> None:
    saved(bank)
    with pytest.raises(SnapshotNotFound) as failed:
        rolled_back(bank, at="2001-01-01T00:00:00Z")
    assert "no good snapshot is from 2001-01-01" in failed.value.message
    with pytest.raises(UsageError):
        rolled_back(bank, at="yesterday")


def test_a_suspect_snapshot_is_not_the_latest(bank: Path) -> None:
    for number in range(20):
        put(bank / f"state/agent_{number}.json", {"bot_status": "running"})
    before, made = contents(bank), saved(bank)
    for number in range(20):
        (bank / f"state/agent_{number}.json").unlink()
    assert saved(bank).status == "suspect"
    report = rolled_back(bank)
    assert (report.from_, contents(bank)) == (made.id, before)


def test_a_rehearsal_changes_nothing_and_asks_nobody(bank: Path) -> None:
    saved(bank)
    change_all(bank)
    adopt(bank)
    before = {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name}
    rehearsal = rolled_back(bank, dry_run=True, yes=False)
    assert {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name} == before
    assert rehearsal.safety_snapshot is None
    assert "5 files would be restored, 3 would be removed" in rehearsal.summary()
    real = rolled_back(bank)
    assert (real.restored, real.removed) == (rehearsal.restored, rehearsal.removed)


def test_somebody_must_say_yes(bank: Path, run: Run) -> None:
    saved(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    before = contents(bank)
    refused = run("rollback", "--json", cwd=bank)
    assert (refused.returncode, refused.error["code"]) == (2, "usage")
    assert "--yes" in refused.error["hint"]
    assert contents(bank) == before
    with opened(bank, confirm=lambda _: False) as one, pytest.raises(Refused):
        rollback(one)
    assert contents(bank) == before
    questions: list[str] = []

    def yes(question: str) -> bool:
        questions.append(question)
        return True

    shown: list[object] = []
    with opened(bank, confirm=yes, preview=shown.append) as one:
        rollback(one)
    assert [question.startswith("Replace 1 file, as in snapshot ") for question in questions] == [True]
    (foreseen,) = shown
    assert isinstance(foreseen, RollbackReport)
    assert foreseen.changes[0]["summary"] == "member bot_status: 'stopped' -> 'running'"
    assert (foreseen.dry_run, foreseen.restored) == (True, ("state/state.json",))


def test_the_command(bank: Path, run: Run) -> None:
    before, made = contents(bank), saved(bank)
    put(bank / "trades/trade_0.json", json.dumps({**trade(0), "net_profit": 0.0735}, indent=2).encode())
    (rule,) = {
        one["rule"] for one in run("validate", "--json", cwd=bank).json["findings"] if one["severity"] == "error"
    }
    assert rule == "MB113"
    done = run("rollback", "--path", "trades/trade_0.json", "--yes", "--json", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert done.json["restored"] == ["trades/trade_0.json"]
    assert done.json["removed"] == []
    assert done.json["from"] == made.id
    assert done.json["safety_snapshot"]
    assert contents(bank) == before
    assert run("validate", cwd=bank).returncode == 0
    assert run("log", "--verify", cwd=bank).returncode == 0
    missing = run("rollback", "nosuch", "--yes", "--json", cwd=bank)
    assert (missing.returncode, missing.error["code"]) == (10, "snapshot_not_found")


def test_without_a_repository_there_is_nothing_to_go_back_to(bank: Path) -> None:
    with pytest.raises(SnapshotNotFound):
        rolled_back(bank)


def test_it_is_one_journaled_act(bank: Path) -> None:
    made = saved(bank)
    change_all(bank)
    report = rolled_back(bank)
    begin, end = [line for line in journal(bank) if line["op"].startswith("restore.")]
    assert (begin["op"], end["op"]) == ("restore.begin", "restore.end")
    assert (end["reason"], end["snapshot"]) == ("rollback", made.id)
    assert {row[0] for row in end["files"] if row[1]} == set(report.restored)
    assert list((bank / ".memorybank/tmp").iterdir()) == []


def test_a_version_that_never_was_good_comes_back_as_it_was_found_and_stays_a_finding(bank: Path) -> None:
    put(bank / "trades/new.json", BROKEN)
    made = saved(bank)
    put(bank / "trades/new.json", bytes(3))
    report = rolled_back(bank, made.id)
    assert [(one.rule, one.path) for one in report.findings] == [("MB101", "trades/new.json")]
    assert (bank / "trades/new.json").read_bytes() == BROKEN
    assert rules(bank) == {"trades/new.json": "MB101"}


def test_a_damaged_file_comes_back_as_its_good_version(bank: Path) -> None:
    before = contents(bank)
    put(bank / "trades/trade_0.json", BROKEN)
    made = saved(bank)
    put(bank / "trades/trade_0.json", bytes(3))
    assert rolled_back(bank, made.id).findings == ()
    assert contents(bank) == before


def test_a_file_of_more_than_one_blob(bank: Path) -> None:
    data = put(bank / "metrics/large.json", {"noise": random.Random(7).randbytes(2_300_000).hex()})
    made = saved(bank)
    assert rolled_back(bank, made.id).restored == ()
    put(bank / "metrics/large.json", {"noise": []})
    assert rolled_back(bank, made.id).restored == ("metrics/large.json",)
    assert (bank / "metrics/large.json").read_bytes() == data


@pytest.mark.parametrize("back", [False, True])
def test_a_file_where_a_directory_was_and_the_other_way_round(bank: Path, back: bool) -> None:
    before, made = contents(bank), saved(bank)
    (bank / "metrics/metrics.json").unlink()
    put(bank / "metrics/metrics.json/deep/inner.json", {"a": 1})
    report = rolled_back(bank, made.id)
    assert contents(bank) == before
    if back:
        assert report.safety_snapshot is not None
        report = rolled_back(bank, report.safety_snapshot)
        assert (bank / "metrics/metrics.json/deep/inner.json").read_bytes() == b'{\n  "a": 1\n}'
        assert contents(bank).keys() - before.keys() == {"metrics/metrics.json/deep/inner.json"}
    assert list((bank / ".memorybank/tmp").iterdir()) == []


def spoil(bank: Path, document: Document, *paths: str) -> None:
    """Make the blobs of a snapshot's files or directories unreadable, and nothing else."""
    with opened(bank) as one, open_repository(one, None) as repository:
        blobs = Blobs(repository)
        for path in paths:
            entry = trees.find(blobs, document.root, path)
            assert entry is not None
            name = entry.tree if isinstance(entry, trees.DirectoryEntry) else (entry.good or ("",))[0]
            (place,) = blobs.index.places(name)
            pack_name, _, frame = blobs.index.frames[place]
            pack = Path(repository.path) / "packs" / pack_name[:2] / pack_name
            data = bytearray(pack.read_bytes())
            data[frame.offset + frame.length // 2] ^= 0xFF
            pack.chmod(0o600)
            pack.write_bytes(data)


def test_what_cannot_be_read_of_a_snapshot_stays_as_it_is(bank: Path) -> None:
    before = contents(bank)
    large = put(bank / "docs/inner/note.md", os.urandom(300_000))  # in a frame of its own
    made = saved(bank)
    spoil(bank, made, "docs/inner/note.md")
    put(bank / "state/state.json", {"bot_status": "stopped"})
    put(bank / "docs/inner/note.md", b"changed")
    report = rolled_back(bank, made.id)
    assert report.restored == ("state/state.json",)
    assert [(one.rule, one.path) for one in report.findings] == [("MB130", "docs/inner/note.md")]
    assert report.exit_code() == 1
    assert contents(bank) == {**before, "docs/inner/note.md": b"changed"}
    assert large != b"changed"


def test_files_in_a_directory_that_cannot_be_read_of_the_snapshot_are_not_removed(bank: Path) -> None:
    for number in range(3_000):  # so that the directory's tree fills frames of its own
        put(bank / f"docs/inner/{number}.md", str(number).encode())
    before = contents(bank)
    made = saved(bank)
    spoil(bank, made, "docs/inner")
    put(bank / "state/state.json", {"bot_status": "stopped"})
    now = contents(bank)
    try:
        report = rolled_back(bank, made.id)
    except Damaged:  # the tree of the root stands in the same frame: then nothing is done at all
        assert contents(bank) == now
    else:
        assert (report.restored, report.removed) == (("state/state.json",), ())
        assert [(one.rule, one.path) for one in report.findings] == [("MB130", "docs/inner")]
        assert contents(bank) == before


def test_a_snapshot_whose_root_cannot_be_read_is_refused(bank: Path) -> None:
    made = saved(bank)
    spoil(bank, made, "")
    put(bank / "state/state.json", {"bot_status": "stopped"})
    now = contents(bank)
    with pytest.raises(Damaged):
        rolled_back(bank, made.id)
    assert contents(bank) == now


def test_a_rollback_that_was_killed_before_the_swap_is_finished_with_its_accounts(bank: Path) -> None:
    with opened(bank) as one:
        create_account(one, "alpha")
        add(one, Context(), "first", account="alpha", role="user", id="1")
    made = saved(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    with opened(bank) as one:
        add(one, Context(), "second", account="alpha", role="user", id="2")
    adopt(bank)
    pid = os.fork()
    if pid == 0:  # the kill comes when the first file is to be put in place
        replacing.swap = lambda *_: os._exit(137)
        rolled_back(bank, made.id)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 137
    assert list((bank / ".memorybank/tmp").iterdir())
    with opened(bank) as one:
        assert [message["id"] for message in list_(one, account="alpha")] == ["1"]
    assert journal(bank)[-1]["op"] in ("restore.end", "files.rendered")
    assert b"running" in (bank / "state/state.json").read_bytes()
    assert list((bank / ".memorybank/tmp").iterdir()) == []
    assert rules(bank) == {}


def test_a_typo_makes_no_repository(bank: Path, run: Run, tmp_path: Path) -> None:
    put(bank / "state/state.json", {"bot_status": "stopped"})
    adopt(bank)
    before = contents(bank)
    for words in (("--seq", "1"), ("--at", "0s"), ("--undo",), ()):
        done = run("rollback", *words, "--repo", str(tmp_path / "typo"), "--yes", "--json", cwd=bank)
        assert (done.returncode, done.error["code"]) == (10, "snapshot_not_found")
        assert not (tmp_path / "typo").exists()
    assert contents(bank) == before
    assert run("rollback", "--seq", "1", "--yes", cwd=bank).returncode == 0


def test_only_what_is_done_is_told(bank: Path) -> None:
    made, questions = saved(bank), []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    put(bank / "trades/trade_8.json", trade(8))
    assert rolled_back(bank, dry_run=True).summary() == f"1 file would be removed, as in snapshot {made.id}"
    put(bank / "trades/trade_9.json", trade(9))
    with opened(bank, confirm=no) as one, pytest.raises(Refused):
        rollback(one)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    with opened(bank, confirm=no) as one, pytest.raises(Refused):
        rollback(one)
    title = f"as in snapshot {made.id}?"
    assert questions == [f"Remove 2 files, {title}", f"Replace 1 file and remove 2 files, {title}"]
    assert rolled_back(bank).summary().startswith("1 file restored, 2 removed, as in ")


def test_hints_that_can_be_typed(bank: Path, run: Run) -> None:
    saved(bank)
    for words, hint in (
        (("rollback", "--path", "trades/no pe"), "memorybank snapshot find 'no pe'"),
        (("rollback", "--record", "0xnope"), "memorybank snapshot find --id 0xnope"),
        (("snapshot", "diff", "--path", "nope"), "memorybank snapshot find nope"),
        (
            ("snapshot", "cat", "latest", "state/state.json", "--record", "0xnope"),
            "memorybank snapshot find --id 0xnope",
        ),
        (("snapshot", "diff", "now", "latest"), "memorybank snapshot diff latest now"),
        (("snapshot", "diff", "now"), "memorybank snapshot diff latest now"),
        (("snapshot", "cat", "latest", "state/state.json", "--found"), "leave --found out"),
    ):
        done = run(*words, "--json", cwd=bank)
        assert (done.returncode, done.error["hint"]) == (2 if "now" in words else 10, hint)


def test_the_preview_says_what_is_damaged_and_names_accounts(bank: Path, run: Run) -> None:
    assert run("account", "create", "alpha", cwd=bank).returncode == 0
    line = b'{"role": "user", "content": "a"}\n'
    first = run("message", "add", "--account", "alpha", "--stdin", cwd=bank, stdin=line)
    assert "1 added; alpha holds 1 message." in first.stdout
    saved(bank)
    more = run("message", "add", "--account", "alpha", "--stdin", cwd=bank, stdin=line.replace(b'"a"', b'"b"'))
    assert "alpha holds 2 messages." in more.stdout
    put(bank / "trades/trade_1.json", BROKEN)
    shown = run("rollback", "--dry-run", cwd=bank)
    told = run("rollback", "--dry-run", "--json", cwd=bank).json
    assert "would be restored trades/trade_1.json (damaged now: MB101)" in shown.stdout
    files = [path for path in told["restored"] if path.startswith("account_alpha/")]
    assert f"account alpha: {len(files)} files would be restored\n" in shown.stdout
    assert [one["damaged_now"] for one in told["changes"] if one["path"] == "trades/trade_1.json"] == ["MB101"]
