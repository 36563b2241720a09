"""Scenarios of snapshots: backup, restore to a new place, rollback."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from unittest import mock

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import files
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.messages import store
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.verifying import verify
from tests.broken_os import Stopped
from tests.faults.simulated.agents import AGENTS, CHANGED, agents_files, leave
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, opened, texts
from tests.faults.simulated.exploring import Lab
from tests.snapshots.making import read_back

SOUND = {name: data for name, data in AGENTS.items() if name not in ("trades/recent.json", "state/cut.json")}


def repository(lab: Lab) -> Repository:
    """The only repository of the lab."""
    [place] = (lab.home / "repositories").iterdir()
    return Repository.open(place)


class Backup(BankScenario):
    """A first snapshot: it is there once it is acknowledged, and nothing that is listed is ever damaged."""

    name = "backup"

    def prepare(self, lab: Lab) -> None:
        self.contents: dict[str, dict[str, bytes]] = {}
        leave(lab.bank, SOUND)
        super().prepare(lab)
        with opened(lab) as bank:
            store(bank, "a", texts(3))

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            report = make_snapshot(bank, None, ())
            assert report.document is not None
            say(report.document.id)
        with repository(lab) as repo:
            for document in documents.listing(repo).documents:
                self.contents[document.id] = read_back(repo, document)
            assert agents_files(lab).items() <= self.contents[report.document.id].items()

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        self._check_repository(lab, said)
        if not lab.thorough:
            return
        report = make_snapshot(bank, None, ())
        assert report.document is not None
        assert not report.findings, report.findings
        with repository(lab) as repo:
            check = verify(repo, None, read_data=True)
            assert not check.findings, check.findings
        can_be_written(lab, bank)

    def _check_repository(self, lab: Lab, said: Sequence[str]) -> None:
        places = list((lab.home / "repositories").iterdir()) if (lab.home / "repositories").exists() else []
        if not said and not (places and (places[0] / "config.json").exists()):
            return
        with repository(lab) as repo:
            listing = documents.listing(repo)
            assert not listing.findings, listing.findings
            found = {document.id: document for document in listing.documents}
            assert set(said) | self.earlier() <= found.keys() <= self.contents.keys()
            for name, document in found.items():
                assert read_back(repo, document) == self.contents[name]

    def earlier(self) -> set[str]:
        """Snapshots that were there before the operation."""
        return set()


class NextBackup(Backup):
    """A second snapshot after some changes."""

    name = "next backup"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        with opened(lab) as bank:
            document = make_snapshot(bank, None, ()).document
            assert document is not None
            self.first = document.id
        leave(
            lab.bank, {name: data for name, data in CHANGED.items() if name not in AGENTS or name.startswith("state")}
        )

    def earlier(self) -> set[str]:
        return {self.first}


class KilledBackup(Backup):
    """A backup that is killed before the name of its pack is durable; the next one takes the pack up."""

    name = "killed backup"

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank, mock.patch.object(files, "sync", _until_a_pack(files.sync)), suppress(Stopped):
            make_snapshot(bank, None, ())
        super().act(lab, say)


def _until_a_pack(sync: Callable[[int], None]) -> Callable[[int], None]:
    def stopping(fd: int) -> None:
        place = os.readlink(f"/proc/self/fd/{fd}")
        if "/packs/" in place and os.path.isdir(place):
            raise Stopped
        sync(fd)

    return stopping
