"""Bringing back what was forgotten, as long as it stands in the trash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import Refused, SnapshotNotFound
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.forgetting import journal_fields
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.pruning import with_room
from memorybank_cli.snapshots.repository import Repository, explained
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.undeleting import Forgotten, Trash

NAMED = 20


@dataclass(frozen=True)
class UndeleteReport:
    """What stands in the trash, and what was brought back of it."""

    trash: tuple[Forgotten, ...]
    """Where none was named: everything; else those that were."""
    undeleted: tuple[str, ...]
    packs: int
    """That came back from the trash."""
    lost: dict[str, tuple[str, ...]]
    """By snapshot the paths that nobody can bring back."""
    findings: tuple[Finding, ...]
    repository: str
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {
            "trash": [one.as_dict() for one in self.trash],
            "undeleted": list(self.undeleted),
            "packs": self.packs,
            "lost": {name: list(paths) for name, paths in self.lost.items()},
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
            "dry_run": self.dry_run,
        }

    def exit_code(self) -> int:
        """1 when something of what was brought back is lost."""
        return 1 if any(name in self.undeleted for name in self.lost) else 0

    def summary(self) -> str:
        """What is back, or what can be brought back."""
        if self.undeleted:
            would = "would be " if self.dry_run else ""
            lost = sum(map(len, self.lost.values()))
            but = f"; {counted(lost, 'path')} in them cannot be had any more" if lost else ""
            return f"{counted(len(self.undeleted), 'snapshot')} {would}brought back{but}"
        if not self.trash:
            return "There are no snapshots in the trash."
        return f"{counted(len(self.trash), 'snapshot')} in the trash; memorybank snapshot undelete ID brings one back"


def undelete(
    bank: Bank,
    *id: Annotated[str, "ids, or unique beginnings of them; default: list what can be brought back"],
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask where files of a snapshot are lost"] = False,
    repo: RepoOption = None,
) -> UndeleteReport:
    """Bring forgotten snapshots back from the trash.

    Where the trash was emptied meanwhile, it says which files are lost and asks before it brings the rest back.

    Exit codes:
        0   done
        1   brought back, but some files are lost
        2   files are lost, it needs a yes, and nobody can be asked
        10  there is no such snapshot in the trash
        13  nothing of a snapshot can be had any more

    Examples:
        memorybank snapshot undelete
        memorybank snapshot undelete 20261120T140000Z-0123abcd
    """
    if id and not dry_run:
        bank.check_writable()
        baseline.begin(bank)
    with open_repository(bank, repo) as repository, explained("cannot undelete the snapshots"):
        with repository.reading(bank.lock_timeout):
            report = _look(bank, repository, id, dry_run)
        if not id or dry_run:
            return report
        if report.lost:
            question = "; ".join(f"{name} comes back without {_paths(paths)}" for name, paths in report.lost.items())
            bank.context.ensure(f"{question}. Bring back the rest?", yes=yes)
        with repository.alone(bank.lock_timeout):
            return _carry_out(bank, repository, report)


def _paths(paths: tuple[str, ...]) -> str:
    shown = ", ".join(paths[:NAMED])
    return shown + (f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else "")


def _look(bank: Bank, repository: Repository, names: tuple[str, ...], dry_run: bool) -> UndeleteReport:
    """What is named, or all of this bank's, and what is lost of it."""
    there = Trash(repository)
    found = there.listing
    mine = found.of(bank.bank_id)
    chosen = {one.id: one for one in (_named(mine, name) for name in names)} if names else {}
    looked = tuple(there.look(one) for one in chosen.values() or mine.documents)
    lost = {one.snapshot.id: _lost(there, one) for one in looked if not one.is_whole} if names else {}
    packs = {name for one in looked for name in one.packs} if names else set()
    return UndeleteReport(looked, tuple(chosen), len(packs), lost, found.findings, repository.path, dry_run)


def _named(mine: documents.Listing, name: str) -> documents.Document:
    try:
        return documents.pick(mine, name)
    except SnapshotNotFound as error:
        hint = error.hint if error.hint.startswith("did") else "memorybank snapshot undelete lists what is"
        raise SnapshotNotFound(f"{escape(name)} is not in the trash", hint=hint) from None


def _lost(there: Trash, one: Forgotten) -> tuple[str, ...]:
    try:
        return tuple(there.lost_files(one.snapshot))
    except Damaged as error:
        raise Refused(
            f"snapshot {one.snapshot.id} cannot be brought back: {error.message}",
            hint="the trash was emptied; memorybank snapshot list shows what there is",
        ) from None


def _carry_out(bank: Bank, repository: Repository, report: UndeleteReport) -> UndeleteReport:
    """Alone, look again, and bring back what was agreed to, as whole as it was then."""
    names = report.undeleted
    again = _look(bank, repository, names, dry_run=False)
    if again.lost != report.lost:
        raise Refused("the trash changed meanwhile, so nothing was brought back", hint="run it again")
    there = Trash(repository)
    there.bring_back(again.trash)
    fields = journal_fields(repository, documents.listing(repository), names)
    with_room(repository, partial(bank.commit, [Entry("snapshot.undeleted", fields)]))
    return again
