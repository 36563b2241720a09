"""Scenarios of messages: one by one and in groups, sealed, over segments of the journal, refused."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from unittest import mock

from memorybank_cli.accounts import history, segments
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.bank import appending, layout, tip
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base import clock, files
from memorybank_cli.operations import messages as messages_module
from memorybank_cli.operations.messages import store
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, named, opened, patched, texts
from tests.faults.simulated.exploring import Lab


class Messages(BankScenario):
    """Messages one by one and in a group, in two accounts: what was acknowledged is there, groups wholly or not."""

    name = "messages"
    steps: tuple[tuple[str, int, int], ...] = (("a", 3, 4), ("b", 0, 2), ("a", 4, 9), ("b", 2, 3))
    """Account, first and last message of each group."""
    sessions = 2
    """How many times the bank is opened for them."""

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        with opened(lab) as bank:
            store(bank, "a", texts(3))

    def act(self, lab: Lab, say: Say) -> None:
        size = -(-len(self.steps) // self.sessions)
        for start in range(0, len(self.steps), size):
            self.session(lab, say, self.steps[start : start + size])

    def session(self, lab: Lab, say: Say, steps: Sequence[tuple[str, int, int]]) -> None:
        """Store these while the bank is open once."""
        with opened(lab) as bank:
            for account, first, last in steps:
                store(bank, account, texts(first, last))
                say(f"{account}{last}")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        done = len(said)
        for account, stored in (("a", 3), ("b", 0)):
            groups = [last for which, _, last in self.steps[: done + 1] if which == account]
            least = max([last for which, _, last in self.steps[:done] if which == account], default=stored)
            found = check_files(lab, account)
            assert found == named(len(found))
            assert len(found) in {least, *groups}, (account, len(found), said)
            assert len(found) >= least, (account, len(found), said)
        assert not (lab.bank / ".memorybank/quarantine").exists(), "a file of ours was taken for somebody else's"
        can_be_written(lab, bank)


def check_files(lab: Lab, account: str) -> list[str]:
    """The ids in an account's files, which are whole and agree."""
    place = lab.bank / f"account_{account}"
    whole = json.loads((place / "whole_history.json").read_bytes())
    sealed = sorted((place / "history").glob("0*.json")) if whole["first"] > 1 else []
    parts = [json.loads(path.read_bytes()) for path in sealed]
    parts = [part for part in parts if not whole["messages"] or part["messages"][0]["seq"] < whole["first"]]
    ids = [one["id"] for part in (*parts, whole) for one in part["messages"]]
    assert [one["id"] for one in json.loads((place / "short_term.json").read_bytes())["messages"]] == ids[-50:]
    return ids


class Sealing(Messages):
    """A batch that overflows into sealed segments of the history."""

    name = "sealing"
    steps = (("a", 3, 8), ("a", 8, 35), ("b", 0, 12), ("a", 35, 47))

    def setting(self) -> AbstractContextManager[object]:
        small = [
            (module, name, value)
            for module in (segments, history)
            for name, value in (("MOST", 10), ("LARGEST", 4_000))
        ]
        return patched(*small, (messages_module, "MOST", 10))


class RollOver(Messages):
    """Segments of the journal of six lines, a checkpoint every four."""

    name = "roll-over"
    steps = tuple((account, number, number + 1) for number in range(3, 9) for account in ("a",))
    sessions = 6

    def setting(self) -> AbstractContextManager[object]:
        return patched((journal_module, "SEGMENT_LINES", 6), (appending, "CHECKPOINT_LINES", 4))


class Room(Messages):
    """Messages and groups within and over the room behind the last line, and a session that leaves its room."""

    name = "room"
    steps = (("a", 3, 4), ("a", 4, 5), ("a", 5, 8), ("b", 0, 1), ("a", 8, 9), ("b", 1, 2))

    def setting(self) -> AbstractContextManager[object]:
        room = [(tip, "ROOM", bytes(1_500)), (tip, "ROOMY", 1_500), (tip, "ROOM_AFTER", 1)]
        return patched(*room, (journal_module, "SEGMENT_LINES", 9))


class Checkpoints(Messages):
    """The renderings of two accounts wait unsynced when a checkpoint is written."""

    name = "checkpoints"
    steps = (("a", 3, 4), ("b", 0, 1), ("a", 4, 5))

    def act(self, lab: Lab, say: Say) -> None:
        self.session(lab, say, self.steps[:2])
        with patched((appending, "CHECKPOINT_LINES", 1)):
            self.session(lab, say, self.steps[2:])


class Unshared(Messages):
    """Messages on a system that does not tell its starts apart: each append is synced by itself."""

    name = "unshared"

    def setting(self) -> AbstractContextManager[object]:
        return mock.patch.object(clock, "boot_id", return_value="")


FOREIGN = b'{"written": "by somebody else"}'


class Foreign(Messages):
    """Somebody wrote over a file of ours: those bytes wait in quarantine once ours are back in their place."""

    name = "foreign"
    steps = (("a", 3, 5),)
    sessions = 1

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        (lab.bank / "account_a/short_term.json").write_bytes(FOREIGN)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        there = lab.files("bank").values()
        assert FOREIGN in there
        store(bank, "a", texts(1_000, 1_001))
        bank.render()
        assert check_files(lab, "a")[-1] == "m1000"


class Refused(Messages):
    """A group in several pieces whose sync fails is not there, whatever of it reached the disk."""

    name = "refused"

    def act(self, lab: Lab, say: Say) -> None:
        for size, first, last in ((1_000, 3, 4), (1, 3, 9)):
            pieces = mock.patch.object(journal_module, "PIECE_BYTES", size)
            no_sync = mock.patch.object(files, "sync_data", side_effect=OSError(errno.EIO, "no"))
            with opened(lab) as bank, suppress(OSError), pieces, no_sync:
                store(bank, "a", texts(first, last))
            say("refused")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        allowed = ({3, 4, 9}, {3, 9}, {3})[len(said)]  # of a group that is under way nothing was said yet
        assert len(check_files(lab, "a")) in allowed
        can_be_written(lab, bank)


class RefusedUnshared(Refused):
    """The same where each append is synced by itself: what fails is cut off at once, durably."""

    name = "refused unshared"

    def setting(self) -> AbstractContextManager[object]:
        return mock.patch.object(clock, "boot_id", return_value="")


class Unlocked(Messages):
    """A hand removes `sync.lock` while two processes write: neither takes the other's lines for durable."""

    name = "unlocked"

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as one:
            waiting = begun(one, "a", 3)
            (lab.bank / layout.SYNC_LOCK).unlink()
            with opened(lab) as other:
                last = begun(other, "a", 4)
                one.durable(waiting)
                say("a4")
                other.durable(last)
                say("a5")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        found = check_files(lab, "a")
        assert found == named(len(found))
        assert 3 + len(said) <= len(found) <= 5, (len(found), said)
        can_be_written(lab, bank)


def begun(bank: Bank, account: str, number: int) -> Appended:
    """Append a message; it is not durable yet."""
    record = texts(number, number + 1)[0].record(bytes.fromhex(str(bank.document["identity_key"])), clock.now())
    fields = {"account": account, "kind": "message", "record": record["id"]}
    _, what = bank.begin([Entry(STORED, fields, record)])
    assert what is not None
    return what
