"""Repair: for each damaged file the best cure that loses nothing, in the order of the contract."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import START, Break, Reading
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.judge import DAMAGE, recorded_rules
from memorybank_cli.bank.replacing import Replacement, replace_files
from memorybank_cli.bank.rows import Expected
from memorybank_cli.bank.scan import Scan, Scanner, judging_rules
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.aggregates import rebuildings
from memorybank_cli.operations.cures import HISTORY, Cure, Doctor, Incurable, Plan
from memorybank_cli.operations.lossless import is_lossless
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.outliving import keep, outliving_accounts
from memorybank_cli.operations.paths import bank_paths
from memorybank_cli.operations.probes import histories
from memorybank_cli.operations.reinitialising import begin_anew, instead
from memorybank_cli.operations.repositories import Snapshots

MOST_NAMED = 10
"""More paths than this are not repeated in the closing line."""
JOURNAL_DAMAGE = ("MB120", "MB121")
CHANGED = "MB110"
"""Damage too in the files of accounts, which nobody else has a reason to write."""


@dataclass(frozen=True)
class RepairReport:
    """What `repair` did, or would do."""

    repaired: tuple[Cure, ...]
    unrepaired: tuple[Incurable, ...]
    dry_run: bool = False
    aggregates: bool = False
    again: str = "memorybank repair"
    """The command that does what was rehearsed."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "repaired": [asdict(one) for one in self.repaired],
            "unrepaired": [asdict(one) for one in self.unrepaired],
            "dry_run": self.dry_run,
        }

    def exit_code(self) -> int:
        """1 when something stays as it is."""
        return 1 if self.unrepaired else 0

    def summary(self) -> str:
        """How many, and what next."""
        verb = "would be repaired" if self.dry_run else "repaired"
        if not self.repaired and not self.unrepaired:
            totals = ", and no total contradicts the records" if self.aggregates else ""
            return f"Nothing is damaged{totals}."
        rest = f", {len(self.unrepaired)} cannot be" if self.unrepaired else ""
        next_step = self.again if self.dry_run and self.repaired else "memorybank validate"
        return f"{len(self.repaired)} {verb}{rest}; next: {next_step}"


def repair(
    bank: Bank,
    *paths: Annotated[str, "files or directories; default: everything damaged"],
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    reinitialise: Annotated[
        bool,
        "last resort: empty open files that nothing cures; begin accounts anew with the messages that are left",
    ] = False,
    aggregates: Annotated[bool, "also rebuild totals that the records contradict (MB207)"] = False,
    repo: RepoOption = None,
) -> RepairReport:
    """Cure damaged files without loss.

    The damaged bytes go to quarantine first. Managed files are rebuilt; files that agents rewrite are
    salvaged or get their last recorded version; append-only files get the version that was recorded.
    An account begun anew with --reinitialise is failing (MB116) until its loss is accepted or rolled back.
    With --aggregates totals that contradict the records get the value that the records say, nothing else.

    Exit codes:
        0  everything that was damaged is cured
        1  something stays unrepaired

    Examples:
        memorybank repair --dry-run
        memorybank repair trades/recent_trades.json
        memorybank repair --aggregates --dry-run metrics
    """
    chosen = bank_paths(bank, paths)
    report = cure(bank, chosen, dry_run, reinitialise, repo)
    report = _rebuild(bank, chosen, report) if aggregates else report
    return replace(report, again=_command(paths, reinitialise, aggregates))


def _command(paths: tuple[str, ...], reinitialise: bool, aggregates: bool) -> str:
    if len(paths) > MOST_NAMED:
        return "the same without --dry-run"
    options = (("--reinitialise", reinitialise), ("--aggregates", aggregates))
    dashes = ["--"] if any(path.startswith("-") for path in paths) else []
    words = [*(name for name, wanted in options if wanted), *dashes, *(shlex.quote(escape(path)) for path in paths)]
    return " ".join(["memorybank repair", *words])


def cure(
    bank: Bank,
    paths: Iterable[str] = (),
    dry_run: bool = False,
    reinitialise: bool = False,
    repo: str | None = None,
    automatic: bool = False,
) -> RepairReport:
    """`repair` for paths of the bank. When it is `automatic` nobody is asked, and what would lose anything is left."""
    some = [path for path in paths if path]
    journal = [] if some else _cure_journal(bank, dry_run)
    scanner = Scanner(bank, bank.context.progress)
    scan = scanner.run_on(some) if some else scanner.run()
    patients = _patients(scan, histories(bank, some))
    snapshots = Snapshots(bank, repo, look=True, ask=bank.context.interactive and bool(patients) and not automatic)
    fields: dict[str, Any] = {"automatic": True} if automatic else {}
    try:
        doctor = Doctor(bank, snapshots, reinitialise)
        plans, incurable = doctor.treat(patients)
        if snapshots.trouble and patients:
            bank.context.progress.note(f"versions in snapshots are left out: {snapshots.trouble}")
        if reinitialise and (fresh := begin_anew(bank, incurable, doctor.content)):
            plans, incurable = instead(fresh, plans, incurable)
            fields["reinitialised"] = {one.account: {"kept": one.kept, "had": one.had} for one in fresh}
    finally:
        snapshots.close()
    if automatic:
        plans = [plan for plan in plans if is_lossless(bank, plan)]
    cures = [plan.cure for plan in plans] if dry_run else _carry_out(bank, plans, **fields)
    if journal and cures and incurable and not dry_run:  # of what lost lines told the rest may be known now
        rest = cure(bank, paths, reinitialise=reinitialise, repo=repo, automatic=automatic)
        cures, incurable = [*cures, *rest.repaired], list(rest.unrepaired)
    return RepairReport((*journal, *cures), tuple(incurable), dry_run)


def _rebuild(bank: Bank, paths: Iterable[str], report: RepairReport) -> RepairReport:
    """Totals too, from the records as they are after the cures."""
    Scanner(bank, bank.context.progress).run()
    found, incurable = rebuildings(bank, [path for path in paths if path])
    if report.dry_run:
        cures: list[Cure] = [cure for one in found for cure in one.cures]
    else:
        kept = {one.path: one.kept for one in _carry_out(bank, [one.plan for one in found])}
        cures = [cure for one in found for cure in one.kept_in(kept[one.plan.cure.path])]
    done, undone = (*report.repaired, *cures), (*report.unrepaired, *incurable)
    return RepairReport(done, undone, report.dry_run, aggregates=True)


def _cure_journal(bank: Bank, dry_run: bool) -> list[Cure]:
    breaks = bank.breaks() or _earlier_breaks(bank, dry_run)
    cures = [Cure(layout.segment_file(one.segment or 1), one.rule, "new-segment", why=one.reason) for one in breaks]
    if breaks and not dry_run:
        reasons = [f"{one.rule} after line {one.after}: {one.reason}" for one in breaks]
        outlived = outliving_accounts(bank)
        bank.record_gap({"reason": "; ".join(reasons)})
        keep(bank, outlived)
        bank.render()  # the line that told of a rendering may be one of those that are gone
        baseline.establish(bank, bank.context.progress)
    return cures


def _earlier_breaks(bank: Bank, dry_run: bool) -> list[Break]:
    """Breaks before the line up to which the catalog has followed the chain; only reading all of it finds them."""
    reading = next(item for item in bank.journal.read(START, bank.home.mark()) if isinstance(item, Reading))
    if reading.breaks and not dry_run:
        with bank.catalog.writing():
            bank.catalog.apply([Reading(bank.end, reading.breaks, reading.tail)])
    return list(reading.breaks)


def _patients(scan: Scan, broken: Iterable[Finding]) -> list[tuple[Finding, Expected | None]]:
    expected = {change.path: change.expected for change in (*scan.damaged, *scan.outside, *scan.changes)}
    found: dict[str, Finding] = {}
    for finding in (*scan.findings, *broken):
        if finding.rule in (*DAMAGE, HISTORY) or (finding.rule == CHANGED and _account_of(finding.path)):
            found.setdefault(finding.path, finding)
    return [(finding, expected.get(path)) for path, finding in sorted(found.items())]


def _carry_out(bank: Bank, plans: list[Plan], **fields: Any) -> list[Cure]:
    if not plans:
        return []
    examiner, bound = Examiner(bank.registry), judging_rules(bank).bound
    shown = {_account_of(plan.cure.path): plan.shown for plan in plans if plan.shown is not None}
    fields |= {"shown": shown} if shown else {}
    outcome = replace_files(bank, (_replacement(bank, plan, examiner, bound) for plan in plans), "repair", **fields)
    return [replace(plan.cure, kept=outcome.kept.get(plan.cure.path, "")) for plan in plans]


def _account_of(path: str) -> str:
    return layout.account_of(path.partition("/")[0])


def _replacement(bank: Bank, plan: Plan, examiner: Examiner, bound: frozenset[str]) -> Replacement:
    path = plan.cure.path
    if plan.content is None:
        return Replacement(path, None)
    where = layout.place(path)
    seen = examiner.memory(plan.content, where)
    info, expected = bank.root.stat(path), bank.catalog.row(path).expected
    is_file = info is not None and stat.S_ISREG(info.st_mode)
    mode = info.st_mode & 0o777 if info is not None and is_file else expected.mode if expected else 0o600
    rules = tuple(recorded_rules(where, seen, bound))
    return Replacement(path, plan.content, mode, None, seen.kind, rules, plan.cure.method)
