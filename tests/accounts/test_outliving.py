"""A journal that lost its end, and account files that tell of more: they are what is listed, and what repair keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.context import Context
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.outliving import outliving_accounts
from tests.accounts.sealed import INDEX, WHOLE, account_files, check, ids, named, say
from tests.operations.banks import opened, repaired


def cut(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Take the journal's lines away from the first that is not to be kept on; the high-water mark stays."""
    (segment,) = (path / ".memorybank/journal").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if not keep(json.loads(line)["core"]))
    segment.write_bytes(b"".join(lines[:end]))


def before(op: str, number: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Keep what stands before the so-manieth line of an operation."""
    left = number

    def keep(core: dict[str, Any]) -> bool:
        nonlocal left
        left -= int(core["op"] == op)
        return left > 0

    return keep


def totals(bank: Bank) -> dict[str, int]:
    """How many messages the files hold of accounts that outlived lines of the journal."""
    return {account: one.messages for account, one in outliving_accounts(bank).items()}


@pytest.mark.parametrize(
    "keep",
    [before("record.stored", 20), before("record.stored"), before("account.created")],
    ids=["some", "none", "new"],
)
def test_files_that_outlived_the_journal_are_kept(long: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    good = account_files(long)
    cut(long, keep)
    with opened(long) as bank:
        assert totals(bank) == {"a": 25}
    assert ids(long) == named(25)
    assert ids(long, last=3) == named(22, 25)
    assert {one.method for one in repaired(long).repaired} == {"new-segment"}
    assert account_files(long) == good
    assert ids(long) == named(25)
    say(long, 25, 40)
    check(long, named(40))
    assert not (long / ".memorybank/quarantine").exists()


def test_the_end_of_a_sealed_part_is_where_it_goes_on(long: Path) -> None:
    """The journal ends with the last message of a segment: it is looked up there."""
    cut(long, before("record.stored", 16))
    assert ids(long) == named(25)


def test_files_that_do_not_begin_with_what_the_journal_knows(long: Path) -> None:
    say(long, 25, 26)
    say(long, 26, 27)
    cut(long, before("record.stored", 27))
    whole = (long / WHOLE).read_bytes()
    (long / WHOLE).write_bytes(whole.replace(b"text 25", b"text xx"))
    with opened(long) as bank:
        assert totals(bank) == {}
    assert ids(long) == named(26)


def test_a_head_whose_index_is_another(long: Path) -> None:
    cut(long, before("record.stored", 24))
    (long / INDEX).write_bytes((long / INDEX).read_bytes().replace(b"0", b"1"))
    (long / "account_a/history/000000000001.json").unlink()
    with opened(long) as bank:
        assert totals(bank) == {}


def test_nobody_can_say_when_the_account_was_made(long: Path) -> None:
    say(long, 25, 26)
    cut(long, before("record.stored", 26))
    for name in ("account", "history_context"):
        (long / f"account_a/{name}.json").write_bytes(b"{")
    with opened(long) as bank:
        assert totals(bank) == {}
    assert ids(long) == named(25)


def test_an_account_beside_that_the_journal_knows(long: Path) -> None:
    """What another account has is all in the journal: it is read as ever."""
    with opened(long) as bank:
        create(bank, "b")
        store(bank, "b", [Message("user", "one", id="one")])
    say(long, 25, 26)
    cut(long, lambda core: core.get("record") != "m25")
    with opened(long) as bank:
        assert totals(bank) == {"a": 26}
    repaired(long)
    assert ids(long) == named(26)


def test_a_lost_line_in_the_middle_of_the_journal(long: Path) -> None:
    """The last line of a batch is gone; what tells of its rendering follows no line, but a snapshot vouches for it."""
    say(long, 25, 30)
    bank = open_bank(Context(bank=str(long)))
    bank.commit([Entry("snapshot.created", {})])
    store(bank, "a", [Message("user", "later", id="m30")])
    bank.abandon()  # killed before it was rendered
    without(long, "m29")
    with opened(long) as bank:
        assert totals(bank) == {"a": 30}
    assert ids(long) == named(31)
    repaired(long)
    assert ids(long) == named(31)
    say(long, 31, 40)
    check(long, named(40))


def test_the_line_of_a_rendering_is_lost(long: Path) -> None:
    say(long, 25, 30)
    with opened(long) as bank:
        bank.commit([Entry("snapshot.created", {})])
    good = account_files(long)
    (segment,) = (long / ".memorybank/journal").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join([*lines[:-2], lines[-1]]))
    assert repaired(long).unrepaired == ()
    assert account_files(long) == good
    check(long, named(30))


def without(path: Path, record: str) -> None:
    """Take the line of one message off the journal."""
    (segment,) = (path / ".memorybank/journal").iterdir()
    lines = segment.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["core"].get("record") != record]
    assert len(kept) == len(lines) - 1
    segment.write_bytes(b"".join(kept))
