"""What a bank can be put back to: a snapshot, or the state at a line of the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from memorybank_cli.accounts import past
from memorybank_cli.accounts.recorded import record_of, shown_by
from memorybank_cli.accounts.replay import CREATED
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import FILE_OPS
from memorybank_cli.bank.forgetting import Forgotten
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.replacing import BEGIN
from memorybank_cli.bank.rows import FileRow, is_good
from memorybank_cli.base import clock, digests
from memorybank_cli.base.errors import AccountDamaged, MemorybankError
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.contents import Contents, Found
from memorybank_cli.operations.rollback_plan import LOST, AccountState, Target, Told, Version, is_rendered
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged

Wanted = Callable[[str], bool]


class SnapshotTarget:
    """The state that a snapshot holds."""

    def __init__(self, bank: Bank, blobs: Blobs, document: Document, contents: Contents | None = None) -> None:
        self.bank, self.blobs, self.document = bank, blobs, document
        self.title = f"snapshot {document.id}"
        self.findings: list[Finding] = []
        self.told: dict[str, Told] = {}
        # What was left out, or could not be read, may have stood there, as a file or as a directory.
        self.unknown = [path for one in document.excluded for path in (one, f"{one}/")]
        self.only: set[str] | None = None
        self._heads: dict[str, int] = {}
        self._still = StillForgotten(self, contents, document.seq, document.time)
        self.forgotten = self._still.accounts

    def versions(self, wanted: Wanted) -> Iterator[Version]:
        """Every file of the snapshot that is wanted."""
        for one in trees.files(self.blobs, self.document.root, partial(self._lost, wanted)):
            if not wanted(one.path) or self._still.holds_back(one.path):
                continue
            if one.good is None and one.found is not None:
                self.findings.append(Finding(one.rule, "no good version of this file was ever recorded", one.path))
            ids = one.good or one.found or ()
            digest = ids[0] if len(ids) == 1 else None
            yield Version(one.path, digest, one.size, one.mode, one.mtime_ns, partial(trees.chunks, self.blobs, one))

    def _lost(self, wanted: Wanted, path: str, error: MemorybankError) -> None:
        """A directory that cannot be read of the snapshot: what stands there now stays."""
        if not path:
            raise error
        message = f"its directory cannot be read of the snapshot: {error.message}"
        self.findings += [Finding("MB130", message, path)] if wanted(path) else []
        self.unknown.append(f"{path}/")

    def settled(self, misfits: list[Version]) -> Iterator[Version]:
        """Those whose bytes can be read."""
        for one in misfits:
            assert one.read is not None
            try:
                self._note_head(one.path, one.read())
            except Damaged as error:
                message = f"it cannot be read of the snapshot: {error.message}"
                self.findings.append(Finding("MB130", message, one.path))
                continue
            yield one

    def _note_head(self, path: str, pieces: Iterable[bytes]) -> None:
        account = layout.account_of(path.partition("/")[0])
        if not account or path != layout.account_file(account, "whole_history"):
            for _ in pieces:
                pass
            return
        try:
            seq = int(loads(b"".join(pieces))["seq"])
        except (FlawedJSON, KeyError, TypeError, ValueError):
            return  # a damaged history is put back as it was found, and stays a finding
        # A head names its last message; what was taken out or put back since then counts too.
        known = self.document.seq if self.document.seq <= self.bank.end.seq else 0
        self._heads[account] = max(seq, known)

    def accounts(self, wanted: Wanted) -> list[AccountState]:
        """Those that forgot something since; the files of the others are among the versions."""
        return self._still.states(wanted)

    def lines(self, restored: list[Version], removed: list[str]) -> dict[str, int]:
        """The line as of which each is in the snapshot; 0 for an account that is not in it."""
        back = {one.path for one in restored}
        found = {name: seq for name, seq in self._heads.items() if layout.account_file(name, "whole_history") in back}
        return found | dict.fromkeys(heads_in(removed), 0)

    def line_of(self, account: str) -> int | None:
        """The line as of which it is in the snapshot, where it differs."""
        return self._heads.get(account)

    def fields(self) -> dict[str, Any]:
        """Which snapshot it is."""
        return {"snapshot": self.document.id}


class StillForgotten:
    """What accounts forgot after a line: it does not come back, they are made as of the line from the journal.

    An account that was itself forgotten since does not come back at all.
    """

    def __init__(self, target: Target, contents: Contents | None, seq: int, time: str) -> None:
        self.accounts: set[str] = set()
        """Those of which something would have come back."""
        self._seq, self._gone = seq, Forgotten(target.bank, seq)
        self._journal = None if contents is None else JournalTarget(target.bank, contents, seq, time)
        if self._journal is not None:
            self._journal.findings, self._journal.unknown = target.findings, target.unknown

    def holds_back(self, path: str) -> bool:
        """Whether a file may not be put back as it was."""
        name = layout.account_of(path.partition("/")[0])
        if not name or self._journal is None or not self._gone.since((name,), self._seq):
            return False
        found = is_rendered(path) or self._gone.is_whole_since((name,), self._seq)
        self.accounts |= {name} if found else set()
        return found

    def states(self, wanted: Wanted) -> list[AccountState]:
        """The accounts without what they forgot; after every path was asked for."""
        found = [self._journal.account(name, wanted) for name in sorted(self.accounts) if self._journal is not None]
        return [one for one in found if one is not None]


def heads_in(paths: Iterable[str]) -> list[str]:
    """The accounts whose heads are among the paths."""
    accounts = ((layout.account_of(path.partition("/")[0]), path) for path in paths)
    return [name for name, path in accounts if name and path == layout.account_file(name, "whole_history")]


class Recorded(NamedTuple):
    """One version of a file, as a line of the journal tells it."""

    seq: int
    time: str
    sha: str
    size: int
    mode: int
    rule: str
    """What is wrong with it; '' for a good version."""
    data: int
    """The line whose data may hold the content; 0 for none."""


class JournalTarget:
    """The state at a line of the journal: accounts exactly, other files as the newest recorded version by then."""

    def __init__(self, bank: Bank, contents: Contents, seq: int, time: str) -> None:
        self.bank, self.contents, self.seq, self.time = bank, contents, seq, time
        self.title = f"line {seq} of the journal ({time})"
        self.findings: list[Finding] = []
        self.told: dict[str, Told] = {}
        self.unknown: list[str] = []
        self.only: set[str] | None = None
        self.forgotten: set[str] = set()
        self._known: dict[str, Recorded] = {}
        self._created: set[str] = set()

    def versions(self, wanted: Wanted) -> Iterator[Version]:
        """Every file that was recorded by then and not removed again."""
        excluded = self.bank.settings["exclude"]

        def counts(path: str) -> bool:
            return wanted(path) and not layout.is_excluded(path, excluded)

        for line, row, data in _rows(self.bank, self.seq, self._created):
            if is_rendered(row.path):
                self._created.add(layout.account_of(row.path.partition("/")[0]))
                continue
            if not counts(row.path):
                continue
            before = self._known.get(row.path)
            if row.after is None:
                self._known.pop(row.path, None)
            elif is_good(row.rules) or before is None or before.rule:
                self._known[row.path] = _recorded(line, row, data)
        for path, one in sorted(self._known.items()):
            yield Version(path, one.sha, one.size, one.mode, _moment(one.time))

    # How each is to be had

    def settled(self, misfits: list[Version]) -> Iterator[Version]:
        """The versions themselves where they can be had, else the nearest earlier ones."""
        missing: dict[str, Version] = {}
        for one in misfits:
            known = self._known[one.path]
            found = self.contents.find(one.path, known.sha, known.size, known.data)
            if found is None:
                missing[one.path] = one
            else:
                yield self._settled(one.path, known, known, found)
        older = self._older(missing) if missing else {}
        for path in missing:
            nearest = self._nearest(path, older[path])
            if nearest is not None:
                yield nearest
            else:
                message = f"the version of line {self._known[path].seq} cannot be had, nor any recorded before it"
                self.findings.append(Finding(LOST, message, path, "memorybank log --path shows what was recorded"))

    def _settled(self, path: str, wanted: Recorded, got: Recorded, found: Found) -> Version:
        self.told[path] = Told(wanted.seq, got.seq, got.time, found.source, wanted.sha == got.sha)
        if got.rule:
            self.findings.append(Finding(got.rule, "no good version of this file was ever recorded", path))
        return Version(path, got.sha, got.size, got.mode, _moment(got.time), found.read)

    def _older(self, missing: dict[str, Version]) -> dict[str, list[Recorded]]:
        """What was recorded of each by then, newest first."""
        found: dict[str, list[Recorded]] = {path: [] for path in missing}
        for line, row, data in _rows(self.bank, self.seq, set()):
            if row.path in found and row.after is not None:
                found[row.path].insert(0, _recorded(line, row, data))
        return found

    def _nearest(self, path: str, older: list[Recorded]) -> Version | None:
        known = self._known[path]
        same = [one for one in older if one.sha == known.sha]
        for one in (*same, *(one for one in older if not one.rule and one.seq < known.seq)):
            found = self.contents.find(path, one.sha, one.size, one.data)
            if found is not None:
                return self._settled(path, known, one, found)
        for document, entry in self.contents.snapshots.versions(path):
            if document.seq > self.seq:
                continue
            read = partial(trees.chunks, self.contents.snapshots.blobs, entry)
            try:
                digest = digests.of_pieces(read())
            except Damaged:
                continue
            self.told[path] = Told(known.seq, None, document.time, "snapshot", digest == known.sha)
            return Version(path, digest, entry.size, entry.mode, entry.mtime_ns, read)
        return None

    # Accounts

    def accounts(self, wanted: Wanted) -> list[AccountState]:
        """Those that there were, as they were; call it after `versions`."""
        directories = (layout.account_of(entry.name) for entry in self.bank.root.listing())
        names = self._created | {one for one in directories if one} | set(self.bank.catalog.unrendered())
        found = []
        for name in sorted(names):
            section = layout.account_section(name)
            inside = any(wanted(layout.account_file(name, kind)) for kind in (*layout.TIERS, "account"))
            if (inside or wanted(f"{section}/history/index.json")) and past.existed(self.bank, name, self.seq):
                state = self.account(name, wanted)
                if state is not None:
                    found.append(state)
        return found

    def account(self, name: str, wanted: Wanted) -> AccountState | None:
        """One account as it was; None where it was forgotten since, and, with a finding, where it cannot be had."""
        gone = Forgotten(self.bank, self.seq)
        self.forgotten |= {name} if gone.since((name,), self.seq) else set()
        if gone.is_whole_since((name,), self.seq):
            return None
        for way in past.ways(self.bank, name, self.seq, partial(self._heads, name), self.contents.find_bytes):
            try:
                files = {one.path: digests.of(one.data) for one in way.files() if wanted(one.path)}
            except AccountDamaged:
                continue
            return AccountState(name, self.seq, files, way.files)
        head = layout.account_file(name, "whole_history")
        message = f"neither the journal nor a file gives the account as of line {self.seq}"
        self.findings.append(Finding(LOST, message, head, f"memorybank rollback SNAPSHOT --account {name}"))
        self.unknown.append(f"{layout.account_section(name)}/")
        return None

    def _heads(self, account: str) -> Iterator[tuple[bytes, int]]:
        """What stands there, if it is what was recorded, then the recorded versions that can be had."""
        path, record = layout.account_file(account, "whole_history"), record_of(self.bank, account)
        data = self.bank.root.content(path)
        if data is not None and record is not None and digests.of(data) == record.sha:
            yield data, record.after
        rows = [(line, row) for line, row, _ in _rows(self.bank, self.bank.end.seq, set(), path) if row.after]
        for line, row in reversed(rows):
            content = self.contents.find_bytes(path, row.after or "")
            if content is not None:
                yield content, shown_by(self.bank, line.seq, account)

    def lines(self, restored: list[Version], removed: list[str]) -> dict[str, int]:
        """The line, for each account that there was not."""
        del restored
        return dict.fromkeys(heads_in(removed), self.seq)

    def line_of(self, account: str) -> int | None:
        """The line itself."""
        del account
        return self.seq

    def fields(self) -> dict[str, Any]:
        """Which line it is."""
        return {"line": self.seq}


def _rows(bank: Bank, upto: int, created: set[str], path: str = "") -> Iterator[tuple[Line, FileRow, int]]:
    """What the journal up to a line tells of files, and the line that may keep the content of each; 0 for none.

    Accounts that were made are added to `created`.
    """
    texts = (dumps(path),) if path else (b'"files":', b'"op":"account.created"')
    staged: dict[str, tuple[str | None, int]] = {}
    for line in bank.journal.lines(0, texts):
        if line.seq > upto:
            return
        if line.op == CREATED:
            created.add(str(line.core["account"]))
        rows = [FileRow(*row) for row in line.core.get("files", ())]
        if line.op == BEGIN and line.data is not None:
            staged |= {row.path: (row.after, line.seq) for row in rows}
        for row in rows if line.op in FILE_OPS else ():
            sha, begun = staged.get(row.path, (None, 0))
            yield line, row, line.seq if line.data is not None else begun if sha == row.after else 0


def _recorded(line: Line, row: FileRow, data: int) -> Recorded:
    rule = "" if is_good(row.rules) else row.rules[0]
    return Recorded(line.seq, str(line.core["ts"]), row.after or "", row.size, row.mode, rule, data)


def _moment(time: str) -> int | None:
    try:
        return int(clock.parse(time).timestamp() * 1_000_000) * 1_000
    except ValueError:
        return None
