"""Scenarios of messages in a bank: groups, sealing, segments of the journal, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Any
from unittest import mock

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.init import init
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.snapshots.repository import Repository
from tests.faults.simulated.exploring import Lab

Say = Callable[[str], None]


@contextmanager
def patched(*patches: tuple[Any, str, object]) -> Iterator[None]:
    """Constants of modules with other values; repositories without their reserve, which would be written each time."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Repository, "keep_reserve", return_value=False))
        for where, name, value in patches:
            stack.enter_context(mock.patch.object(where, name, value))
        yield


def opened(lab: Lab) -> closing[Bank]:
    """The bank, open as every command opens it."""
    return closing(open_bank(Context(bank=str(lab.bank))))


def texts(*numbers: int) -> list[Message]:
    """Messages `m0`, `m1` and so on."""
    return [Message("user", f"text {number}", id=f"m{number}") for number in range(*numbers)]


def named(*numbers: int) -> list[str]:
    """Ids of messages."""
    return [f"m{number}" for number in range(*numbers)]


class BankScenario:
    """A bank whose next start opens it; the journal must prove."""

    name = ""

    def setting(self) -> AbstractContextManager[object]:
        return patched()

    def prepare(self, lab: Lab) -> None:
        init(Context(bank=str(lab.bank)), account=("a", "b"))

    def act(self, lab: Lab, say: Say) -> None:
        raise NotImplementedError  # each scenario is its own operation

    def recover(self, lab: Lab, said: Sequence[str]) -> None:
        with self.opened(lab, said):
            pass

    def opened(self, lab: Lab, said: Sequence[str]) -> closing[Bank]:
        """The bank, open as after the next start."""
        del said
        return opened(lab)

    def check(self, lab: Lab, said: Sequence[str]) -> None:
        with self.opened(lab, said) as bank:
            bank.render()
            proof = prove(bank)
            assert proof.ok, proof.findings
            self.check_bank(lab, bank, said)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        """What must hold of the open bank."""


def can_be_written(lab: Lab, bank: Bank) -> None:
    """The next write works."""
    if lab.thorough:
        assert store(bank, "a", texts(1_000, 1_002)).added == 2
        assert [one["id"] for one in list_(bank, account="a", last=2)] == named(1_000, 1_002)
