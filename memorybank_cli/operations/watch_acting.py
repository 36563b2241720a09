"""What a watch that leads does about what it sees: adopts by policy, cures what loses nothing, keeps documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from memorybank_cli.bank import baseline
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.errors import JournalDamaged, Locked, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.operations import documents
from memorybank_cli.operations.healing import Healer
from memorybank_cli.operations.watch_telling import Line, Seen, Teller, Told, line


class Acting:
    """What is done for one bank; `heal` is the setting `watch.heal`, `store` gives the event store."""

    def __init__(self, bank: Bank, teller: Teller, store: Callable[[], EventStore], heal: str) -> None:
        self.bank, self.teller = bank, teller
        self.healer = Healer(bank, store, heal)
        self.is_journal_damaged = False
        """Nothing was adopted the last time, because the journal is damaged."""
        self._adopter = Adopter(bank)
        self._documents_every = float(bank.settings["documents_seconds"])
        self._documents_due = time.monotonic() + self._documents_every

    def begin(self) -> Iterator[Line]:
        """A bank without a baseline gets one."""
        if self.bank.is_empty:
            yield from self._guarded(lambda: baseline.establish(self.bank)[1])

    def adopt(self, seen: Seen) -> Iterator[Line]:
        """Record the changes that agents may make."""
        if changes := seen.settled(seen.scan.changes):
            yield from self._guarded(lambda: self._adopter.adopt(changes))

    def account(self, seen: Seen, told: Told) -> None:
        """Keep the account of damage: what began, and what is gone."""
        if seen.is_whole:
            there = {one.fingerprint for one in seen.findings} | set(self.teller.open)
            self.healer.looked(seen.settled(seen.findings), there)
        else:
            self.healer.detected(told.damage)
            self.healer.gone(one.fingerprint for one in told.resolved)

    def recover(self, seen: Seen) -> Iterator[Line]:
        """Make damaged files again, where nothing is lost by it and no mass change goes on."""
        if self.teller.mass is None:
            for cure, event in self.healer.heal(seen.settled(seen.findings)):
                yield line("recovered", **asdict(cure), **({"corruption_id": event} if event else {}))

    def keep_documents(self, findings: Sequence[Finding]) -> Iterator[Line]:
        """Bring the bank's own documents up to date, when it is time; nobody else's change is adopted by it."""
        if time.monotonic() >= self._documents_due:
            self._documents_due = time.monotonic() + self._documents_every
            yield from self._guarded(lambda: self._synced(findings))

    def _synced(self, findings: Sequence[Finding]) -> list[str]:
        documents.sync(self.bank, list(findings))
        return []

    def _guarded(self, adopt: Callable[[], list[str]]) -> Iterator[Line]:
        """Adopt; where that fails (a damaged journal, a lock held long, a full disk) watching goes on without."""
        self.is_journal_damaged = False
        try:
            adopted = adopt()
        except (JournalDamaged, Locked, OSError) as error:
            self.is_journal_damaged = isinstance(error, JournalDamaged)
            words = from_os_error(error) if isinstance(error, OSError) else error
            self.bank.context.progress.note(f"nothing is adopted: {words.message}")
            return
        if adopted:
            self.teller.adopted(adopted)
            yield line("adopted", paths=adopted, count=len(adopted))
