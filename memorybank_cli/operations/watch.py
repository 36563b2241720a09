"""Watching: arm, look, judge; then each settled batch of changes is looked at afresh, adopted by policy or reported."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import FrameType
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Change, Scan, Scanner
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, JournalDamaged, Locked, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.health.score import score
from memorybank_cli.integrity.watcher import Batch, Watcher
from memorybank_cli.operations import documents
from memorybank_cli.operations.finding import is_bank
from memorybank_cli.operations.probes import look
from memorybank_cli.operations.recovering import mend
from memorybank_cli.operations.repair import DAMAGE as DAMAGES

Line = dict[str, Any]
BREATH = 5.0
DAMAGE = "MB10"


def watch(
    bank: Bank,
    context: Context,
    *,
    once: Annotated[bool, "look once, adopt or report, and stop"] = False,
    no_adopt: Annotated[bool, "report only; what agents may change stays pending"] = False,
) -> Iterator[Line]:
    """Watch the bank and tell of each change.

    Valid changes that agents may make are adopted into the journal; damaged files of accounts are made again where
    nothing is lost by it; everything else is a finding, with its cure.
    Stops on Ctrl-C or SIGTERM.

    Exit codes:
        0   stopped by a signal, or --once is done
        10  the bank went away

    Examples:
        memorybank watch
        memorybank watch --json | tee events.jsonl
    """
    return _Watch(bank, context, adopt=not no_adopt).run(once)


class _Watch:
    """One run. `open` holds the findings that were told and not resolved, by fingerprint."""

    def __init__(self, bank: Bank, context: Context, adopt: bool) -> None:
        self.bank, self.context, self.adopts = bank, context, adopt
        self.adopter = Adopter(bank)
        self.open: dict[str, Finding] = {}
        # Those of them that only a look at the whole bank finds: a look at some files neither tells nor resolves them.
        self.wide: set[str] = set()
        # Those that could not be cured without loss: until they are gone it is not tried again.
        self.given_up: set[str] = set()
        self.told: dict[str, str | None] = {}
        self.health = ""
        self.settle = float(bank.settings["settle_ms"]) / 1000
        self.watcher = Watcher(bank.root, settle=self.settle, reconcile=float(bank.settings["reconcile_seconds"]))
        self.stopping = ""
        self.documents_every = float(bank.settings["documents_seconds"])
        self.documents_due = time.monotonic() + self.documents_every

    def run(self, once: bool) -> Iterator[Line]:
        """The lines, until a signal stops it."""
        with _signals(self._stop):
            try:
                self.watcher.arm()
                yield from self._reconcile()
                yield _line(
                    "ready", watched=self.watcher.watched(), backend=self.watcher.backend, findings=len(self.open)
                )
                while not once and not self.stopping:
                    batch = self.watcher.next(BREATH)
                    if batch is not None and not self.stopping:
                        yield from self._batch(batch)
            finally:
                self.watcher.close()
        yield _line("stopped", reason=self.stopping or "done")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.stopping = signal.Signals(number).name
        self.watcher.wake()

    def _batch(self, batch: Batch) -> Iterator[Line]:
        if batch.gap is not None:
            yield _line("gap", **{"from": batch.gap[0], "to": batch.gap[1]})
        if not is_bank(self.bank.root.path):
            raise BankNotFound(f"the bank at {self.bank.root.path} went away", path=self.bank.root.path)
        self.bank.refresh()
        if batch.full:
            yield from self._reconcile()
        else:
            yield from self._some({*batch.paths, *batch.directories})

    def _reconcile(self) -> Iterator[Line]:
        if self.adopts and self.bank.is_empty:
            yield from self._guarded(lambda: baseline.establish(self.bank)[1])
        scan, findings = look(self.bank)
        self.wide = {one.fingerprint for one in findings} - {one.fingerprint for one in scan.findings}
        yield from self._tell(scan, findings, lambda _finding: True)
        if self.adopts and time.monotonic() >= self.documents_due:
            self.documents_due = time.monotonic() + self.documents_every
            yield from self._guarded(lambda: self._sync(findings))

    def _sync(self, findings: list[Finding]) -> list[str]:
        """Bring the bank's own documents up to date; nobody else's change is adopted by it."""
        documents.sync(self.bank, findings)
        return []

    def _some(self, paths: set[str]) -> Iterator[Line]:
        if "" in paths:
            yield from self._reconcile()
            return
        seq = self.bank.end.seq
        scan = Scanner(self.bank).run_on(sorted(paths))
        if (scan.changes or scan.outside) and self._tells_more(seq):
            scan = Scanner(self.bank).run_on(sorted(paths))
        if any(one.rule.startswith(DAMAGE) for one in scan.findings):
            time.sleep(self.settle)  # perhaps its writer was still at it: what is read twice is told
            scan = Scanner(self.bank).run_on(sorted(paths))

        def about(finding: Finding) -> bool:
            here = any(finding.path == one or finding.path.startswith(f"{one}/") for one in paths)
            return here and finding.fingerprint not in self.wide

        yield from self._tell(scan, scan.findings, about)

    def _tells_more(self, seq: int) -> bool:
        """Whether the journal goes on after a line once nobody holds the lock.

        A rollback puts files in place before the line that says so: until then they look like somebody else's.
        """
        try:
            with self.bank.locked():
                return self.bank.end.seq != seq
        except (Locked, OSError):
            return False

    def _tell(self, scan: Scan, findings: list[Finding], about: Callable[[Finding], bool]) -> Iterator[Line]:
        yield from self._changes([*scan.changes, *scan.outside])
        found = {finding.fingerprint: finding for finding in findings}
        for name, finding in found.items():
            known = self.open.get(name)
            # What counts many records says another number after each: that is no news.
            if known is None or (known.message != finding.message and name not in self.wide):
                yield _line("finding", path=finding.path, finding=finding.as_dict())
        for name in [name for name, known in self.open.items() if about(known) and name not in found]:
            finding = self.open.pop(name)
            self.given_up.discard(name)
            yield _line("resolved", path=finding.path, rule=finding.rule, fingerprint=name)
        self.open |= found
        if self.adopts and scan.changes:
            yield from self._guarded(lambda: self.adopter.adopt(scan.changes))
        yield from self._health()
        yield from self._recover(findings) if self.adopts else ()

    def _recover(self, findings: Iterable[Finding]) -> Iterator[Line]:
        """Make damaged files of accounts again, where nothing is lost by it."""
        damaged = {one.path: one for one in findings if _is_derived(one) and one.fingerprint not in self.given_up}
        if not damaged:
            return
        try:
            cures = mend(self.bank, damaged)
        except Locked:
            return  # the next look tries again
        for cure in cures:
            yield _line("recovered", **asdict(cure))
        self.given_up |= {one.fingerprint for one in damaged.values()} - {
            damaged[cure.path].fingerprint for cure in cures if cure.path in damaged
        }
        if cures:
            yield from self._some({cure.path for cure in cures})

    def _changes(self, changes: Iterable[Change]) -> Iterator[Line]:
        for change in changes:
            sha = change.seen.sha if change.seen else None
            if self.told.get(change.path, "") != sha:
                self.told[change.path] = sha
                before = change.expected.sha if change.expected else None
                what = "removed" if sha is None else "new" if before is None else "changed"
                yield _line("changed", path=change.path, change=what, before=before, after=sha)

    def _guarded(self, adopt: Callable[[], list[str]]) -> Iterator[Line]:
        """Adopt; where that fails (a damaged journal, a lock held long, a full disk) watching goes on without."""
        try:
            adopted = adopt()
        except (JournalDamaged, Locked, OSError) as error:
            words = from_os_error(error) if isinstance(error, OSError) else error
            self.context.progress.note(f"nothing is adopted: {words.message}")
            return
        if adopted:
            yield _line("adopted", paths=adopted, count=len(adopted))

    def _health(self) -> Iterator[Line]:
        now = score(self.open.values())
        if self.health != f"{now.value} {now.word}":
            self.health = f"{now.value} {now.word}"
            yield _line("health", score=now.value, status=now.word)


def _is_derived(finding: Finding) -> bool:
    """Whether a finding is damage to a file that memorybank renders."""
    return finding.rule in DAMAGES and bool(layout.account_of(finding.path.partition("/")[0]))


def _line(kind: str, **fields: Any) -> Line:
    return {"type": kind, "ts": clock.now(), **fields}


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    former = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in former.items():
            signal.signal(number, old)
