"""What people see of forgetting and of compaction."""

from __future__ import annotations

from typing import Any

from memorybank_cli.bank.compaction import Compacted
from memorybank_cli.cli.blocks import Table, Text
from memorybank_cli.cli.views.forgotten import compacted, forgotten
from memorybank_cli.operations.account_compact import CompactReport
from memorybank_cli.operations.account_forget import ForgetAccountReport
from memorybank_cli.operations.holders import Holder, Holders
from memorybank_cli.operations.message_forget import ForgetMessagesReport

HELD = Holders((Holder("20261121T140000Z-00000000", "2026-11-21T14:00:00.000000Z", certain=False),), "")


def messages(**changes: Any) -> ForgetMessagesReport:
    given: dict[str, Any] = {
        "account": "a",
        "forgotten": ("m\x1b1", "m2"),
        "messages": 2,
        "files": (),
        "lines": 2,
        "quarantine": ("q/1",),
        "snapshots": HELD,
        "dry_run": False,
    }
    return ForgetMessagesReport(**{**given, **changes})


def test_forgotten_messages() -> None:
    *texts, table = forgotten(messages().as_dict())
    assert [one.text for one in texts if isinstance(one, Text)] == [
        "forgotten m\\x1b1",
        "forgotten m2",
        "removed q/1",
        "2 journal lines: data removed",
    ]
    assert isinstance(table, Table)
    assert table.rows[0][-1] == "may hold it"
    assert messages().summary() == (
        "2 messages forgotten. 1 snapshot still holds it; next: memorybank snapshot forget ID"
    )


def test_what_would_be_forgotten() -> None:
    report = messages(dry_run=True, snapshots=Holders((), ""), lines=0, quarantine=())
    assert [one.text for one in forgotten(report.as_dict()) if isinstance(one, Text)] == [
        "would be forgotten: m\\x1b1",
        "would be forgotten: m2",
    ]
    assert report.summary() == "2 messages would be forgotten. No snapshot of this bank holds it."
    unknown = messages(snapshots=Holders((), "no key"))
    assert unknown.summary().endswith("Whether snapshots hold it is not known: no key")
    assert unknown.as_dict()["trouble"] == "no key"


def test_a_forgotten_account() -> None:
    report = ForgetAccountReport("a", ("account_a/account.json",), 3, (), HELD, dry_run=False)
    assert report.as_dict()["files"] == ["account_a/account.json"]
    assert report.summary().startswith("Account a is forgotten, with the data of 3 journal lines. 1 snapshot")
    [text, table] = forgotten(report.as_dict())
    assert text == Text("3 journal lines: data removed")
    assert isinstance(table, Table)


def test_compaction() -> None:
    report = CompactReport((Compacted(1, 5, 4_000, 1_000),), 5_000, 2_000, dry_run=True)
    [table] = compacted(report.as_dict())
    assert isinstance(table, Table)
    assert table.rows == [[".memorybank/journal/000000000001.jsonl", 5, 4_000, 1_000]]
    assert report.summary() == "The journal would have 2.0 KiB instead of 4.9 KiB: 1 segment, 5 lines without data."
    assert compacted(CompactReport((), 5_000, 5_000, dry_run=False).as_dict()) == []
