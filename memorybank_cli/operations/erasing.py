"""Forgetting for good: messages or whole accounts leave files, journal, quarantine and identities, and the chain holds.

The journal says first what is to go; from then on every opening goes on with it until it is done. The account's files
come first, then the journal, whose lines are what the files are made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts import forgotten
from memorybank_cli.accounts.identities import Identities
from memorybank_cli.bank import forgetting, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import BEGIN, END, REASON, Subject, Traces
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import Act, Replacement, digest_there, replacing
from memorybank_cli.base import digests, files
from memorybank_cli.base.names import uuid7
from memorybank_cli.operations.rollback_plan import is_rendered


class Erased(NamedTuple):
    """What was taken out, and of what."""

    files: list[str]
    """Files of the account that were made anew or removed."""
    lines: int
    """Lines of the journal that lost their data."""
    quarantine: list[str]
    """Files in quarantine that were removed."""


def erase(bank: Bank, subject: Subject) -> Erased:
    """Forget it. The lock is held. Raises AccountDamaged, JournalDamaged, OSError; once begun it is gone on with."""
    act = uuid7()
    bank.check_writable()
    stage = f"{layout.SCRATCH}/{act}"
    files.make_dirs(bank.root, stage)
    bank.journal.closes = True  # only closed segments are written again
    [*_, line] = bank.commit([Entry(BEGIN, {"id": act, **subject.fields()})])
    done = finish(bank, act, line)
    files.remove_tree(bank.root, stage)
    return done


def finish(bank: Bank, act: str, begun: Line) -> Erased:
    """Do what a line of the journal began to forget, also where a part of it is done. The lock is held."""
    subject = Subject.told(begun.core)
    traces = Traces(subject)
    replaced = _remove_account(bank, subject) if subject.whole else _replace_files(bank, subject, begun.seq)
    dropped = forgetting.clean_journal(bank, traces)
    removed = forgetting.clean_quarantine(bank, traces)
    forgetting.clean_temporaries(bank, subject)
    done = Erased(replaced, dropped, removed)
    told: dict[str, Any] = {"dropped": done.lines, "removed": len(done.quarantine)}
    bank.commit([Entry(END, {"id": act, **subject.fields(), **told})])
    _let_identities_go(bank)
    return done


def _replace_files(bank: Bank, subject: Subject, begun: int) -> list[str]:
    """Have the account's files without the messages; those that were written or removed.

    No line of the account counts differently after it, so it is no restore of the account: its files stay what the
    journal's lines make up, for those of the messages tell of empty positions from now on.
    """
    bank.render()  # what waits is in no file yet, or in one that is made anew below
    found = forgotten.Without(bank, subject)
    if not found.changes:
        return []
    with replacing(bank, REASON, False, subject=subject.account, forgets=begun, **found.fields()) as act:
        for one in _files_without(bank, found):
            _put(bank, act, one)
        done = act.carry_out()
    return sorted([*done.restored, *done.removed])


def _files_without(bank: Bank, found: forgotten.Without) -> Iterator[Replacement]:
    stay, mode = found.others(), bank.modes[0]
    for one in found.files():
        stay.add(one.path)
        yield Replacement(one.path, one.data, mode, None, one.kind)
    if not found.history.segments:
        stay.discard(layout.history_index(found.subject.account))
    for path in _files_of(bank, found.subject.account):
        if path not in stay and is_rendered(path):
            yield Replacement(path, None)


def _put(bank: Bank, act: Act, one: Replacement) -> None:
    before = digest_there(bank, one.path)
    if one.content is None or (isinstance(one.content, bytes) and before != digests.of(one.content)):
        act.put(one, before)


def _remove_account(bank: Bank, subject: Subject) -> list[str]:
    """Remove everything below the account's directory; the files that were recorded there.

    At once and not by the act, which would keep in quarantine what somebody else wrote there.
    """
    section = layout.account_section(subject.account)
    recorded = {path: expected.sha for path, expected in bank.catalog.all_expected(section)}
    files.remove_tree(bank.root, section)
    with replacing(bank, REASON, False, accounts={subject.account: 0}) as act:
        for path, sha in sorted(recorded.items()):
            act.put(Replacement(path, None), sha)
        return act.carry_out().removed


def _let_identities_go(bank: Bank) -> None:
    """The table learns now that the account's history is another one, not at the next message."""
    table = Identities(bank)
    try:
        table.catch_up()
    finally:
        table.close()


def _files_of(bank: Bank, account: str) -> list[str]:
    section = layout.account_section(account)
    walked = bank.root.walk(section) if bank.root.is_dir(section) else ()
    return [f"{listing.path}/{entry.name}" for listing in walked for entry in listing.files]
