"""Scenarios around agents' files: init, a change of theirs that is adopted, repair, imports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from unittest import mock

from memorybank_cli.bank import baseline, replacing
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.repair import cure
from tests.broken_os import Stopped
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, opened, texts
from tests.faults.simulated.exploring import Lab

TRADE = b'{"timestamp": "2026-01-01T00:00:00Z", "net_profit": %d}\n'
RECENT = json.dumps({"trades": [json.loads(TRADE % number) for number in range(20)]}).encode()
AGENTS = {
    "trades/t0.json": TRADE % 0,
    "trades/t1.json": TRADE % 1,
    "trades/recent.json": RECENT + bytes(3_000),
    "state/cut.json": b'[{"a": 1}, {"a": 2}, {"a"',
    "state/state.json": b'{"bot_status": "running"}\n',
}
"""What agents left; two of them are damaged."""
MANAGED = ("account_", "config", ".memorybank", "bank.json", "README.md", "metrics/metrics.json")


def leave(place: Path, contents: dict[str, bytes]) -> None:
    """Write files as agents do."""
    for name, data in contents.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)


def agents_files(lab: Lab) -> dict[str, bytes]:
    """What stands in the bank and is not ours."""
    found = lab.files("bank")
    return {name: data for name, data in found.items() if not name.startswith(MANAGED) and ".mb-" not in name}


def quarantined(lab: Lab) -> list[bytes]:
    """What is kept in quarantine."""
    place = "bank/.memorybank/quarantine"
    return list(lab.files(place).values()) if (lab.place / place).is_dir() else []


class Init(BankScenario):
    """A bank is made around what agents left, and a message is stored in it."""

    name = "init"

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, AGENTS)

    def act(self, lab: Lab, say: Say) -> None:
        init(Context(bank=str(lab.bank)), account=("a",))
        say("made")
        with opened(lab) as bank:
            store(bank, "a", texts(1))
            say("stored")

    def opened(self, lab: Lab, said: Sequence[str]) -> closing[Bank]:
        if "made" not in said:
            init(Context(bank=str(lab.bank)), account=("a",))
        return super().opened(lab, said)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        found = agents_files(lab)
        assert found == self.left(), sorted(found)
        for name, data in self.left().items():
            expected = bank.catalog.row(name).expected
            assert expected is not None
            assert expected.sha == digests.of(data), name
        again = store(bank, "a", texts(1))
        assert again.total == 1
        assert again.added == 0 or "stored" not in said
        can_be_written(lab, bank)

    def left(self) -> dict[str, bytes]:
        """What agents wrote."""
        return AGENTS


class NewBank(Init):
    """The same where nothing stands, not even the directory above."""

    name = "new bank"

    def prepare(self, lab: Lab) -> None:
        del lab

    def left(self) -> dict[str, bytes]:
        return {"state/state.json": baseline.EMPTY}


CHANGED = {
    "trades/t0.json": TRADE % 100,
    "trades/2026/t9.json": TRADE % 9,
    "state/state.json": b'{"bot_status": "stopped"}\n',
}


class Adoption(BankScenario):
    """What agents changed is adopted."""

    name = "adoption"

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, AGENTS)
        super().prepare(lab)
        leave(lab.bank, CHANGED)
        (lab.bank / "trades/t1.json").unlink()

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            baseline.establish(bank)
            say("adopted")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        left = {name: data for name, data in (AGENTS | CHANGED).items() if name != "trades/t1.json"}
        assert agents_files(lab) == left
        if not said:
            baseline.establish(bank)
        for name in ("trades/2026/t9.json", "state/state.json"):
            expected = bank.catalog.row(name).expected
            assert expected is not None
            assert expected.sha == digests.of(left[name]), name
        can_be_written(lab, bank)


class Repair(BankScenario):
    """Damaged files are cured together; what stood there is in quarantine."""

    name = "repair"

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, AGENTS)
        super().prepare(lab)

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            cure(bank)
            say("repaired")
        self.after = agents_files(lab)
        self.changed = {name for name in AGENTS if self.after[name] != AGENTS[name]}
        assert self.changed == {"trades/recent.json", "state/cut.json"}

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        found = agents_files(lab)
        assert found == self.after or (not said and found == AGENTS), sorted(found)
        if found == self.after:
            self._check_kept(lab)
        else:
            assert {one.path for one in cure(bank).repaired} == self.changed
            assert agents_files(lab) == self.after
            self._check_kept(lab)
        assert cure(bank).repaired == ()
        can_be_written(lab, bank)

    def _check_kept(self, lab: Lab) -> None:
        kept = quarantined(lab)
        assert all(AGENTS[name] in kept for name in self.changed)


class Recovery(Repair):
    """A repair that was killed between its beginning and its first file is finished by the next start."""

    name = "recovery"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        with opened(lab) as bank, mock.patch.object(replacing, "swap", stop), suppress(Stopped):
            cure(bank)
        assert list((lab.bank / ".memorybank/tmp").iterdir())

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab):
            say("recovered")
        self.after = agents_files(lab)
        self.changed = {name for name in AGENTS if self.after[name] != AGENTS[name]}
        assert self.changed == {"trades/recent.json", "state/cut.json"}


def stop(*_: object, **__: object) -> None:
    """What comes instead of a step before which the process is killed."""
    raise Stopped
