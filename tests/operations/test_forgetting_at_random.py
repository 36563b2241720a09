"""Random operations among which messages are forgotten: what is left is right, wherever it is read from."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from memorybank_cli.accounts import sources
from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_check import check as check_accounts
from memorybank_cli.operations.account_compact import compact
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.message_forget import forget
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank
from tests.operations.banks import opened, repaired, rules
from tests.operations.erased import places_of, short_segments

STEPS = 22


class _Model:
    """What the account must hold, step by step; each message is unlike every other one."""

    def __init__(self, path: Path, seed: int, is_compacted: bool) -> None:
        self.path, self.dice, self.is_compacted = path, random.Random(seed), is_compacted
        self.held: list[tuple[str, str]] = []
        self.gone: set[tuple[str, str]] = set()
        self.ever: list[tuple[str, str]] = []
        self.states: dict[int, list[tuple[str, str]]] = {}

    def add(self) -> None:
        """New messages, now and then under an id that was forgotten."""
        free = [one for one, _ in self.gone if one not in dict(self.held)]
        ids = [f"i{len(self.ever) + number}" for number in range(self.dice.randint(1, 14))]
        if free and self.dice.random() < 0.5:
            ids[0] = self.dice.choice(free)
        said = [(one, f"text-{len(self.ever) + number}-{one}.") for number, one in enumerate(ids)]
        self.ever += said
        with opened(self.path) as bank:
            store(bank, "a", [Message("user", text, id=one) for one, text in said])
        self.held = self.held + said

    def forget(self) -> None:
        """Some that are held, some that were rolled back."""
        there = [one for one, _ in self.ever if any(one == name for name, _ in set(self.ever) - self.gone)]
        some = self.dice.sample(there, min(len(there), self.dice.randint(1, 5)))
        if not some:
            return
        with opened(self.path) as bank:
            forget(bank, *some, account="a", yes=True)
        self.gone |= {one for one in self.ever if one[0] in some}
        self.held = [one for one in self.held if one not in self.gone]

    def roll_back(self) -> None:
        """To a line after which the account was looked at."""
        seq = self.dice.choice(list(self.states))
        with opened(self.path) as bank:
            done = rollback(bank, seq=seq, account="a", yes=True)
        if not done.findings:  # else the journal was compacted, and nothing was changed
            self.held = [one for one in self.states[seq] if one not in self.gone]
        assert self.is_compacted or not done.findings

    def rearrange(self) -> None:
        """Other forms of the same."""
        with opened(self.path) as bank:
            archive(bank, "a", keep_mib=0) if self.dice.random() < 0.5 else archive(bank, "a", undo=True)

    def compact(self) -> None:
        with opened(self.path) as bank:
            compact(bank)

    def lose(self) -> None:
        """Files that the journal, or the others, give again."""
        section = self.path / "account_a"
        if self.is_compacted:
            for name in ("short_term", "mid_term"):
                (section / f"{name}.json").unlink()
        else:
            shutil.rmtree(section)
        assert repaired(self.path).exit_code() == 0

    def look(self) -> None:
        """Everything that can be looked at is right."""
        with opened(self.path) as bank:
            found = list(list_(bank, account="a"))
            assert [(one["id"], one["content"]) for one in found] == self.held
            seqs = [one["seq"] for one in found]
            assert seqs == sorted({*seqs})
            assert list(list_(bank, account="a", last=7)) == found[-7:]
            assert check_accounts(bank, "a").findings == ()
            self.states[bank.end.seq] = self.held
            if not self.is_compacted:
                self._look_at_the_journal(bank, found)

    def _look_at_the_journal(self, bank: Bank, found: list[dict[str, object]]) -> None:
        ways = {way.why: way for way in sources.ways(bank, "a", bank.end.seq)}
        way = ways[sources.WHOLE]
        for _ in sources.followed(way, seals=True):
            pass
        if [one["seq"] for one in way.history.messages] != [one["seq"] for one in found]:
            raise AssertionError("the journal gives other positions than the files")

    def close(self) -> None:
        """At last: nothing that was forgotten is anywhere, and the bank is sound."""
        for _, text in self.gone:
            assert places_of(self.path, text) == []
        assert rules(self.path) == {}
        with opened(self.path) as bank:
            assert prove(bank).ok


@pytest.mark.parametrize("seed", [108, 122, 302, 314, 1, 3])
@pytest.mark.no_cover
def test_any_order_of_operations(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    small_segments(monkeypatch)
    short_segments(monkeypatch, 15)
    is_compacted = seed % 2 == 1
    if is_compacted:  # who closes the bank compacts it, too
        monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "a")
    model = _Model(path, seed, is_compacted)
    steps = [model.add, model.add, model.forget, model.forget, model.roll_back, model.rearrange, model.lose]
    if is_compacted:
        steps.append(model.compact)
    model.add()
    model.look()
    for _ in range(STEPS):
        model.dice.choice(steps)()
        model.look()
    model.close()
