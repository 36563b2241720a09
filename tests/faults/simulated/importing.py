"""Scenarios of imports: into a standing bank, finished by the next start, and into a new bank."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, suppress
from typing import ClassVar
from unittest import mock

from memorybank_cli.bank import replacing
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.operations.importing import bring, chosen
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from tests.broken_os import Stopped
from tests.faults.simulated.agents import TRADE, agents_files, leave, quarantined, stop
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, opened, patched, texts
from tests.faults.simulated.exploring import Lab

IMPORTED = {f"trades/i{number}.json": TRADE % number for number in range(4)}
SAID = [
    {"role": "user", "id": f"m{number}", "content": f"text {number}", "timestamp": 1_700_000_000 + number}
    for number in range(3)
]
OTHER = {"trades/i0.json": b'{"net_profit": -1}'}


class Migrate(BankScenario):
    """An import into a standing bank is one act: files, an account and its messages, refused bytes."""

    name = "migrate"
    standing: ClassVar[dict[str, bytes]] = OTHER

    def setting(self) -> AbstractContextManager[object]:
        return patched((files, "SYNCED_SINGLY", 2))

    def prepare(self, lab: Lab) -> None:
        leave(lab.place / "source", IMPORTED)
        leave(lab.place / "source", {"memory/account_a/whole_history.json": json.dumps(SAID).encode()})
        self.before(lab)

    def before(self, lab: Lab) -> None:
        """What stands at the target; some files of the source are in its way."""
        leave(lab.bank, self.standing)
        init(Context(bank=str(lab.bank)))

    def act(self, lab: Lab, say: Say) -> None:
        with chosen(str(lab.place / "source"), None, str(lab.bank)) as source, opened(lab) as bank:
            bring(source, bank, bank.context.progress)
            say("imported")
        self.after = agents_files(lab)
        self.kept = quarantined(lab)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        found = agents_files(lab)
        coming = IMPORTED.keys() - self.standing.keys()
        assert found == self.after or (not said and not found.keys() & coming), sorted(found)
        stored = (lab.bank / "account_a/whole_history.json").exists()
        assert stored == (found == self.after) if coming else stored or not said
        if stored:
            assert store(bank, "a", texts(3)).added == 0
            kept = quarantined(lab)
            assert all(data in kept for data in self.kept)
            can_be_written(lab, bank)
        else:
            with chosen(str(lab.place / "source"), None, str(lab.bank)) as source:
                bring(source, bank, bank.context.progress)
            assert agents_files(lab) == self.after


class MigrateUnhindered(Migrate):
    """An import in whose way nothing stands: the many files that are staged become durable by one sync of all."""

    name = "migrate unhindered"
    standing: ClassVar[dict[str, bytes]] = {"trades/other.json": OTHER["trades/i0.json"]}


class MigrateRefused(Migrate):
    """An import of which every file is refused: their bytes become durable by one sync of all."""

    name = "migrate refused"
    standing: ClassVar[dict[str, bytes]] = dict.fromkeys(IMPORTED, OTHER["trades/i0.json"])


class RecoveredImport(Migrate):
    """An import that was killed after its beginning is finished by the next start."""

    name = "recovered import"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        source = chosen(str(lab.place / "source"), None, str(lab.bank))
        with source as given, opened(lab) as bank, mock.patch.object(replacing, "swap", stop), suppress(Stopped):
            bring(given, bank, bank.context.progress)

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab):
            say("recovered")
        self.after, self.kept = agents_files(lab), quarantined(lab)
        assert self.after.keys() >= IMPORTED.keys()


class InitFrom(Migrate):
    """An import into a new bank, which is built aside and renamed."""

    name = "init from"

    def before(self, lab: Lab) -> None:
        del lab

    def _init(self, lab: Lab) -> None:
        init(Context(bank=str(lab.bank)), from_=str(lab.place / "source"))

    def act(self, lab: Lab, say: Say) -> None:
        self._init(lab)
        say("imported")
        self.after = agents_files(lab)
        self.kept = quarantined(lab)

    def opened(self, lab: Lab, said: Sequence[str]) -> closing[Bank]:
        if not said and not (lab.bank / "bank.json").exists():
            assert not lab.bank.exists()
            self._init(lab)
        return super().opened(lab, said)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        super().check_bank(lab, bank, ("imported",))
