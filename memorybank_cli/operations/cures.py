"""Which cure a damaged file gets: the best one that loses nothing, in the order of the contract.

Managed files are rebuilt from history and journal, else taken from a snapshot. Open files are salvaged, else get the
last recorded version. Append-only files get the version that was recorded, and are salvaged only if none ever was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from memorybank_cli.accounts.rebuilding import Rebuilt, rebuild
from memorybank_cli.accounts.recorded import shown_by
from memorybank_cli.bank import baseline, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.judge import ROT
from memorybank_cli.bank.rows import Expected, is_good
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import loads
from memorybank_cli.base.names import quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.integrity.salvage import Salvaged, salvage
from memorybank_cli.operations.repositories import Snapshots


@dataclass(frozen=True)
class Cure:
    """One file that was cured, or would be."""

    path: str
    rule: str
    method: str
    """How: leading-document, complete-records, byte-order-mark-removed, journal, snapshot, rebuilt, reinitialised, or
    new-segment."""
    kept: str = ""
    """Where the damaged bytes are kept now."""
    lost: str = ""
    """What could not be had back."""
    why: str = ""
    """Why this cure, where there was a choice."""


@dataclass(frozen=True)
class Incurable:
    """One file for which there is no cure without loss."""

    path: str
    rule: str
    reason: str
    hint: str


HISTORY = "MB114"


class Plan(NamedTuple):
    """A cure and the content that it puts in place."""

    cure: Cure
    content: bytes | None
    """None takes the file away."""
    shown: int | None = None
    """Of an account's head: the journal line as of which it is."""


class Doctor:
    """Finds the cure of each damaged file."""

    def __init__(self, bank: Bank, snapshots: Snapshots, reinitialise: bool) -> None:
        self.bank, self.snapshots, self.reinitialise = bank, snapshots, reinitialise
        self.open_patterns = bank.settings["open_patterns"]
        self._rebuilt: dict[str, Rebuilt] = {}

    def treat(self, patients: list[tuple[Finding, Expected | None]]) -> tuple[list[Plan], list[Incurable]]:
        """A plan for each file that can be cured, and the others with the reason."""
        plans, incurable = [], []
        self._rebuild(finding.path for finding, _ in patients)
        for finding, known in patients:
            expected = known or self.bank.catalog.row(finding.path).expected
            plan = self._plan(finding, expected)
            if plan is None:
                incurable.append(self._incurable(finding, expected))
            else:
                plans.append(plan)
        return [*plans, *self._companions({finding.path for finding, _ in patients})], incurable

    def _companions(self, treated: set[str]) -> Iterator[Plan]:
        """Files that a rebuilt head names and that are not what was recorded."""
        for rebuilt in self._rebuilt.values():
            for path, data in rebuilt.files.items():
                if path not in treated:
                    yield Plan(Cure(path, HISTORY, "rebuilt", why=rebuilt.why), data)

    def _plan(self, finding: Finding, expected: Expected | None) -> Plan | None:
        data = self._damaged_bytes(finding.path)
        policy = self._policy(finding.path, expected, data)
        if policy == "managed":
            return self._managed(finding, expected)
        # A rotten file is what was recorded but for some bits, so salvaging it would only lose more.
        rescued = salvage(data) if data and finding.rule != ROT else None
        if policy == "append":
            return self._append(finding, expected, rescued)
        return self._open(finding, expected, rescued)

    def _policy(self, path: str, expected: Expected | None, data: bytes | None) -> layout.Policy:
        kind = expected.kind if expected else examined_kind(data, path)
        return layout.policy_of(path, layout.place(path), kind, self.open_patterns)

    def _incurable(self, finding: Finding, expected: Expected | None) -> Incurable:
        path = finding.path
        if expected is not None and expected.good:
            gone = f"the recorded version {expected.sha[:12]} is in neither the journal nor a snapshot"
            if self.snapshots.trouble:
                gone = f"the recorded version {expected.sha[:12]} is not in the journal; {self.snapshots.trouble}"
            hint = f"if the file is not needed: memorybank accept {quoted(path)} after removing it"
            hint = _anew(path) or hint
            return Incurable(path, finding.rule, f"{finding.message}; {gone}", hint)
        hint = "correct it by hand, then memorybank validate"
        hint = _anew(path) or hint
        if self._policy(path, expected, self._damaged_bytes(path)) == "open":
            hint += f"; memorybank repair --reinitialise {quoted(path)} empties it"
        return Incurable(path, finding.rule, f"{finding.message}; no good version was ever recorded", hint)

    def _damaged_bytes(self, path: str) -> bytes | None:
        try:
            return self.bank.root.read(path, HARD_SIZE)
        except OSError:
            return None  # gone, unreadable or too large: there is nothing to salvage from

    def _rebuild(self, paths: Iterator[str]) -> None:
        """Make the damaged files of accounts again, all of one account together: its history may be long."""
        wanted: dict[str, set[str]] = {}
        for path in paths:
            account = layout.account_of(path.partition("/")[0])
            if account:
                wanted.setdefault(account, set()).add(path)
        for account, some in wanted.items():
            self._rebuilt[account] = rebuild(self.bank, account, some, partial(self._heads, account), self._content)

    def content(self, path: str, digest: str) -> bytes | None:
        """The bytes that a path had under a digest, from the journal or a snapshot."""
        return versions.find(self.bank.journal, path, digest) or self._content(path, digest)

    def _heads(self, account: str) -> Iterator[tuple[bytes, int]]:
        """Versions of an account's head that can be had, newest first."""
        path = layout.account_file(account, "whole_history")
        for line, row in versions.history(self.bank.journal, path):
            data = versions.unpack(line).get(path) if row.after else None
            data = self._content(path, row.after) if data is None and row.after else data
            if data is not None:
                yield data, shown_by(self.bank, line.seq, account)

    def _content(self, path: str, digest: str) -> bytes | None:
        found = self.snapshots.content(path, digest)
        return None if found is None else found[0]

    def _managed(self, finding: Finding, expected: Expected | None) -> Plan | None:
        path = finding.path
        account = layout.account_of(path.partition("/")[0])
        rebuilt = self._rebuilt.get(account)
        shown = rebuilt.after if rebuilt and path == layout.account_file(account, "whole_history") else None
        if rebuilt is not None and path in rebuilt.files:
            lost = "" if rebuilt.proved else "messages that neither the journal nor a file holds any more"
            return Plan(Cure(path, finding.rule, "rebuilt", "", lost, rebuilt.why), rebuilt.files[path], shown)
        if finding.rule == HISTORY:
            return None  # what was recorded is what does not fit
        plan = self._recorded(finding, expected, "it is the version that memorybank recorded")
        return None if plan is None else plan._replace(shown=shown)

    def _append(self, finding: Finding, expected: Expected | None, rescued: Salvaged | None) -> Plan | None:
        if expected is None or not expected.good:
            # Such a file is one record: what is left of a truncated one is none.
            whole = None if rescued is not None and rescued.method == "complete-records" else rescued
            return _salvaged(finding, whole, "no good version was ever recorded")
        if rescued is not None and digests.of(rescued.content) == expected.sha:
            return _salvaged(finding, rescued, "it is the recorded version, byte for byte")
        return self._recorded(finding, expected, "an append-only file gets the version that was recorded")

    def _open(self, finding: Finding, expected: Expected | None, rescued: Salvaged | None) -> Plan | None:
        if rescued is not None:
            older = expected is not None and expected.good
            why = "newer than the last recorded version" if older else "no good version was ever recorded"
            return _salvaged(finding, rescued, why)
        plan = self._recorded(finding, expected, "nothing could be salvaged from what is there")
        if plan is None and self.reinitialise:
            return Plan(
                Cure(finding.path, finding.rule, "reinitialised", why="asked for with --reinitialise"), baseline.EMPTY
            )
        return plan

    def _recorded(self, finding: Finding, expected: Expected | None, why: str) -> Plan | None:
        path = finding.path
        if expected is not None and expected.good:
            content = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if content is not None:
                return Plan(Cure(path, finding.rule, "journal", why=why), content)
            found = self.snapshots.content(path, expected.sha)
            if found is not None:
                return Plan(
                    Cure(path, finding.rule, "snapshot", why=f"{why}; it stands in snapshot {found[1]}"), found[0]
                )
        if (
            layout.policy_of(path, layout.place(path), expected.kind if expected else "", self.open_patterns)
            == "append"
        ):
            return None
        if layout.account_of(path.partition("/")[0]):
            return None  # an older version would be a loss of messages that nobody is told of
        older = self._any_version(path)
        return None if older is None else Plan(Cure(path, finding.rule, older[1], why=f"{why}; {older[2]}"), older[0])

    def _any_version(self, path: str) -> tuple[bytes, str, str] | None:
        for line, row in versions.history(self.bank.journal, path):
            if row.after and is_good(row.rules) and (content := versions.unpack(line).get(path)) is not None:
                return content, "journal", f"recorded at {line.core['ts']}"
        found = self.snapshots.content(path)
        return None if found is None else (found[0], "snapshot", f"the newest good one, in snapshot {found[1]}")


def _anew(path: str) -> str:
    """The last resort for a file of an account, '' for any other."""
    what = "begins the account anew with the messages that are left"
    return f"memorybank repair --reinitialise {path} {what}" if layout.account_of(path.partition("/")[0]) else ""


def examined_kind(data: bytes | None, path: str) -> str:
    """The kind of what can be read of damaged bytes."""
    rescued = salvage(data) if data else None
    if rescued is None:
        return layout.place(path).kind
    return layout.kind_of(layout.place(path), loads(rescued.content))


def _salvaged(finding: Finding, rescued: Salvaged | None, why: str) -> Plan | None:
    if rescued is None:
        return None
    return Plan(Cure(finding.path, finding.rule, rescued.method, lost=rescued.lost, why=why), rescued.content)
