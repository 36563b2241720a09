"""Forgetting snapshots by a policy or by name: their documents go to the trash, their content when it is pruned."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock
from memorybank_cli.base.errors import Refused, UsageError
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.pruning import PruneReport, prune_repository
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import documents, trash
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document, Listing
from memorybank_cli.snapshots.marking import Marks
from memorybank_cli.snapshots.pins import pinned
from memorybank_cli.snapshots.pruning import with_room
from memorybank_cli.snapshots.repository import Repository, explained
from memorybank_cli.snapshots.retention import Decision, Policy, decide, last_good
from memorybank_cli.snapshots.sealing import Damaged

_COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


@dataclass(frozen=True)
class ForgetReport:
    """What becomes of each snapshot, and why."""

    decisions: tuple[Decision, ...]
    damaged: tuple[str, ...]
    """Documents that nobody can read, forgotten by name."""
    policy: str
    """In words; '' where snapshots were named."""
    findings: tuple[Finding, ...]
    repository: str
    dry_run: bool
    pruned: PruneReport | None = None

    @property
    def forgotten(self) -> list[str]:
        """The ids of those that go."""
        return [one.snapshot.id for one in self.decisions if not one.kept] + list(self.damaged)

    def as_dict(self) -> dict[str, Any]:
        """Every decision with its reasons, and what was pruned."""
        return {
            "snapshots": [one.as_dict() for one in self.decisions],
            "forgotten": self.forgotten,
            "policy": self.policy,
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
            "dry_run": self.dry_run,
            **({"pruned": self.pruned.as_dict()} if self.pruned else {}),
        }

    def exit_code(self) -> int:
        """1 when a snapshot or a pack is damaged."""
        return 1 if self.findings or (self.pruned and self.pruned.exit_code()) else 0

    def summary(self) -> str:
        """How many go and stay, and what to do next."""
        gone, stay = len(self.forgotten), sum(one.kept for one in self.decisions)
        if not gone:
            return f"Nothing to forget; {counted(stay, 'snapshot')} kept"
        verb = "would be " if self.dry_run else ""
        said = f"{counted(gone, 'snapshot')} {verb}forgotten, {stay:,} kept"
        if self.pruned:
            return f"{said}. {self.pruned.summary()}"
        return said if self.dry_run else f"{said}; memorybank snapshot prune makes room, undelete brings them back"


def forget(
    bank: Bank,
    *id: Annotated[str, "only these snapshots; default: what the policy does not keep"],
    keep_last: Annotated[int | None, Option("keep the newest N", metavar="N")] = None,
    keep_hourly: Annotated[int | None, Option("keep the newest of each of the last N hours that have any")] = None,
    keep_daily: Annotated[int | None, Option("keep the newest of each of the last N days that have any")] = None,
    keep_weekly: Annotated[int | None, Option("keep the newest of each of the last N weeks that have any")] = None,
    keep_monthly: Annotated[int | None, Option("keep the newest of each of the last N months that have any")] = None,
    keep_yearly: Annotated[int | None, Option("keep the newest of each of the last N years that have any")] = None,
    keep_within: Annotated[str | None, Option("keep all that are not older: 48h, 7d, 4w", metavar="SPAN")] = None,
    keep_tag: Annotated[tuple[str, ...], Option("keep all with this tag", metavar="T")] = (),
    prune: Annotated[bool, "then make room: as memorybank snapshot prune"] = False,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> ForgetReport:
    """Forget snapshots by a policy.

    Without an option the policy of the settings holds (retention.*): everything of 7 days, then 4 weeks and 12 months.
    One option or more are a policy of their own. The last 3 good snapshots always stay, and so do pinned ones; by name
    one of these 3 goes only when its directories cannot be read any more. Only snapshots of this bank are looked at.
    What is forgotten waits in the trash for 7 days.

    Exit codes:
        0   done
        1   done, but a snapshot or a pack is damaged
        2   it needs a yes and nobody can be asked, or the policy would keep nothing
        10  there is no such snapshot
        13  a named snapshot is pinned, one of the last 3 good ones, or of another bank

    Examples:
        memorybank snapshot forget --dry-run
        memorybank snapshot forget --prune --yes
        memorybank snapshot forget --keep-daily 14 --keep-monthly 24
    """
    counts = (keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly)
    if id and (keep_within is not None or keep_tag or any(one is not None for one in counts)):
        raise UsageError("snapshots are forgotten by name or by a policy, not by both", hint="leave out one of them")
    policy = None if id else policy_of(bank, counts, keep_within, keep_tag)
    if not dry_run:
        bank.check_writable()
        baseline.begin(bank)
    with open_repository(bank, repo) as repository:
        choose = partial(_unwanted, bank, repository, policy) if policy else partial(_named, bank, repository, id)
        report = _forget(bank, repository, choose, dry_run=dry_run, yes=yes)
        if prune:
            if not (dry_run or report.forgotten):
                bank.context.ensure("Nothing to forget. Prune the repository?", yes=yes)
            without = report.forgotten if dry_run else ()
            report = replace(report, pruned=prune_repository(bank, repository, dry_run=dry_run, without=without))
        return report


def _forget(
    bank: Bank, repository: Repository, choose: Callable[[Listing], ForgetReport], *, dry_run: bool, yes: bool
) -> ForgetReport:
    """Show what is to go, ask, and forget it."""
    with explained("cannot read the repository"):
        report = replace(choose(documents.listing(repository)), dry_run=True)
    if dry_run:
        return report
    if not report.forgotten:
        return replace(report, dry_run=False)
    bank.context.ensure(f"Forget {counted(len(report.forgotten), 'snapshot')}?", yes=yes, preview=report)
    return _carry_out(bank, repository, choose, set(report.forgotten))


def policy_of(
    bank: Bank,
    counts: tuple[int | None, ...] = (None,) * len(_COUNTS),
    within: str | None = None,
    tags: tuple[str, ...] = (),
) -> Policy:
    """The policy of the options, or where there is none that of the settings. Raises UsageError for an empty one."""
    given = dict(zip(_COUNTS, counts, strict=True))
    if within is None and not tags and all(one is None for one in counts):
        given = {name: bank.settings[f"retention.keep_{name}"] for name in _COUNTS}
        within, tags = bank.settings["retention.keep_within"], bank.settings["retention.keep_tags"]
    if any((one or 0) < 0 for one in given.values()):
        raise UsageError("a number of snapshots to keep must not be negative")
    kept = {name: one or 0 for name, one in given.items()}
    policy = Policy(**kept, within=clock.span(within) if within else timedelta(), tags=tags)
    if policy.is_empty:
        raise UsageError(
            "this policy would keep nothing", hint="give --keep-daily, --keep-within or another; see --help"
        )
    return policy


def _unwanted(bank: Bank, repository: Repository, policy: Policy, found: Listing) -> ForgetReport:
    """Every snapshot of the bank, those that the policy does not keep to be forgotten."""
    decisions = tuple(decide(found.of(bank.bank_id).documents, policy, pinned(repository)))
    return ForgetReport(decisions, (), str(policy), found.findings, repository.path, dry_run=False)


def _named(bank: Bank, repository: Repository, names: tuple[str, ...], found: Listing) -> ForgetReport:
    """Every snapshot of the bank, those by these names to be forgotten. Raises Refused where one has to stay."""
    mine = found.of(bank.bank_id)
    pins, floor = pinned(repository), last_good(mine.documents)
    chosen: set[str] = set()
    damaged: list[str] = []
    for name in names:
        try:
            document = documents.pick(mine if mine.named(name) or name == documents.LATEST else found, name)
        except Damaged:
            alike = [one for one in map(_name_of, found.findings) if one.startswith(name)]
            if len(alike) != 1:
                raise
            damaged += alike
            continue
        is_kept = document.id in floor and _can_be_read(repository, document)
        _check(document, bank, pins, is_kept)
        chosen.add(document.id)
    decisions = tuple(Decision(one, () if one.id in chosen else ("not named",)) for one in mine.documents)
    left = tuple(one for one in found.findings if _name_of(one) not in damaged)
    return ForgetReport(decisions, tuple(dict.fromkeys(damaged)), "", left, repository.path, dry_run=False)


def _name_of(damaged: Finding) -> str:
    """The snapshot whose document a finding is about."""
    return damaged.pointer.rpartition("/")[2]


def _can_be_read(repository: Repository, document: Document) -> bool:
    """Whether it is known what a snapshot needs; while that is not so of a listed one, nothing can be pruned."""
    marks = Marks()
    marks.add(Blobs(trash.with_trash(repository, trash.bins(repository))), [document])
    return not marks.lost


def _check(document: Document, bank: Bank, pins: Collection[str], is_kept: bool) -> None:
    if document.bank_id != bank.bank_id:
        why, hint = "is of another bank", "run it for that bank: --bank PATH"
    elif document.id in pins:
        why, hint = "is pinned", f"memorybank snapshot pin {document.id} --remove takes the pin away"
    elif is_kept:
        why, hint = "is one of the last 3 good ones, which always stay", "memorybank backup makes a newer one"
    else:
        return
    raise Refused(f"snapshot {document.id} {why}", hint=hint)


def _carry_out(
    bank: Bank, repository: Repository, choose: Callable[[Listing], ForgetReport], agreed: set[str]
) -> ForgetReport:
    """Forget what was agreed to and still holds; the journal has it before it happens."""
    with explained("cannot forget the snapshots"), repository.alone(bank.lock_timeout):
        found = documents.listing(repository)
        report = choose(found)
        decisions = tuple(
            one if one.kept or one.snapshot.id in agreed else Decision(one.snapshot, ("came up meanwhile",))
            for one in report.decisions
        )
        report = replace(report, decisions=decisions)
        if not report.forgotten:
            return report
        entry = Entry("snapshot.forgotten", journal_fields(repository, found, report.forgotten, policy=report.policy))
        with_room(repository, partial(bank.commit, [entry]))
        target = trash.new_bin(found.documents)
        for name in report.forgotten:
            with_room(repository, partial(trash.throw, repository, target, "snapshots", name))
        return report


def journal_fields(repository: Repository, found: Listing, names: Collection[str], **more: Any) -> dict[str, Any]:
    """What the journal says of snapshots: their ids, and digests by id of those that can be read."""
    digests = {one.id: one.digest for one in found.documents if one.id in names}
    place = {"repository": repository.path, "repo_id": repository.repo_id}
    return {"snapshots": list(names), "digests": digests, **place, **more}
