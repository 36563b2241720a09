"""Scenarios of retention: snapshots are forgotten, packs pruned, the trash emptied; a pin is taken away."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.forgetting import forget
from memorybank_cli.operations.pins import pin
from memorybank_cli.operations.pruning import prune
from memorybank_cli.snapshots import documents, pins
from memorybank_cli.snapshots.undeleting import Trash
from memorybank_cli.snapshots.verifying import verify
from tests.faults.simulated.agents import TRADE, leave
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, opened
from tests.faults.simulated.exploring import Lab
from tests.faults.simulated.repositories import repository
from tests.snapshots.making import read_back

SNAPSHOTS = 5
OLD_SECONDS = 3 * 24 * 3600  # packs that are not a day old are never pruned


class Retention(BankScenario):
    """Two of five snapshots go: first into the trash, whole, then what only they need, then the trash."""

    name = "retention"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        self.contents: dict[str, dict[str, bytes]] = {}
        for number in range(SNAPSHOTS):
            some = {
                f"state/s{one}.json": b'{"n": %d, "s": "%s"}\n' % (number, os.urandom(400).hex().encode())
                for one in range(number, number + 3)
            }
            leave(lab.bank, {f"trades/t{number}.json": TRADE % number, **some})
            with opened(lab) as bank:
                made = make_snapshot(bank, None, ()).document
                assert made is not None
            with repository(lab) as repo:
                self.contents[made.id] = read_back(repo, made)
        self.gone = list(self.contents)[:2]
        old = time.time() - OLD_SECONDS
        for pack in (lab.home / "repositories").rglob("packs/*/*"):
            os.utime(pack, (old, old))

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            forget(bank, *self.gone, yes=True)
            say("forgotten")
            report = prune(bank, yes=True)
            assert report.done.removed
            assert report.done.repacked
            say("pruned")
        with opened(lab) as bank:
            assert prune(bank, now=True, yes=True).done.emptied
            say("emptied")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        with repository(lab) as repo:
            listing = documents.listing(repo)
            assert not listing.findings
            listed = {one.id: one for one in listing.documents}
            stay = self.contents.keys() - set(self.gone)
            assert stay <= listed.keys() <= (stay if said else self.contents.keys())
            for name, document in listed.items():
                assert read_back(repo, document) == self.contents[name]
            if "pruned" not in said:
                self._in_trash(Trash(repo), self.contents.keys() - listed.keys())
            if "emptied" in said:
                assert not repo.backend.entries("trash")
        if lab.thorough:
            prune(bank, yes=True)
            assert make_snapshot(bank, None, ()).document is not None
            with repository(lab) as repo:
                found = verify(repo, None, read_data=True).findings
                assert not found, found
            can_be_written(lab, bank)

    def _in_trash(self, there: Trash, wanted: set[str]) -> None:
        found = {one.id: one for one in there.listing.documents}
        assert wanted <= found.keys()
        for name in wanted:
            assert there.look(found[name]).is_whole


class Unpin(BankScenario):
    """A pin that was taken away does not come back: nothing would be forgotten for it."""

    name = "unpin"

    def prepare(self, lab: Lab) -> None:
        super().prepare(lab)
        with opened(lab) as bank:
            make_snapshot(bank, None, ())
            pin(bank, documents.LATEST)

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            assert not pin(bank, documents.LATEST, remove=True).pins
            say("unpinned")

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        with repository(lab) as repo:
            assert not (said and pins.pinned(repo))
            assert not documents.listing(repo).findings
