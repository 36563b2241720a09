"""Sudden loss: a snapshot that holds so much less must not take the place of the last good one."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import clock
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.backup_report import BackupReport
from memorybank_cli.operations.repositories import Snapshots, open_repository
from memorybank_cli.operations.rollback import rollback
from memorybank_cli.operations.snapshots import restore, show
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.documents import Document
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, opened, put


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """A bank with 24 state files and a list of 50 trades."""
    path = make_bank(padded=False)
    for number in range(24):
        put(path / f"state/agent_{number}.json", {"bot_status": "running"})
    put(path / "trades/recent_trades.json", {"trades": [trade(number) for number in range(50)]})
    adopt(path)
    return path


def document(report: BackupReport) -> Document:
    assert report.document is not None
    return report.document


def lose(bank: Path, count: int) -> None:
    for number in range(count):
        (bank / f"state/agent_{number}.json").unlink(missing_ok=True)


def test_files_that_suddenly_are_gone_make_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    lose(bank, 12)
    report = backed_up(bank)
    second = document(report)
    assert (second.status, report.exit_code()) == ("suspect", 1)
    assert second.reasons == (
        f"12 of {first.files} files are gone since snapshot {first.id} (12 of 25 in section state)",
    )
    assert "SUSPECT: 12 of" in report.summary()
    with opened(bank) as one:
        assert show(one).snapshot.id == first.id  # latest is the newest that is not suspect
    third = document(backed_up(bank))  # and the next one is held against the good one, not the suspect one
    assert (third.status, third.reasons) == ("suspect", second.reasons)


@pytest.mark.parametrize("count", [0, 5, 9])
def test_a_few_files_are_no_sudden_loss(bank: Path, count: int) -> None:
    backed_up(bank)
    lose(bank, count)
    assert document(backed_up(bank)).status == "good"


def test_many_of_very_many_are_no_sudden_loss(make_bank: MakeBank) -> None:
    bank = make_bank(padded=False)
    for number in range(80):
        put(bank / f"state/agent_{number}.json", {"bot_status": "running"})
    backed_up(bank)
    lose(bank, 15)
    assert document(backed_up(bank)).status == "good"


def test_records_that_are_gone_from_a_list_make_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    put(bank / "trades/recent_trades.json", {"trades": [trade(1)]})
    second = document(backed_up(bank))
    assert second.status == "suspect"
    there = first.as_dict()["sections"]["trades"][1]
    assert second.reasons == (
        f"49 of {first.records} records are gone since snapshot {first.id} (49 of {there} in section trades)",
    )


def test_a_section_that_was_emptied_makes_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    (bank / "metrics/metrics.json").unlink()
    second = document(backed_up(bank))
    assert second.reasons == (f"section metrics is empty; snapshot {first.id} has files there",)
    (bank / "metrics/historical").rmdir()
    (bank / "metrics").rmdir()
    assert document(backed_up(bank)).status == "suspect"


def test_a_loss_that_was_accepted_does_not_count(bank: Path) -> None:
    backed_up(bank)
    lose(bank, 20)
    (bank / "metrics/metrics.json").unlink()
    put(bank / "trades/recent_trades.json", {"trades": [trade(1)]})
    with opened(bank) as one:
        accept(one, ".", reason="a fresh start")
    assert document(backed_up(bank)).status == "good"


def test_a_wanted_loss_excuses_no_other(bank: Path) -> None:
    first = document(backed_up(bank))
    (bank / "trades/trade_0.json").unlink()
    with opened(bank) as one:
        accept(one, "trades/trade_0.json")
    lose(bank, 12)
    (bank / "metrics/metrics.json").unlink()
    assert document(backed_up(bank)).reasons == (
        f"13 of {first.files} files are gone since snapshot {first.id} (12 of 25 in section state)",
        f"section metrics is empty; snapshot {first.id} has files there",
    )


def test_a_rollback_to_less_is_wanted(bank: Path) -> None:
    first = document(backed_up(bank))
    for number in range(40):
        put(bank / f"state/more_{number}.json", {"bot_status": "running"})
    put(bank / "trades/recent_trades.json", {"trades": [trade(number) for number in range(500)]})
    backed_up(bank)
    with opened(bank) as one:
        rollback(one, first.id, yes=True)
    assert document(backed_up(bank)).status == "good"


def test_a_file_that_came_back_is_not_lost(bank: Path) -> None:
    backed_up(bank)
    good = (bank / "state/agent_3.json").read_bytes()
    lose(bank, 12)
    with opened(bank) as one:
        accept(one, "state")
    put(bank / "state/agent_3.json", good)
    assert document(backed_up(bank)).status == "good"


def test_damage_is_no_loss(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    good = contents(bank)
    for number in range(20):
        put(bank / f"state/agent_{number}.json", b"")
    put(bank / "trades/recent_trades.json", good["trades/recent_trades.json"] + bytes(9))
    report = backed_up(bank)
    assert len(report.damaged) == 21
    assert document(report).status == "good"
    with opened(bank) as one:
        restore(one, document(report).id, to=str(tmp_path / "to"))
    assert contents(tmp_path / "to") == good


def test_what_cannot_be_read_of_the_reference_is_no_reason_to_fail(bank: Path, run: Run) -> None:
    backed_up(bank)
    (bank / "trades/trade_0.json").unlink()
    with opened(bank) as one:
        accept(one, "trades/trade_0.json")
        snapshots = Snapshots(one)
        assert snapshots.repo is not None
        packs = [path for path in (Path(snapshots.repo.path) / "packs").rglob("*") if path.is_file()]
        snapshots.close()
    for path in packs:
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
    done = run("backup", "--json", cwd=bank)
    assert done.returncode in (0, 1), done.stderr
    assert done.json["snapshot"]["id"]


def backups(bank: Path, run: Run) -> tuple[int, dict[str, Any]]:
    """Exit code and snapshot of `backup` as a process."""
    done = run("backup", "--json", cwd=bank)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.json["snapshot"]


def empty(bank: Path) -> None:
    for path in bank.rglob("*"):
        if path.is_file() and ".memorybank" not in path.parts and path.name != "bank.json":
            path.unlink()


def back_in_time(bank: Path, days: float, seq: int) -> Document:
    """The newest snapshot once more, as made so long ago at that line of the journal."""
    with opened(bank) as one, open_repository(one, None) as repo:
        newest = documents.listing(repo).documents[-1]
        when = clock.show(clock.parse(newest.time) - timedelta(days=days))
        fields = {name: getattr(newest, name) for name in ("bank_id", "records", "status", "reasons", "checkpoint")}
        made = documents.make(newest.root, newest.files, newest.bytes, documents.Meta(**fields, seq=seq, time=when))
        documents.write(repo, made)
        (Path(repo.path) / "snapshots" / newest.id).unlink()
    return made


def test_an_emptied_bank_stays_suspect_until_somebody_accepts_it(bank: Path, run: Run) -> None:
    code, good = backups(bank, run)
    assert (code, good["status"]) == (0, "good")
    empty(bank)
    for _ in range(3):
        code, made = backups(bank, run)
        assert (code, made["status"]) == (1, "suspect")
        assert any("section state is empty" in reason for reason in made["reasons"])
        assert any("section trades is empty" in reason for reason in made["reasons"])
        assert run("snapshot", "show", "--json", cwd=bank).json["snapshot"]["id"] == good["id"]
    shown = run("backup", cwd=bank)
    assert (shown.returncode, "SUSPECT" in shown.stdout) == (1, True)
    assert run("accept", ".", "--reason", "a new beginning", cwd=bank).returncode == 0
    code, made = backups(bank, run)
    assert (code, made["status"], made["reasons"]) == (0, "good", [])
    assert run("snapshot", "show", "--json", cwd=bank).json["snapshot"]["id"] == made["id"]


def test_no_trades_where_there_were_some(bank: Path, run: Run) -> None:
    backups(bank, run)
    shutil.rmtree(bank / "trades")
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")
    assert any(reason.startswith("section trades is empty") for reason in made["reasons"])


def test_any_directory_of_the_bank_counts(bank: Path, run: Run) -> None:
    put(bank / "research/notes.json", {"a": 1})
    backups(bank, run)
    shutil.rmtree(bank / "research")
    code, made = backups(bank, run)
    assert (code, made["reasons"][0].split(";")[0]) == (1, "section research is empty")


def test_a_wanted_removal_in_a_section_excuses_no_other(bank: Path, run: Run) -> None:
    put(bank / "metrics/other.json", {"a": 1})
    backups(bank, run)
    (bank / "metrics/other.json").unlink()
    assert run("accept", "metrics/other.json", cwd=bank).returncode == 0
    (bank / "metrics/metrics.json").unlink()
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")


def with_messages(bank: Path, run: Run, count: int) -> None:
    assert run("account", "create", "alpha", cwd=bank).returncode == 0
    lines = "".join(json.dumps({"role": "user", "content": f"{n}"}) + "\n" for n in range(count)).encode()
    done = run("message", "add", "--account", "alpha", "--stdin", "--json", cwd=bank, stdin=lines)
    assert done.returncode == 0, done.stderr


def test_an_account_that_vanished(bank: Path, run: Run) -> None:
    with_messages(bank, run, 3)
    backups(bank, run)
    shutil.rmtree(bank / "account_alpha")
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")
    assert any(reason.startswith("account alpha is empty") for reason in made["reasons"])


@pytest.mark.parametrize(("left", "suspect"), [(0, True), (20, True), (38, False)])
def test_messages_that_vanished_with_the_journal(bank: Path, run: Run, left: int, suspect: bool) -> None:
    """A bank that lost its journal knows of nothing that it had: only the snapshot does."""
    with_messages(bank, run, 40)
    backups(bank, run)
    shutil.rmtree(bank / ".memorybank")
    history = json.loads((bank / "account_alpha/whole_history.json").read_bytes())
    history["messages"] = history["messages"][:left]
    put(bank / "account_alpha/whole_history.json", {**history, "total": left})
    run("repair", cwd=bank)
    run("init", bank)
    _, made = backups(bank, run)
    told = [reason for reason in made["reasons"] if "messages of account alpha" in reason]
    assert bool(told) is suspect, made["reasons"]
    assert made["status"] == ("suspect" if suspect else "good")
    if suspect:
        assert told[0].startswith(f"{40 - left} of 40 messages of account alpha are gone")


def test_a_damaged_history_is_damage_and_no_loss(bank: Path, run: Run) -> None:
    with_messages(bank, run, 40)
    backups(bank, run)
    put(bank / "account_alpha/whole_history.json", b"{}")
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "good")
    assert made["damaged"]


def test_an_account_that_only_grew_is_fine(bank: Path, run: Run) -> None:
    with_messages(bank, run, 3)
    backups(bank, run)
    with_messages(bank, run, 30)
    assert backups(bank, run)[0] == 0


def test_a_safety_snapshot_is_no_reference(bank: Path, run: Run) -> None:
    code, good = backups(bank, run)
    lose(bank, 5)
    done = run("rollback", "--path", "trades", "--yes", cwd=bank)  # nothing differs there
    assert done.returncode == 0
    put(bank / "trades/recent_trades.json", {"trades": [trade(number) for number in range(49)]})
    assert run("rollback", "--path", "trades", "--yes", cwd=bank).returncode == 0
    lose(bank, 12)
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")
    assert made["reasons"][0].startswith(f"12 of {good['files']} files are gone since snapshot {good['id']}")


def test_slow_erosion_is_noticed(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank(padded=False)
    for number in range(100):
        put(bank / f"state/agent_{number}.json", {"bot_status": "running"})
    first = backups(bank, run)[1]
    left, statuses = 100, []
    while left > 40:
        gone = int(left * 0.18)
        for number in range(left - gone, left):
            (bank / f"state/agent_{number}.json").unlink()
        left -= gone
        statuses.append(backups(bank, run)[1])
    found = [made for made in statuses if made["status"] == "suspect"]
    assert statuses[0]["status"] == "good"
    assert found
    assert f"files of section state are gone since snapshot {first['id']}" in found[0]["reasons"][0]


def test_what_is_older_than_a_week_or_from_the_future_is_no_reference_for_erosion(make_bank: MakeBank) -> None:
    bank = make_bank(padded=False)
    for number in range(100):
        put(bank / f"state/agent_{number}.json", {"bot_status": "running"})
    backed_up(bank)
    old = back_in_time(bank, days=8, seq=1)
    for number in range(85, 100):
        (bank / f"state/agent_{number}.json").unlink()
    assert document(backed_up(bank)).status == "good"
    for number in range(70, 85):
        (bank / f"state/agent_{number}.json").unlink()
    assert document(backed_up(bank)).status == "good"
    back_in_time(bank, days=-900, seq=2)
    for number in range(45, 70):
        (bank / f"state/agent_{number}.json").unlink()
    third = document(backed_up(bank))
    assert third.status == "suspect"  # more than a fifth of what the newest has is gone at once
    assert not any(old.id in reason for reason in third.reasons)


def test_what_the_settings_exclude_is_no_loss(bank: Path, run: Run) -> None:
    backups(bank, run)
    assert run("config", "set", "exclude", '["state/agent_*"]', cwd=bank).returncode == 0
    code, made = backups(bank, run)
    assert (code, made["status"]) == (0, "good"), made


def test_losses_are_accepted_path_by_path_and_nothing_else_with_them(bank: Path, run: Run) -> None:
    backups(bank, run)
    put(bank / "trades/recent_trades.json", {"trades": [trade(1)]})
    lose(bank, 15)
    assert len(backups(bank, run)[1]["reasons"]) == 2
    accepted = run("accept", "state", "--json", cwd=bank).json["accepted"]
    assert accepted == sorted(f"state/agent_{number}.json" for number in range(15))
    code, made = backups(bank, run)
    assert code == 1
    assert [reason.split(" since")[0] for reason in made["reasons"]] == ["49 of 80 records are gone"]
    assert run("accept", "trades/recent_trades.json", "--json", cwd=bank).json["accepted"] == [
        "trades/recent_trades.json"
    ]
    assert backups(bank, run)[1]["status"] == "good"
    assert run("accept", ".", "--json", cwd=bank).json["accepted"] == []


def test_accepting_asks_no_repository_that_it_cannot_open(bank: Path, run: Run) -> None:
    backups(bank, run)
    with opened(bank) as one, open_repository(one, None) as repo:
        (Path(repo.path) / "config.json").write_bytes(b"garbage")
    lose(bank, 1)
    done = run("accept", ".", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert "could not be looked for" in done.stderr


def test_a_large_history_that_an_agent_writes_is_read_where_it_shrank(bank: Path, run: Run) -> None:
    messages = [{"role": "user", "content": "x" * 100_000} for _ in range(60)]
    put(bank / "account_beta/whole_history.json", {"messages": messages})
    backups(bank, run)
    put(bank / "account_beta/whole_history.json", {"messages": [*messages, *messages[:2]]})
    assert backups(bank, run)[1]["status"] == "good"
    put(bank / "account_beta/whole_history.json", {"messages": messages[:44]})
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")
    assert any(reason.startswith("18 of 62 messages of account beta") for reason in made["reasons"]), made["reasons"]


def test_a_section_counts_for_itself(bank: Path, run: Run) -> None:
    with_messages(bank, run, 400)
    good = backups(bank, run)[1]
    put(bank / "trades/recent_trades.json", {"trades": [trade(number) for number in range(20)]})
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "suspect")
    assert made["reasons"] == [f"30 of 53 records of section trades are gone since snapshot {good['id']}"]
    assert run("accept", "trades", "--json", cwd=bank).json["accepted"] == ["trades/recent_trades.json"]
    assert backups(bank, run)[1]["status"] == "good"


def test_a_snapshot_that_does_not_say_what_its_sections_had_counts_as_a_whole(bank: Path, run: Run) -> None:
    with_messages(bank, run, 400)
    backups(bank, run)
    assert back_in_time(bank, days=1, seq=1).sections is None
    put(bank / "trades/recent_trades.json", {"trades": [trade(number) for number in range(20)]})
    assert backups(bank, run)[1]["status"] == "good"


def with_trades(bank: Path, count: int) -> None:
    for number in range(100, 100 + count):
        put(bank / f"trades/trade_{number}.json", trade(number))


def lose_trades(bank: Path, count: int) -> None:
    for number in range(100, 100 + count):
        (bank / f"trades/trade_{number}.json").unlink()


def test_recorded_files_that_are_missing_are_a_loss_though_the_snapshot_keeps_them(bank: Path, run: Run) -> None:
    with_trades(bank, 45)
    good = backups(bank, run)[1]
    lose_trades(bank, 15)
    for _ in range(2):  # and what is suspect never becomes what the next one is held against
        code, made = backups(bank, run)
        assert (code, made["status"], made["files"]) == (1, "suspect", good["files"])
        assert made["reasons"] == [
            f"15 of 49 files of section trades are gone since snapshot {good['id']}",
            "15 recorded files are missing; the snapshot keeps their last good versions",
        ]
    shown = run("backup", cwd=bank).stdout.splitlines()[-1]
    assert shown.count("next: ") == shown.count("15 recorded files") == 1
    assert run("snapshot", "show", "--json", cwd=bank).json["snapshot"]["id"] == good["id"]


@pytest.mark.parametrize("cure", ["accept", "repair", "back"])
def test_missing_files_are_no_loss_any_more(bank: Path, run: Run, cure: str) -> None:
    with_trades(bank, 45)
    backups(bank, run)
    lose_trades(bank, 15)
    assert backups(bank, run)[1]["status"] == "suspect"
    if cure == "accept":
        assert run("accept", "trades", cwd=bank).returncode == 0
    elif cure == "repair":
        assert run("repair", cwd=bank).returncode in (0, 1)
    else:
        with_trades(bank, 15)
    code, made = backups(bank, run)
    assert (code, made["status"], made["reasons"]) == (0, "good", [])


def test_a_few_missing_files_are_held_back_and_no_loss(bank: Path, run: Run) -> None:
    with_trades(bank, 45)
    backups(bank, run)
    lose_trades(bank, 9)
    code, made = backups(bank, run)
    assert (code, made["status"]) == (1, "good")
    assert made["reasons"] == ["9 recorded files are missing; the snapshot keeps their last good versions"]


def test_a_rehearsal_foresees_the_loss(bank: Path, run: Run) -> None:
    with_messages(bank, run, 40)
    messages = [{"role": "user", "content": "x"} for _ in range(60)]
    put(bank / "account_beta/whole_history.json", {"messages": messages})
    with_trades(bank, 45)
    backups(bank, run)
    lose(bank, 15)
    lose_trades(bank, 15)
    (bank / "metrics/metrics.json").unlink()
    put(bank / "account_beta/whole_history.json", {"messages": messages[:10]})
    foreseen = run("backup", "--dry-run", "--json", cwd=bank)
    told = run("backup", "--dry-run", cwd=bank)
    code, made = backups(bank, run)
    assert (foreseen.returncode, told.returncode, code) == (1, 1, 1)
    assert (foreseen.json["snapshot"]["status"], foreseen.json["snapshot"]["reasons"]) == ("suspect", made["reasons"])
    assert len(made["reasons"]) == 5
    assert f"would be suspect: {made['reasons'][0]}" in told.stdout
    assert foreseen.json["snapshot"]["new_files"] == made["new_files"]
    assert foreseen.json["snapshot"]["files"] == made["files"]


def test_quiet_keeps_warnings(bank: Path, run: Run) -> None:
    put(bank / "state/prod.env", b"A=1")
    silent = run("backup", "--quiet", cwd=bank)
    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")
    lose(bank, 15)
    for number in range(7):
        put(bank / f"trades/broken_{number}.json", b"{")
    for command, said in (("backup", ": SUSPECT: "), ("backup --dry-run", ": would be suspect: ")):
        done = run(*command.split(), "--quiet", cwd=bank)
        assert (done.returncode, done.stdout) == (1, "")
        lines = done.stderr.splitlines()
        assert said in lines[0]
        assert "15 of " in lines[0]
        assert "7 damaged files" in lines[0]
        assert "beside" not in lines[0]  # none of them ever was good
        assert lines[1] == "damaged MB103 trades/broken_0.json"
        assert lines[-1] == "... and 2 more (--json shows all)"
        assert len(lines) == 7


def test_what_cannot_be_looked_into_is_not_called_gone(bank: Path) -> None:
    put(bank / "docs/first.md", b"text")
    backed_up(bank)
    (bank / "docs/first.md").unlink()
    put(bank / "docs" / "/".join("d" * 70) / "second.md", b"text")  # deeper than anybody looks
    report = backed_up(bank)
    assert [finding.rule for finding in report.findings] == ["MB307"]
    assert report.losses == ()
