"""Each part of a bank, tested: its status, how much there is, and when it was last validated and changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base import clock
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.health.status import component_of
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots.documents import Document

SECTIONS = ("trades", "metrics", "state", "accounts", "agents", "config")
_ALWAYS = frozenset({"trades", "metrics", "state", "accounts", "config"})
_BY_RULE = {"MB122": "catalog", **dict.fromkeys(("MB303", "MB304", "MB305", "MB306", "MB307"), "permissions")}
_STALE_HOURS = 24


class Component(NamedTuple):
    """One part of the bank, tested: `status` is ok, warning, error, none (there is none) or not checked."""

    component: str
    status: str
    files: int | None = None
    records: int | None = None
    last_validated: str | None = None
    last_updated: str | None = None
    note: str = ""


def part_of(finding: Finding) -> str:
    """The component that a finding is about."""
    return _BY_RULE.get(finding.rule) or component_of(finding)


class Parts:
    """The components but for the snapshots, which may lie elsewhere."""

    def __init__(self, bank: Bank, scan: Scan, findings: Iterable[Finding], now: str, partly: bool) -> None:
        self.bank, self.scan, self.now, self.partly = bank, scan, now, partly
        self.findings: dict[str, list[Finding]] = {}
        for one in findings:
            self.findings.setdefault(part_of(one), []).append(one)

    def all(self) -> Iterator[Component]:
        """Each with its real numbers."""
        for name in SECTIONS:
            one = self._section(name)
            if one.files or name in _ALWAYS:
                yield one
        yield self._journal()
        yield self._catalog()
        yield self._permissions()
        yield self._monitoring()

    def _status(self, name: str) -> str:
        found = self.findings.get(name, [])
        return "error" if at_least(found, "error") else "warning" if at_least(found, "warning") else "ok"

    def _section(self, name: str) -> Component:
        within = [one for one in self.scan.by_section if _component_of_section(one) == name]
        files = sum(self.scan.by_section[one] for one in within)
        records = sum(self.scan.records_by_section[one] for one in within)
        newest = max((self.scan.mtimes[one] for one in within), default=0)
        status = self._status(name)
        if not files and status == "ok":
            return Component(name, "not checked" if self.partly else "none", 0)
        note = counted(len(self.bank.registry.own), "schema") + " of its own" if name == "config" else ""
        note = counted(len(within), "account") if name == "accounts" else note
        return Component(name, status, files, records, self.now, clock.from_ns(newest) if newest else None, note)

    def _journal(self) -> Component:
        if self.partly:
            return Component("journal", "not checked")
        segments = len(self.bank.root.listing(layout.JOURNAL))
        last = self.bank.catalog.meta("last_entry", 0)
        end = self.bank.end
        note = f"ends at line {end.seq:,}, {end.hash[:12]}"
        updated = clock.from_ns(int(last)) if last else None
        return Component("journal", self._status("journal"), segments, end.seq, self.now, updated, note)

    def _catalog(self) -> Component:
        files = sum(self.bank.catalog.sections().values())
        note = "kept in memory only: its place cannot be written" if self.bank.catalog.in_memory else "files recorded"
        status = "warning" if self.bank.catalog.in_memory else self._status("catalog")
        return Component("catalog", status, files, None, self.now, None, note)

    def _permissions(self) -> Component:
        if self.partly:
            return Component("permissions", "not checked")
        info = self.bank.root.stat("")
        assert info is not None  # the root is open
        note = f"the bank's directory has mode {info.st_mode & 0o7777:04o} and belongs to uid {info.st_uid}"
        return Component("permissions", self._status("permissions"), self.scan.checked, None, self.now, None, note)

    def _monitoring(self) -> Component:
        checked = _last_check(self.bank)
        if checked is None:
            return Component("monitoring", "none", note="the health of this bank was never checked here")
        hours = (datetime.now(UTC) - clock.parse(checked)).total_seconds() / 3600
        note = f"health was checked {counted(round(hours), 'hour')} ago" if hours >= 1 else "health was checked lately"
        return Component("monitoring", "warning" if hours > _STALE_HOURS else "ok", None, None, checked, checked, note)


def _component_of_section(section: str) -> str:
    if layout.account_of(section):
        return "accounts"
    return {"shared": "agents", "bank": "config"}.get(section, section)


def _last_check(bank: Bank) -> str | None:
    """When `health`, `status` or `watch` last wrote the status document."""
    try:
        value = loads(bank.root.content(layout.STATUS, layout.CONFIG_LIMIT) or b"null")
        found = value["memory_bank_status"]["last_check"]
        clock.parse(found)
    except (FlawedJSON, KeyError, TypeError, ValueError, AttributeError, OSError):
        return None  # derived, and written anew with the next check
    return str(found)


class SnapshotState:
    """What the repository says, or why it says nothing."""

    def __init__(self, bank: Bank) -> None:
        self.all: list[Document] = []
        self.trouble = ""
        try:
            snapshots = Snapshots(bank, look=True)
            self.trouble = snapshots.trouble
            try:
                self.all = snapshots.newest_first()
            finally:
                snapshots.close()
        except MemorybankError as error:
            self.trouble = error.message

    @property
    def newest(self) -> Document | None:
        """The newest good snapshot, else the newest."""
        return self.all[0] if self.all else None

    def component(self) -> Component:
        """The last snapshot."""
        if self.trouble:
            return Component("snapshots", "not checked", note=self.trouble)
        if self.newest is None:
            return Component("snapshots", "none", 0, note="there is no snapshot of this bank")
        status = "ok" if self.newest.status == "good" else "warning"
        note = f"the last {self.newest.status} one of {len(self.all):,} is {self.newest.id}"
        return Component("snapshots", status, self.newest.files, self.newest.records, None, self.newest.time, note)
