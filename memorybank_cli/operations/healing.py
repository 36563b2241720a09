"""What `watch` does about damage by itself: keeps an account of it, and cures it where nothing at all is lost.

An event of spec 001 begins with the finding and ends with it, in `findings.sqlite` and as lines of the journal. A file
that somebody still has open for writing is left alone, and one that is damaged time and again is cured less often.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.judge import DAMAGE, ROT
from memorybank_cli.bank.replacing import Replacement, replace_files
from memorybank_cli.base.database import is_damaged
from memorybank_cli.base.errors import JournalDamaged, Locked, from_os_error
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.integrity import corruption
from memorybank_cli.integrity.corruption import CorruptionEvent, Ending
from memorybank_cli.integrity.writers import is_written
from memorybank_cli.operations.recovering import mend

if TYPE_CHECKING:
    from memorybank_cli.operations.cures import Cure  # what it takes to cure is imported when there is damage

T = TypeVar("T")
DETECTED, ENDED = "corruption.detected", "corruption.ended"
GONE = "MB111"
"""Of agents' files no damage that is cured unasked: somebody may have meant it."""
FIRST, LAST = 60.0, 3_600.0
"""Seconds until a file may be cured again, at first and in the end."""
IN_A_LINE = 1_000
MOST_UNTOLD = 100_000
"""Rows that wait for the journal; the oldest beyond them stand in findings.sqlite alone."""
NO_CURE = "none without loss"


class _Patience(NamedTuple):
    until: float
    pause: float


class Healer:
    """The damage of one bank; `what` is the setting `watch.heal`. `store` gives the event store."""

    def __init__(self, bank: Bank, store: Callable[[], EventStore], what: str) -> None:
        self.bank, self.store, self.what = bank, store, what
        self._known: set[str] = set()
        self._db: sqlite3.Connection | None = None
        """The database in which those are known."""
        self._patience: dict[str, _Patience] = {}
        self._given_up: set[str] = set()
        """Fingerprints of what cannot be cured without loss: until they are gone it is not tried again."""
        self._untold: deque[tuple[str, dict[str, Any]]] = deque(maxlen=MOST_UNTOLD)
        """What the journal has not taken yet: by operation the rows."""

    # What is known of it

    def detected(self, findings: Iterable[Finding]) -> None:
        """Begin an event for damage that was not known."""
        fresh = [one for one in findings if one.rule in corruption.TYPES and one.fingerprint not in self._known]
        begun = self._stored(lambda store: corruption.detected(store, fresh)) if fresh else []
        if begun is not None:  # else the next look at everything brings them again
            self._known |= {one.fingerprint for one in fresh}
            self._tell(DETECTED, begun)

    def gone(self, fingerprints: Iterable[str]) -> None:
        """End the events of findings that are gone."""
        gone = [one for one in fingerprints if one in self._known]
        self._known.difference_update(gone)
        self._given_up.difference_update(gone)
        if gone:
            self._tell(ENDED, self._stored(lambda store: corruption.ended(store, dict.fromkeys(gone, Ending()))))

    def looked(self, findings: Iterable[Finding], fingerprints: set[str]) -> None:
        """These are all there are; an open event whose fingerprint is not among them has ended."""
        store = self.store()
        if store.in_memory:
            store.return_to_disk()
        if store.db is not self._db:  # what another file does not have yet is put into it
            self._db = store.db
            self._known.clear()
        self.detected(findings)
        begun = self._stored(corruption.open_fingerprints) or ()
        self._known.update(begun)
        self.gone([one for one in begun if one not in fingerprints])

    # Curing it

    def heal(self, findings: Iterable[Finding]) -> Iterator[tuple[Cure, str]]:
        """Cure what can be cured without loss; each cure with the id of its event, '' where there is none."""
        now = time.monotonic()
        damaged = {one.path: one for one in findings if self._is_ours(one, now)}
        if not damaged:
            return
        try:
            cures = mend(self.bank, damaged)
        except Locked:
            return  # the next look tries again
        kept = [self._given_back(cure) for cure in cures]
        cures = tuple(cure for cure, given in zip(cures, kept, strict=True) if not given)
        events = self._account(damaged, cures)
        for cure in cures:
            self._wait_longer(cure.path, now)
            yield cure, events.get(cure.path, "")

    def _is_ours(self, finding: Finding, now: float) -> bool:
        if finding.rule not in DAMAGE or finding.fingerprint in self._given_up or self.what == "nothing":
            return False
        derived = bool(layout.account_of(finding.path.partition("/")[0]))
        if not derived and (self.what != "all" or finding.rule == GONE):
            return False
        waits = self._patience.get(finding.path)
        return (waits is None or now >= waits.until) and (derived or not is_written(self.bank.root, finding.path))

    def _wait_longer(self, path: str, now: float) -> None:
        before = self._patience.get(path)
        again = before is not None and now < before.until + LAST
        pause = min(LAST, 2 * before.pause) if before is not None and again else FIRST
        self._patience[path] = _Patience(now + pause, pause)

    def _given_back(self, cure: Cure) -> bool:
        """Put back what came to stand there between the look and the cure, where that is well-formed."""
        data = self.bank.root.content(cure.kept, HARD_SIZE) if cure.kept and cure.rule != ROT else None
        if data is None or not layout.place(cure.path).is_json or layout.place(cure.path).policy == "managed":
            return False
        try:
            loads(data)
        except FlawedJSON:
            return False
        replace_files(self.bank, [Replacement(cure.path, data)], "repair", keep=False, automatic=True)
        return True

    def _account(self, damaged: Mapping[str, Finding], cures: Iterable[Cure]) -> dict[str, str]:
        endings = {
            damaged[cure.path].fingerprint: Ending(cure.method, cure.kept) for cure in cures if cure.path in damaged
        }
        failed = [one.fingerprint for one in damaged.values() if one.fingerprint not in endings]
        self._given_up.update(failed)
        if failed:
            self._stored(lambda store: corruption.tried(store, failed, NO_CURE))
        if not endings:
            return {}
        ended = self._stored(lambda store: corruption.ended(store, endings))
        self._known.difference_update(endings)
        self._tell(ENDED, ended)
        return {one.path: one.corruption_id for one in ended or ()}

    # Where it is kept

    def _stored(self, call: Callable[[EventStore], list[T]]) -> list[T] | None:
        """Ask or tell the event store; None where that fails: watching goes on without, and says so."""
        try:
            try:
                return call(self.store())
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self.store().begin_anew()
                return call(self.store())
        except (sqlite3.DatabaseError, OSError) as error:
            self.bank.context.progress.note(f"findings.sqlite was not written: {error}")
            return None

    def _tell(self, op: str, events: list[CorruptionEvent] | None) -> None:
        """Say it in the journal; where that cannot be written now it is said with what comes next."""
        self._untold += [(op, _told(op, one)) for one in events or ()]
        while self._untold:
            first, alike = next(groupby(islice(self._untold, IN_A_LINE), itemgetter(0)))
            rows = [row for _, row in alike]
            try:
                self.bank.commit([Entry(first, {"events": rows})])
            except JournalDamaged:
                return  # everything waits for the journal's repair, and a finding says so
            except (Locked, OSError) as error:
                words = from_os_error(error) if isinstance(error, OSError) else error
                self.bank.context.progress.note(f"damage is not yet written to the journal: {words.message}")
                return
            for _ in rows:
                self._untold.popleft()


def _told(op: str, event: CorruptionEvent) -> dict[str, Any]:
    names = ("corruption_id", "path", "rule")
    more = ("corruption_type", "message") if op == DETECTED else ("recovery_action", "recovery_success", "kept")
    return {name: value for name, value in asdict(event).items() if name in (*names, *more)}
