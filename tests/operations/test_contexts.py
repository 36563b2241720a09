"""`context show` and `context refresh`, as functions and as commands, with scikit-learn and without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import context_refresh, context_summaries
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import AccountNotFound
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.contexts import refresh, show
from tests.accounts.conversations import GARDEN, GAS, TRAVEL, conversation, said
from tests.conftest import MakeBank, Run
from tests.operations.banks import journal, opened

ALL = conversation(GAS, GARDEN, TRAVEL)


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank with a conversation that is not summarised."""
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    said(made, ALL)
    return made


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn is not installed."""
    monkeypatch.setitem(sys.modules, "sklearn", None)


def test_the_baseline_and_what_comes_after_it(path: Path) -> None:
    with opened(path) as bank:
        before = show(bank, account="a")
        done = refresh(bank, account="a")
        after = show(bank, account="a")
        again = refresh(bank, account="a")
    assert (before.status, before.summaries, before.messages, before.reason) == ("initializing", (), 24, "")
    assert before.last_update
    assert "memorybank context refresh --account a" in before.summary()
    assert (done.refreshed, done.written, done.summarised, done.summaries, done.pending) == (True, 3, 24, 3, False)
    assert done.summary() == "a: 3 summaries written; 24 of 24 messages summarised in 3 summaries."
    assert (after.status, after.reason, after.summarised, after.due) == ("active", "request", 24, "")
    assert after.last_update > before.last_update
    assert after.summary() == "a: 24 messages of 24 in 3 summaries."
    assert (again.refreshed, again.written) == (False, 0)
    assert again.summary() == "a: nothing new; 24 of 24 messages summarised in 3 summaries."


def test_everything_anew(path: Path) -> None:
    with opened(path) as bank:
        refresh(bank, account="a")
        before = show(bank, account="a").summaries
        assert refresh(bank, account="a", all=True).written == 3
        assert show(bank, account="a").summaries == before


@pytest.mark.parametrize(("times", "pending"), [(1, False), (99, True)])
def test_it_begins_again_where_somebody_else_was_faster(
    path: Path, times: int, pending: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarised, left = context_summaries.summarised, [times]

    def overtaken(*arguments: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            with opened(path) as other:  # a line of its own is enough, here one that takes back nothing
                fields = {"account": "a", "kind": "summary", "record": "", "span": [99, 99], "reason": "request"}
                other.commit([Entry("record.stored", fields)])
        return summarised(*arguments)

    monkeypatch.setattr(context_refresh, "summarised", overtaken)
    with opened(path) as bank:
        done = refresh(bank, account="a")
    assert (done.refreshed, done.pending) == (not pending, pending)
    if pending:
        told = "a: it was changed meanwhile; run it again; 0 of 24 messages summarised in 0 summaries."
        assert done.summary() == told


@pytest.mark.usefixtures("without")
def test_without_scikit_learn_it_stays_pending(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = len(journal(path))
    monkeypatch.setenv("MEMORYBANK_CONTEXT_MESSAGES", "24")
    with opened(path) as bank:
        done = refresh(bank, account="a")
        shown = show(bank, account="a")
    assert (done.refreshed, done.pending) == (False, True)
    assert [(one.rule, one.severity) for one in done.findings] == [("MB510", "info")]
    assert done.summary() == "a: nothing was changed; 0 of 24 messages summarised in 0 summaries."
    assert (shown.due, [one.rule for one in shown.findings]) == ("messages", ["MB510"])
    assert len(journal(path)) == lines


def test_no_such_account(path: Path) -> None:
    with opened(path) as bank:
        for call in (show, refresh):
            with pytest.raises(AccountNotFound):
                call(bank, account="b")


def test_the_commands(path: Path, run: Run) -> None:
    done = run("context", "refresh", "--account", "a", "--bank", path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        "a: 3 summaries written; 24 of 24 messages summarised in 3 summaries.",
    )
    shown = run("context", "show", "--account", "a", "--bank", path)
    assert "  user: We decided to set the gas limit to 40 gwei" in shown.stdout
    assert shown.stdout.splitlines()[0].startswith("1 to 8  2026-11-20T14:01:00Z  ")
    told = run("context", "show", "--account", "a", "--bank", path, "--json").json
    assert [one["first"] for one in told["summaries"]] == [1, 9, 17]
    assert run("context", "show", "--account", "b", "--bank", path).returncode == 10


def test_what_agents_said_is_never_printed_raw(path: Path, run: Run) -> None:
    said(path, [{**ALL[0], "id": "evil", "content": "Gas \x1b[31m is [bold]40 gwei[/bold] on \x07 Base, we decided."}])
    run("context", "refresh", "--account", "a", "--all", "--bank", path)
    shown = run("context", "show", "--account", "a", "--bank", path)
    assert "\\x1b[31m is [bold]40 gwei[/bold]" in shown.stdout
    assert "\x1b" not in shown.stdout
