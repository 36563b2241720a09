"""Scenarios of accounts as wholes: archived, renamed, summarised."""

from __future__ import annotations

import json
from collections.abc import Sequence

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations import account_archive, account_rename, contexts
from memorybank_cli.operations.accounts import account_ids
from memorybank_cli.operations.messages import list_, store
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, named, opened
from tests.faults.simulated.exploring import Lab
from tests.faults.simulated.forgetting import ForgetMessage
from tests.faults.simulated.messages import check_files

COUNT = 12


def listed(bank: Bank, account: str) -> list[str]:
    """The ids that are listed."""
    return [one["id"] for one in list_(bank, account=account)]


class Archive(ForgetMessage):
    """The oldest segments are compressed: the history holds the same before and after, and can be put back."""

    name = "archive"

    def work(self, bank: Bank) -> None:
        assert account_archive.archive(bank, "a", keep_mib=0).segments

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        archived = list((lab.bank / "account_a/history").glob("*.zst"))
        assert archived or not said
        assert listed(bank, "a") == listed(bank, "b") == named(COUNT)
        if lab.thorough:
            account_archive.archive(bank, "a", undo=True)
            assert check_files(lab, "a") == named(COUNT)
            can_be_written(lab, bank)


class Rename(ForgetMessage):
    """An account gets another id: all of it is under the one or under the other."""

    name = "rename"

    def work(self, bank: Bank) -> None:
        account_rename.rename(bank, "a", "c")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        (account, other) = account_ids(bank) if "a" in account_ids(bank) else account_ids(bank)[::-1]
        assert other == "b"
        assert account == "c" or (account == "a" and not said), (account, said)
        assert check_files(lab, account) == listed(bank, account) == named(COUNT)
        if lab.thorough:
            assert store(bank, account, [Message("user", "again", id="m3")]).added == 0


class Summaries(BankScenario):
    """A context is refreshed: the summaries are there or not, and the messages are there in either case."""

    name = "summaries"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        with opened(lab) as bank:
            texts = (f"Order {n} was filled at {n * 70} euros because the stop moved up." for n in range(COUNT))
            store(bank, "a", [Message("user", text, id=f"m{n}") for n, text in enumerate(texts)])

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            contexts.refresh(bank, account="a")
            say("done")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        shown = json.loads((lab.bank / "account_a/history_context.json").read_bytes())
        assert shown["summaries"] or not said
        assert check_files(lab, "a") == named(COUNT)
        can_be_written(lab, bank)
