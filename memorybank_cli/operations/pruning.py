"""Pruning a repository: what no snapshot needs goes to the trash, and old trash goes for good."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots.pruning import MAX_UNUSED, Pruned
from memorybank_cli.snapshots.pruning import prune as carry_out
from memorybank_cli.snapshots.repository import Repository


@dataclass(frozen=True)
class PruneReport:
    """What was removed, or would be."""

    done: Pruned
    repository: str

    def as_dict(self) -> dict[str, Any]:
        """What was done, and where."""
        return {**self.done.as_dict(), "repository": self.repository}

    def exit_code(self) -> int:
        """1 when something in the repository is damaged."""
        return 1 if self.done.findings else 0

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to do."""
        done = self.done
        return not (done.removed or done.emptied or done.leftovers or done.rescued)

    @property
    def warning(self) -> str:
        """What nobody can take back afterwards, before the summary of a rehearsal; '' where that is nothing."""
        lost, what = self.done.emptied_snapshots, "Empty the trash" if self.done.now else "Remove old trash"
        return f"{what}: {counted(lost, 'forgotten snapshot')} cannot be brought back then; " if lost else ""

    def summary(self) -> str:
        """What went where, in bytes."""
        done, would = self.done, "would be " if self.done.dry_run else ""
        if self.is_nothing:
            young = f"; {counted(done.young, 'pack')} not a day old" if done.young else ""
            return f"Nothing to prune: {counted(done.packs, 'pack')} for {counted(done.snapshots, 'snapshot')}{young}."
        parts = []
        if done.removed:
            anew = f" ({len(done.repacked):,} of them written anew)" if done.repacked else ""
            went = "removed" if done.now else f"put into the trash, {size(done.removed_bytes)}"
            parts.append(f"{counted(len(done.removed), 'pack')}{anew} {would}{went}")
        if done.emptied or done.freed_bytes:
            parts.append(f"{size(done.freed_bytes)} {would}freed")
        if done.rescued:
            parts.append(f"{counted(len(done.rescued), 'pack')} {would}taken back from the trash")
        if done.leftovers:
            parts.append(f"{counted(done.leftovers, 'file')} of interrupted runs removed")
        return "; ".join(parts)


def prune(
    bank: Bank,
    *,
    now: Annotated[bool, "empty the trash too: what was forgotten cannot be brought back then"] = False,
    max_unused: Annotated[int, Option("percent of a pack that may be unneeded", metavar="PERCENT")] = MAX_UNUSED,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> PruneReport:
    """Remove what no snapshot needs.

    It goes to the trash for 7 days, and trash older than that goes for good. Packs that are not a day old stay, for
    a backup that was interrupted takes them up again. With --now the trash is emptied, which also works on a full disk.

    Exit codes:
        0   done
        1   done, but a pack is damaged; it was left where it is
        2   it needs a yes, and nobody can be asked
        13  a snapshot cannot be read, so it is not known what it needs; nothing was removed

    Examples:
        memorybank snapshot prune --yes
        memorybank snapshot prune --now
    """
    if not 0 <= max_unused <= 100:
        raise UsageError("--max-unused is a number of percent, from 0 to 100")
    with open_repository(bank, repo) as repository:
        if dry_run or not yes:
            rehearsal = prune_repository(bank, repository, now=now, max_unused=max_unused, dry_run=True)
            if dry_run:
                return rehearsal
            if not rehearsal.is_nothing:
                bank.context.ensure(f"{rehearsal.warning}{rehearsal.summary()}. Do it?", yes=yes)
        return prune_repository(bank, repository, now=now, max_unused=max_unused)


def prune_repository(
    bank: Bank,
    repository: Repository,
    *,
    now: bool = False,
    max_unused: int = MAX_UNUSED,
    dry_run: bool = False,
    without: Collection[str] = (),
) -> PruneReport:
    """Prune, and journal what was done."""
    if not dry_run:
        bank.check_writable()
        baseline.begin(bank)
    done = carry_out(
        repository,
        now=now,
        dry_run=dry_run,
        max_unused=max_unused,
        without=without,
        progress=bank.context.progress,
        lock_timeout=bank.lock_timeout,
    )
    report = PruneReport(done, repository.path)
    if not dry_run and not report.is_nothing:
        fields = {"repository": repository.path, "packs": len(done.removed), "bytes": done.removed_bytes}
        bank.commit([Entry("snapshot.pruned", {**fields, "freed": done.freed_bytes, "emptied": done.emptied})])
    return report
