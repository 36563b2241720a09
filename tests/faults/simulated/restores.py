"""Scenarios that give back what a snapshot holds: export, restore to a new place, rollback."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.export import export
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.restoring import restore_to
from tests.faults.simulated.agents import CHANGED, agents_files, leave
from tests.faults.simulated.banks import BankScenario, Say, can_be_written, opened, texts
from tests.faults.simulated.exploring import Lab
from tests.faults.simulated.messages import check_files
from tests.faults.simulated.repositories import SOUND, repository


class Export(BankScenario):
    """A snapshot becomes an archive: it is there as a whole, or not at all."""

    name = "export"

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, SOUND)
        init(Context(bank=str(lab.bank)))
        with opened(lab) as bank:
            make_snapshot(bank, None, ())

    def act(self, lab: Lab, say: Say) -> None:
        with opened(lab) as bank:
            export(bank, to=str(lab.place / "snapshot.tar"))
            say("exported")
        self.after = (lab.place / "snapshot.tar").read_bytes()

    def recover(self, lab: Lab, said: Sequence[str]) -> None:
        del lab, said

    def check(self, lab: Lab, said: Sequence[str]) -> None:
        there = lab.place / "snapshot.tar"
        assert there.read_bytes() == self.after if there.exists() else not said


class Restore(BankScenario):
    """A snapshot is restored to a new place, below directories that are new, too."""

    name = "restore"
    target = "new/deeper/restored"

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, SOUND)
        init(Context(bank=str(lab.bank)))
        with opened(lab) as bank:
            make_snapshot(bank, None, ())

    def _restore(self, lab: Lab) -> None:
        with repository(lab) as repo:
            restore_to(repo, documents.resolve(repo, "latest"), lab.place / self.target)

    def act(self, lab: Lab, say: Say) -> None:
        self._restore(lab)
        say("restored")
        self.after = self._found(lab)

    def _found(self, lab: Lab) -> dict[str, tuple[int, int, bytes]]:
        place = lab.place / self.target
        found = {}
        for path in sorted(place.rglob("*")):
            info = path.stat()
            data = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(place))] = (info.st_mode, info.st_mtime_ns, data)
        return found

    def recover(self, lab: Lab, said: Sequence[str]) -> None:
        if not said and not (lab.place / self.target).exists():
            self._restore(lab)

    def check(self, lab: Lab, said: Sequence[str]) -> None:
        self.recover(lab, said)
        assert self._found(lab) == self.after


class Rollback(BankScenario):
    """The bank is put back as in a snapshot: wholly old or wholly new, with a snapshot of what it was before."""

    name = "rollback"
    account: str | None = None

    def prepare(self, lab: Lab) -> None:
        leave(lab.bank, SOUND)
        super().prepare(lab)
        with opened(lab) as bank:
            store(bank, "a", texts(3))
        with opened(lab) as bank:
            make_snapshot(bank, None, ())
        leave(lab.bank, CHANGED)
        (lab.bank / "trades/t1.json").unlink()
        with opened(lab) as bank:
            store(bank, "a", texts(3, 5))

    def act(self, lab: Lab, say: Say) -> None:
        self.before = agents_files(lab)
        with opened(lab) as bank:
            report = rollback(bank, account=self.account, yes=True)
            assert report.restored
            say("rolled back")
            self.safety = report.safety_snapshot
        self.after = agents_files(lab)

    def check_bank(self, lab: Lab, bank: Bank, said: Sequence[str]) -> None:
        found, messages = agents_files(lab), len(check_files(lab, "a"))
        new = (found == self.after and messages == 3) if said or self.before != self.after else messages == 3
        assert new or (not said and found == self.before and messages == 5), (sorted(found), messages)
        if new:
            with repository(lab) as repo:
                listing = documents.listing(repo)
                assert not listing.findings
                assert self.safety in {document.id for document in listing.documents}
        can_be_written(lab, bank)


class AccountRollback(Rollback):
    """Only an account is put back."""

    name = "account rollback"
    account = "a"
