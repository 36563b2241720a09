"""What a rollback would do: the files that differ from what they are to be, and how each is to be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from memorybank_cli.accounts.past import Make
from memorybank_cli.accounts.replay import Edit
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.judge import recorded_rules
from memorybank_cli.bank.replacing import Replacement, digest_there
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.base import digests
from memorybank_cli.base.errors import OperationFailed, SnapshotNotFound
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.operations.contents import Read
from memorybank_cli.operations.paths import beside, find_hint
from memorybank_cli.snapshots.sealing import Damaged

LOST = "MB131"
_MODE = 0o600


class Told(NamedTuple):
    """Which recorded version of a file a rollback to a line of the journal takes."""

    wanted: int
    """The line that recorded the version that is asked for."""
    got: int | None
    """The line that recorded the one that can be had; None for a snapshot's."""
    time: str
    """When that was recorded."""
    source: str
    """there, journal, snapshot or quarantine."""
    exact: bool
    """Whether both are the same."""


class Version(NamedTuple):
    """One file as it is to be."""

    path: str
    digest: str | None
    """None where only reading it tells."""
    size: int
    mode: int | None = None
    """None: as that of what stands there."""
    mtime_ns: int | None = None
    read: Read | None = None
    """How to have its bytes; None until `Target.settled` says."""
    told: Told | None = None


class AccountState(NamedTuple):
    """All files of one account as they are to be."""

    account: str
    line: int
    """The journal line as of which they are; of an edit the present one."""
    files: dict[str, str]
    """Digest by path, of those that are asked for."""
    make: Make
    edit: Edit | None = None
    """Single messages that are put back or taken out, where that is what is asked for."""


class Target(Protocol):
    """What a bank is to be put back to."""

    title: str
    """In words: `snapshot 20261120T…`, `line 812 of the journal (2026-…)`."""
    findings: list[Finding]
    told: dict[str, Told]
    """By path which recorded version is taken, where several could be."""
    unknown: list[str]
    """Paths, and directories with a slash, of which it cannot say what stood there."""

    bank: Bank
    forgotten: set[str]
    """Accounts that forgot something since; it does not come back."""
    only: set[str] | None
    """The only paths that it says anything of; None: all of the bank."""

    def versions(self, wanted: Callable[[str], bool]) -> Iterator[Version]:
        """Every file that is to stand there and is wanted, without those of `accounts`."""

    def settled(self, misfits: list[Version]) -> Iterator[Version]:
        """Those that can be had, and how; the others become findings."""

    def accounts(self, wanted: Callable[[str], bool]) -> list[AccountState]:
        """Accounts that are rendered anew."""

    def lines(self, restored: list[Version], removed: list[str]) -> dict[str, int]:
        """For each account whose head `versions` puts back or leaves out: the line as of which it is then."""

    def line_of(self, account: str) -> int | None:
        """The line as of which an account is then; None where it does not differ or nobody knows. After `settled`."""

    def fields(self) -> dict[str, Any]:
        """What the journal is to say of it."""


class Plan:
    """What differs between the bank and a target, within a scope (everything when that is empty)."""

    def __init__(self, bank: Bank, target: Target, scope: list[str]) -> None:
        self.bank, self.target = bank, target
        self.scope = [one for one in scope if one] if "" not in scope else []
        self.restored: list[Version] = []
        self.removed: list[str] = []
        self.accounts: list[AccountState] = []
        self.here: set[str] = set()
        """Every file of the scope that stands there now."""
        self.before: dict[str, str | None] = {}
        """What stands at each path that is to be changed, by digest; None for no file."""
        self._unknown: set[str] = set()

    def compare(self) -> Plan:
        """Find what differs. Raises SnapshotNotFound for a part of the scope that is in neither."""
        here = self.here = set(self._here())
        wanted = list(self.target.versions(self.wanted))
        states = self.target.accounts(self.wanted)
        there = {one.path for one in wanted}.union(*(state.files for state in states))
        self._unknown = set(self.target.unknown)
        self._check_scope(here | there)
        misfits = [one for one in wanted if self._differs(one)]
        settled = (one for one in self.target.settled(misfits) if one.digest != self.before[one.path])
        self.restored = sorted(filter(self._is_ours, settled), key=lambda one: one.path)
        self.removed = self._gone(here - there - {layout.BANK}, there)
        self.before |= {path: digest_there(self.bank, path) for path in self.removed}
        self.accounts = [one for one in states if self.see(one)]
        return self

    @property
    def findings(self) -> list[Finding]:
        """What the target could not give."""
        return self.target.findings

    def __bool__(self) -> bool:
        return bool(self.restored or self.removed or self.accounts)

    @property
    def restored_paths(self) -> list[str]:
        """Paths that are put in place, sorted."""
        rendered = [
            path for state in self.accounts for path, sha in state.files.items() if self.before.get(path) != sha
        ]
        return sorted([*(one.path for one in self.restored), *rendered])

    def wanted(self, path: str) -> bool:
        """Whether a path lies within the scope."""
        if self.target.only is not None and path not in self.target.only:
            return False
        return not self.scope or any(path == one or path.startswith(f"{one}/") for one in self.scope)

    def _here(self) -> Iterator[str]:
        for listing in self.bank.walk():
            prefix = f"{listing.path}/" if listing.path else ""
            for entry in listing.files:
                if self.wanted(prefix + entry.name) and not layout.is_secret(entry.name):
                    yield prefix + entry.name

    def _check_scope(self, known: set[str]) -> None:
        for one in self.scope:
            inside = any(path == one or path.startswith(f"{one}/") for path in known)
            if not inside and layout.account_of(one.partition("/")[0]) in self.target.forgotten:
                hint = "memorybank snapshot restore ID --to DIR gives what a snapshot still holds"
                message = f"{one} was forgotten after {self.target.title}: it stays so"
                raise SnapshotNotFound(message, path=one, hint=hint)
            if not inside and not self._is_unknown(f"{one}/"):
                hint = did_you_mean(one, beside(self.bank, one), find_hint(one))
                raise SnapshotNotFound(f"{one} is not in {self.target.title}", path=one, hint=hint)

    def _is_unknown(self, path: str) -> bool:
        unknown = self._unknown
        return path in unknown or any(f"{one}/" in unknown for one in _above(path))

    def _gone(self, others: set[str], there: set[str]) -> list[str]:
        """Which files are to go; one of which the target says nothing stays, unless something of it takes its place."""
        stay = set(filter(self._is_unknown, others))
        if stay:
            directories = {above for one in there for above in _above(one)}
            stay = {path for path in stay if path not in directories and there.isdisjoint(_above(path))}
        for path in sorted(stay & self._unknown):
            message = f"{self.target.title} does not hold it, for it was left out or could not be read: it stays"
            self.findings.append(Finding(LOST, message, path))
        return sorted(others - stay)

    def _differs(self, one: Version) -> bool:
        there = self.before[one.path] = digest_there(self.bank, one.path)
        if one.digest is not None or there is None or one.read is None:
            return there != one.digest or there is None
        try:
            return there != digests.of_pieces(one.read())
        except Damaged:
            return True

    def _is_ours(self, one: Version) -> bool:
        """A bank keeps its identity, also where it was given a new one since."""
        if one.path != layout.BANK or one.read is None:
            return True
        try:
            return bool(loads(b"".join(one.read()))["bank_id"] == self.bank.bank_id)
        except (Damaged, FlawedJSON, KeyError, TypeError):
            return False

    def see(self, state: AccountState) -> bool:
        """Look at what stands there of an account; whether it differs."""
        self.before |= {path: digest_there(self.bank, path) for path in state.files}
        return any(self.before[path] != sha for path, sha in state.files.items())

    # Carrying it out, under the lock

    def lines(self) -> dict[str, int]:
        """For each account that is put back the journal line as of which it is then; of an edit the last one."""
        found = self.target.lines(self.restored, self.removed)
        for state in self.accounts:
            head = layout.account_file(state.account, "whole_history")
            if self.before.get(head) != state.files.get(head):
                found[state.account] = self.bank.end.seq if state.edit else state.line
        return found

    def edits(self) -> dict[str, dict[str, list[int]]]:
        """Single messages that are put back or taken out, as lines of the journal."""
        return {
            one.account: {"take": sorted(one.edit.taken), "drop": sorted(one.edit.dropped)}
            for one in self.accounts
            if one.edit is not None
        }

    def replacements(self) -> Iterator[tuple[Replacement, str | None]]:
        """Each file that is to be put in place or removed, and the digest of what was there when it was planned."""
        examiner, bound = Examiner(self.bank.registry), judging_rules(self.bank).bound
        for one in self.restored:
            yield self._replacement(one, examiner, bound), self.before[one.path]
        for state in self.accounts:
            yield from self._rendered(state)
        for path in self.removed:
            yield Replacement(path, None), self.before[path]

    def _replacement(self, one: Version, examiner: Examiner, bound: frozenset[str]) -> Replacement:
        assert one.read is not None
        where = layout.place(one.path)
        mode = self._mode(one.path) if one.mode is None else one.mode
        if one.size > HARD_SIZE:
            return Replacement(
                one.path, one.read(), mode, one.mtime_ns, where.kind, ("MB108",) if where.is_json else ()
            )
        data = b"".join(one.read())
        if one.digest is not None and digests.of(data) != one.digest:
            raise OperationFailed(f"{one.path} cannot be had any more as it was found a moment ago", path=one.path)
        seen = examiner.memory(data, where)
        rules = tuple(recorded_rules(where, seen, bound))
        return Replacement(one.path, data, mode, one.mtime_ns, seen.kind, rules)

    def _mode(self, path: str) -> int:
        info = self.bank.root.stat(path)
        return _MODE if info is None else info.st_mode & 0o777

    def _rendered(self, state: AccountState) -> Iterator[tuple[Replacement, str | None]]:
        """An account's files as they come out now; messages may have been stored since it was planned."""
        mode, given = self.bank.modes[0], set()
        for one in state.make():
            given.add(one.path)
            before = digest_there(self.bank, one.path)
            if (state.edit or one.path in state.files) and before != digests.of(one.data):
                yield Replacement(one.path, one.data, mode, None, one.kind), before
        for path in self._account_files(state.account) - given - set(self.removed):
            if self.wanted(path):  # sealed since
                yield Replacement(path, None), digest_there(self.bank, path)

    def _account_files(self, account: str) -> set[str]:
        section = layout.account_section(account)
        return {
            f"{listing.path}/{entry.name}"
            for listing in (self.bank.walk(section) if self.bank.root.is_dir(section) else ())
            for entry in listing.files
            if is_rendered(f"{listing.path}/{entry.name}")
        }


def _above(path: str) -> Iterator[str]:
    """The directories that a file is in."""
    while path := path.rpartition("/")[0]:
        yield path


def is_rendered(path: str) -> bool:
    """Whether a path is one of the files that are made from an account's history."""
    return bool(layout.account_of(path.partition("/")[0]) and layout.place(path).kind)
