"""What single steps do; the runs as a whole are in test_maintain."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.operations import maintain_steps, schedule_times
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.contexts import show
from memorybank_cli.operations.maintain import StepReport
from memorybank_cli.operations.maintain_steps import STEPS
from memorybank_cli.operations.maintain_values import Outcome, Step, Turn
from memorybank_cli.snapshots.repository import Repository
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, put
from tests.operations.erased import say
from tests.operations.retained import ids, repository_of, snapshots_of_days
from tests.operations.test_accounts import imported
from tests.operations.test_maintain import home_of, maintained
from tests.snapshots.making import packs_of


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def step(path: Path, job: str, name: str, **options: object) -> StepReport:
    [one] = maintained(path, job, step=(name,), **options).steps
    return one


def test_snapshots_are_forgotten_and_pruned(bank: Path) -> None:
    made = snapshots_of_days(bank, 10)
    assert " would be forgotten, " in step(bank, "daily", "retain", dry_run=True).message
    assert ids(bank) == made
    report = maintained(bank, "daily", step=("retain", "prune"))
    assert [one.result for one in report.steps] == ["done", "done"]
    left = ids(bank)
    assert set(left) < set(made)
    assert made[-3:] == left[-3:]
    assert "put into the trash" in report.steps[1].message


def test_without_any_repository_what_needs_one_fails(bank: Path) -> None:
    for job, name in (("daily", "retain"), ("daily", "prune"), ("weekly", "verify"), ("weekly", "drill")):
        one = step(bank, job, name)
        assert (one.result, "memorybank backup" in one.hint) == ("failed", True), one
        if name in ("retain", "prune"):
            assert step(bank, job, name, dry_run=True).message == "there are no snapshots yet"


def test_a_damaged_pack_is_trouble_and_the_next_backup_heals(bank: Path) -> None:
    backed_up(bank)
    with Repository.open(repository_of(bank)) as repo:
        [pack] = packs_of(repo)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    one = step(bank, "weekly", "verify")
    assert (one.result, one.hint) == ("trouble", "memorybank backup stores again what the bank still has")
    assert {found.rule for found in one.findings} == {"MB130"}
    assert step(bank, "weekly", "drill").result == "trouble"
    assert step(bank, "daily", "backup").result == "done"
    assert step(bank, "weekly", "drill").result == "done"


def test_bit_rot_is_found_by_reading_everything(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bank / "state/state.json"
    put(path, path.read_bytes(), age=600)
    backed_up(bank)
    assert step(bank, "weekly", "rehash").result == "done"
    with opened(bank) as one, one.catalog.writing():  # as if other bytes had been read at the same size and times
        one.catalog.db.execute("UPDATE files SET sha=?, s_sha=? WHERE name='state.json'", ("0" * 64, "0" * 64))
    with monkeypatch.context() as patch:  # which would find out that the catalog was changed here, not the file
        patch.setattr("memorybank_cli.bank.recount.recount", lambda _bank: [])
        found = step(bank, "weekly", "rehash")
    assert (found.result, found.hint) == ("trouble", "memorybank repair --dry-run")
    assert {(one.rule, one.path) for one in found.findings} == {("MB115", "state/state.json")}
    found = step(bank, "weekly", "rehash")
    assert (found.result, {one.rule for one in found.findings}) == ("trouble", {"MB122"})
    assert step(bank, "weekly", "rehash").result == "done"


@pytest.fixture
def talked(bank: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conversation of 60 messages whose summaries are due, in segments of ten messages."""
    small_segments(monkeypatch)
    with opened(bank) as one:
        create(one, "alpha")
    say(bank, "alpha", 60)
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "10")
    return bank


def test_summaries_that_are_due_are_made(talked: Path) -> None:
    pytest.importorskip("sklearn")
    assert step(talked, "daily", "contexts", dry_run=True).message == "1 account due"
    assert step(talked, "daily", "contexts").message == "1 account refreshed"
    with opened(talked) as one:
        assert show(one, account="alpha").summaries
    assert step(talked, "daily", "contexts").message == "0 accounts due"


def test_without_scikit_learn_it_is_said(talked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    one = step(talked, "daily", "contexts")
    assert (one.result, one.message, [found.rule for found in one.findings]) == ("done", "1 account due", ["MB510"])


def test_messages_are_archived_by_the_setting(talked: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    assert step(talked, "monthly", "archive").message == "0 messages archived"
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_ARCHIVE_DAYS", "0")
    assert step(talked, "monthly", "archive").message == "the setting maintain.archive_days says never"
    assert len(run("message", "list", "--account", "alpha", "--bank", talked, "--json").lines) == 60


def test_accounts_are_checked_whole(talked: Path) -> None:
    one = step(talked, "monthly", "accounts")
    assert (one.result, one.message.startswith("1 account with 60 messages checked")) == ("done", True)
    for path in (talked / "account_alpha/history").glob("0*.json"):
        path.write_bytes(b"{")
    assert step(talked, "monthly", "accounts").result == "trouble"


def test_documents_are_brought_up_to_date(bank: Path) -> None:
    put(bank / "trades/trade_77.json", {"id": "77", "timestamp": "2026-01-01T00:00:00Z"})
    backed_up(bank)
    assert step(bank, "daily", "documents").message == "1 document brought up to date"
    assert "| trade | built in | 4 |" in (bank / "README.md").read_text()


def test_the_month_is_written_down(bank: Path) -> None:
    backed_up(bank)
    report = maintained(bank, "monthly", step=("chain", "audit", "report"))
    [path] = (home_of(bank) / "reports").iterdir()
    assert report.steps[-1].message == f"written to {path}"
    text = path.read_text()
    assert text.startswith("# Maintenance, monthly, 20")
    assert "| chain | done | " in text
    assert "# Validation of a memory bank" in text
    assert "## Found by the steps" not in text
    home_of(bank).chmod(0o755)
    maintained(bank, "monthly", step=("audit", "report"))
    text = path.read_text()
    assert "| audit | **trouble** | " in text
    assert "- warning MB563 " in text


def test_storage_gives_room_back(bank: Path) -> None:
    backed_up(bank)
    one = step(bank, "monthly", "storage")
    assert one.message == "Nothing to prune: 1 pack for 1 snapshot. 0 B freed in databases."
    assert step(bank, "monthly", "storage", dry_run=True).message == "Nothing to prune: 1 pack for 1 snapshot."


def test_a_heartbeat_says_when_the_next_run_is_expected(bank: Path) -> None:
    backed_up(bank)
    [heartbeat] = [one for one in maintained(bank).steps if one.step == "heartbeat"]
    assert heartbeat.message == "no run is scheduled"
    [heartbeat] = [one for one in maintained(bank, scheduled=True).steps if one.step == "heartbeat"]
    assert heartbeat.message.startswith("the next run is due 20")
    [heartbeat] = [one for one in maintained(bank).steps if one.step == "heartbeat"]  # by hand: still expected
    assert heartbeat.message.startswith("the next run is due 20")


def test_a_run_during_which_the_next_was_due_was_that_one(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run by hand over 06:00, for whose lock the clock's own did not wait, would be overdue for a day."""
    backed_up(bank)
    began = datetime.now(UTC)
    seen = []

    def next_after(job: str, moment: datetime) -> datetime:
        seen.append(moment)
        return schedule_times.next_after(job, moment)

    def long(one: Bank, turn: Turn) -> Outcome:
        del one, turn
        return Outcome(clock.show(datetime.now(UTC)))

    monkeypatch.setattr(maintain_steps, "next_after", next_after)
    first = Step("validate", "take long", long)
    monkeypatch.setitem(STEPS, "daily", (first, *STEPS["daily"][1:]))
    report = maintained(bank, scheduled=True)
    assert began < clock.parse(report.steps[0].message) < seen[0]


def test_a_heartbeat_that_cannot_be_left_is_trouble(bank: Path) -> None:
    backed_up(bank)
    (bank / ".memorybank/heartbeats").write_text("in the way")
    [heartbeat] = [one for one in maintained(bank).steps if one.step == "heartbeat"]
    assert heartbeat.result == "trouble"
    assert "no heartbeat of daily was left" in heartbeat.message


def test_one_damaged_account_does_not_stop_the_others(bank: Path) -> None:
    imported(bank).write_bytes(b"{")
    assert step(bank, "daily", "contexts").message.endswith("; 1 account cannot be read")
    assert step(bank, "monthly", "archive").message == "0 messages archived; 1 account cannot be read"


def test_messages_that_do_not_arrive_are_trouble(bank: Path, home: Path) -> None:
    channels = {"nowhere": {"kind": "command", "argv": ["/bin/false"]}}
    put(home / "alerts.json", {"channels": channels, "default": ["nowhere"]})
    (home / "alerts.json").chmod(0o600)
    put(bank / "state/bad.json", b"{")
    one = step(bank, "daily", "alerts")
    assert (one.result, one.message[-7:], one.hint) == ("trouble", ", 1 not", "memorybank alert list")
