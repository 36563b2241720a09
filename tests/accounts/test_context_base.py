"""What a context stands on: its file as recorded, the journal, a copy from elsewhere, or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memorybank_cli.accounts import context_base
from memorybank_cli.accounts.context_base import base_of
from memorybank_cli.accounts.context_refresh import refresh
from memorybank_cli.accounts.contexts import State
from memorybank_cli.accounts.shelf import nowhere
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.framing import stripped
from memorybank_cli.base.context import Context
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.init import init
from memorybank_cli.operations.rollback import rollback
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation, said, state
from tests.conftest import MakeBank
from tests.operations.banks import journal, journal_file, opened

CONTEXT = "account_a/history_context.json"
ALL = conversation(GAS, GARDEN, TRAVEL)


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank whose account has a summary of a first topic, then of a second."""
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    for part in (ALL[:8], ALL[8:16]):
        said(made, part)
        with opened(made) as bank:
            refresh(bank, "a", "request")
    return made


def base(path: Path, upto: int | None = None, kept: bytes | None = None) -> State:
    with opened(path) as bank:
        upto = bank.end.seq if upto is None else upto
        created_at = read_history(bank, "a").created_at
        return base_of(bank, "a", created_at, upto, (lambda *_: kept) if kept else nowhere)


def first_rendering(path: Path) -> int:
    """The line that tells of the file with the first summary only."""
    stored = [core["seq"] for core in journal(path) if core["op"] == "record.stored" and core["kind"] == "summary"]
    rendered = [core["seq"] for core in journal(path) if core["op"] == "files.rendered"]
    return int(next(seq for seq in rendered if stored[0] < seq))


def test_a_file_that_is_rendered_while_somebody_reads_costs_no_look_into_the_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(path, ALL[16:])
    with opened(path) as bank:
        with monkeypatch.context() as patched:
            patched.setattr(bank, "render", lambda: None)
            refresh(bank, "a", "request")
        history = read_history(bank, "a")
        with opened(path):
            pass  # it renders when it is closed
        bank.refresh()
        expected = bank.catalog.row(CONTEXT).expected
        assert expected is not None
        assert expected.seq > history.upto
        monkeypatch.delattr(context_base, "recorded_at")
        monkeypatch.delattr(context_base, "_from_journal")
        found = base_of(bank, "a", history.created_at, history.upto, nowhere)
        assert (found.upto, history.context) == (24, found)


def forget_summaries(path: Path) -> None:
    """Drop the data of every summary from the journal."""
    file = journal_file(path)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(stripped(line) if b'"kind":"summary"' in line else line for line in lines))


def test_by_its_file(path: Path) -> None:
    forget_summaries(path)
    assert base(path).upto == 16


def test_by_the_journal_where_the_file_is_damaged(path: Path) -> None:
    good = base(path)
    (path / CONTEXT).write_bytes(b"{}")
    assert base(path) == good


def test_as_of_an_earlier_line(path: Path) -> None:
    earlier = base(path, first_rendering(path))
    assert (earlier.upto, earlier.whole) == (8, True)


def test_by_a_copy_that_is_kept_elsewhere(path: Path) -> None:
    good, data = base(path), (path / CONTEXT).read_bytes()
    forget_summaries(path)
    (path / CONTEXT).unlink()
    assert base(path, kept=data) == good


def test_what_is_lost_everywhere_is_said_and_made_again(path: Path) -> None:
    good = base(path)
    forget_summaries(path)
    (path / CONTEXT).write_bytes(b"{}")
    lost = base(path)
    assert (lost.status, lost.summaries) == ("failing", ())
    said(path, ALL[16:])
    assert state(path).status == "failing"
    assert b'"status": "failing"' in (path / CONTEXT).read_bytes()
    with opened(path) as bank:
        refresh(bank, "a", "request")
    again = state(path)
    assert (again.status, again.upto) == ("active", 24)
    assert [one["messages"] for one in again.summaries[:2]] == [one["messages"] for one in good.summaries]


def test_an_adopted_account_comes_with_its_summaries(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "adopted"
    shutil.copytree(path, target, ignore=shutil.ignore_patterns(".memorybank", "bank.json"))
    init(Context(bank=str(target)))
    assert state(target).summaries == state(path).summaries
    (target / CONTEXT).unlink()
    assert state(target).status == "failing"


def test_a_bank_that_lost_all_that_is_its_own_goes_by_the_file(path: Path) -> None:
    good = state(path)
    shutil.rmtree(path / ".memorybank")
    assert state(path) == good


def test_what_a_rollback_took_back_stays_so(path: Path) -> None:
    seq = first_rendering(path)
    with opened(path) as bank:
        rollback(bank, account="a", seq=seq, yes=True)
    assert state(path).upto == 8
    (path / CONTEXT).unlink()
    assert state(path).upto == 8


def test_a_context_of_somebody_else_counts_as_none(make_bank: MakeBank) -> None:
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    data = (made / CONTEXT).read_bytes().replace(b'"summaries": []', b'"summaries": [{"text": "mine"}]')
    (made / CONTEXT).write_bytes(data)
    shutil.rmtree(made / ".memorybank")
    (made / "bank.json").unlink()
    init(Context(bank=str(made)))
    assert state(made).status == "failing"
