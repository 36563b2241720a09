"""Scenarios of what leaves the journal: messages and accounts that are forgotten, and compaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from memorybank_cli.accounts import history, segments
from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations import account_compact, account_forget, message_forget
from memorybank_cli.operations import messages as messages_module
from memorybank_cli.operations.accounts import account_ids
from memorybank_cli.operations.messages import store
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, named, opened, patched
from tests.faults.simulated.exploring import Lab
from tests.faults.simulated.messages import check_files
from tests.operations.erased import places_of


class ForgetMessage(BankScenario):
    """A message is forgotten: it is wholly there or nowhere, and once that was said it is nowhere."""

    name = "forget message"

    def setting(self) -> AbstractContextManager[object]:
        small = [
            (module, name, value) for module in (segments, history) for name, value in (("MOST", 5), ("LARGEST", 4_000))
        ]
        others = ((messages_module, "MOST", 5), (journal_module, "SEGMENT_LINES", 8))
        return patched(*small, *others, (account_compact, "WINDOW_DAYS", -1))

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        for account in ("a", "b"):
            with opened(lab) as bank:
                texts = (Message("user", f"{account} says number {n}.", id=f"m{n}") for n in range(12))
                store(bank, account, list(texts))

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            self.work(bank)
            say("done")

    def work(self, bank: Bank) -> None:
        message_forget.forget(bank, "m3", account="a", yes=True)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        assert check_files(lab, "b") == named(12)
        found = check_files(lab, "a")
        gone = found == [*named(3), *named(4, 12)]
        assert gone or (not said and found == named(12)), (found, said)
        assert (places_of(lab.bank, "a says number 3.") == []) == gone
        can_be_written(lab, bank)


class ForgetAccount(ForgetMessage):
    """An account is forgotten: it is wholly there or nowhere."""

    name = "forget account"

    def work(self, bank: Bank) -> None:
        account_forget.forget(bank, "a", yes=True)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        assert check_files(lab, "b") == named(12)
        gone = "a" not in account_ids(bank)
        assert gone or (not said and check_files(lab, "a") == named(12)), said
        assert (places_of(lab.bank, "a says number") == []) == gone
        assert (lab.bank / "account_a").exists() != gone


class Compaction(ForgetMessage):
    """The journal is compacted: every message is there, before and after."""

    name = "compaction"

    def work(self, bank: Bank) -> None:
        assert sum(one.lines for one in account_compact.compact(bank).segments) > 10

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        for account in ("a", "b"):
            assert check_files(lab, account) == named(12)
        can_be_written(lab, bank)
