"""Taking what importers read: each file and message is validated on the way, what cannot be taken is kept and told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memorybank_cli.accounts.messages import Message, checked
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.judge import EMPTY_OBJECT
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import clock, digests, walk
from memorybank_cli.base.errors import MemorybankError, OperationFailed, Refused, from_os_error
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Progress
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.migrations.choosing import Part
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from memorybank_cli.operations.targets import BATCH, Given, Target

_OURS = (layout.BANK, layout.README)
_PLACEHOLDERS = frozenset(layout.PLACEHOLDERS.values())  # as `init` made them, they are in nobody's way
_IN_THE_WAY = "another content stands there"
_SAME_PLACE = "another file of the source came to this place"
# What a place cannot hold by its name; anything else, as a full disk, hits every file and ends the import.
_NAME_TROUBLE = {
    errno.ENAMETOOLONG,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
}


class Refusal(NamedTuple):
    """One thing that could not be taken."""

    path: str
    reason: str
    kept: str


@dataclass
class Tally:
    """What an import came to so far."""

    files: int = 0
    bytes: int = 0
    messages: int = 0
    converted: int = 0
    present: int = 0
    references: int = 0
    accounts: set[str] = field(default_factory=set)
    rejected: list[Refusal] = field(default_factory=list)
    assumptions: dict[str, int] = field(default_factory=dict)
    plan: dict[tuple[str, int, str, str, str], int] = field(default_factory=dict)
    """How many by importer, score, kind, from and to."""


class Intake:
    """Takes the items of one source for one target; `bank` is None where there is none yet.

    With `refuse` a file in the way is no rejection but an error.
    """

    def __init__(
        self, source: Source, target: Target, bank: Bank | None, progress: Progress, refuse: bool = False
    ) -> None:
        self.source, self.target, self.progress, self.refuse = source, target, progress, refuse
        self.tally = Tally()
        self._bank = bank
        self._examiner = Examiner(Registry() if bank is None else bank.registry)
        self._key = b"" if bank is None else bytes.fromhex(str(bank.document["identity_key"]))
        self._now = clock.now()
        self._taken: set[str] = set()
        self._above: set[str] = {""}
        self._directories: dict[str, str] = {}
        self._accounts: set[str] | None = None
        self._waiting: list[Entry] = []
        self._origin = ""
        self._kept: tuple[str, str] = ("", "")
        self._created = self._given_messages = 0

    def run(self, parts: list[Part]) -> Tally:
        """Take everything, and have the target carry it out."""
        self.progress.start("importing", sum(len(part.paths) for part in parts))
        for part in parts:
            for item in part.importer.read(self.source, part.paths):
                self._take(part, item)
        self._flush()
        self.tally.messages += self.target.finish(self._told(parts))
        self.tally.present += (
            sum(count for (_, _, kind, _, _), count in self.tally.plan.items() if kind == "messages")
            - self.tally.messages
        )
        self.tally.converted += self.tally.messages
        self.progress.finish()
        return self.tally

    def _take(self, part: Part, item: Item) -> None:
        if isinstance(item, Assumption):
            self.tally.assumptions[item.text] = self.tally.assumptions.get(item.text, 0) + item.count
            return
        if item.origin != self._origin:
            self._origin = item.origin
            self.progress.advance()
        if isinstance(item, FileItem):
            self._file(part, item)
        elif isinstance(item, MessageItem):
            self._message(part, item)
        elif isinstance(item, AccountItem):
            before = self._created
            if self._has_account(item) and self._created > before:
                self._plan(part, "accounts", item.origin, layout.account_section(item.account))
        else:
            self._reject(item)

    def _plan(self, part: Part, kind: str, origin: str, to: str) -> None:
        top, below, _ = origin.partition("/")
        section, deeper, _ = to.partition("/")
        key = (part.importer.NAME, part.score, kind, f"{top}/" if below else ".", f"{section}/" if deeper else section)
        self.tally.plan[key] = self.tally.plan.get(key, 0) + 1

    # Files

    def _file(self, part: Part, item: FileItem) -> None:
        if item.path in _OURS:
            self.source.skip(item.origin, "the new bank has its own")
            return
        if self.target.stands and item.path.startswith("config/"):  # it would hold unseen, and replace what does
            self.source.skip(item.origin, "the bank's own config decides; copy it by hand and accept it")
            return
        try:
            reason = self._unfit(item.path)
            if reason:
                self._reject(Rejected(item.origin, reason))
                return
            given = self._given(item)
            standing = self.target.digest(item.path)
            if standing is None or (standing == EMPTY_OBJECT and self._is_better(given)):
                self._put(part, item, given)
            elif standing == self._digest(given):
                self.tally.present += 1
            else:
                self._stopped(item)
        except OSError as error:
            if error.errno is not None and error.errno not in _NAME_TROUBLE:
                raise
            self._reject(Rejected(item.origin, str(error) if error.errno is None else from_os_error(error).message))

    def _unfit(self, path: str) -> str:
        """Why nothing may be put at a path, '' where something may."""
        directory, _, name = path.rpartition("/")
        if directory not in self._directories:
            self._directories[directory] = self._unfit_directory(directory)
        reason = self._directories[directory] or _unfit_name(name)
        if not reason and (path in self._taken or path in self._above):
            return _SAME_PLACE
        return reason

    def _unfit_directory(self, path: str) -> str:
        if layout.account_of(path.partition("/")[0]):
            return "only messages come into an account"
        parts = path.split("/") if path else []
        if any("/".join(parts[: depth + 1]) in self._taken for depth in range(len(parts))):
            return _SAME_PLACE
        return next(filter(None, map(_unfit_name, parts)), "")

    def _given(self, item: FileItem) -> Given:
        """A file as the bank will have it. Raises OSError, SourceChanged among them."""
        source, where, origin = self.source, layout.place(item.path), item.origin
        most = HARD_SIZE if where.is_json else walk.READ_SIZE
        content, mtime = item.data, item.mtime_ns
        try:
            if content is None:
                content, info = source.read_with_stat(origin, most)
                mode, mtime = info.st_mode, walk.fitting(info.st_mtime_ns) if mtime is None else mtime
            else:
                mode, mtime = source.mode(origin), source.mtime_ns(origin) if mtime is None else mtime
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            mode, mtime = source.mode(origin), source.mtime_ns(origin) if mtime is None else mtime
            return Given(item.path, source.chunks(origin), mode & 0o777, mtime, None)
        return Given(item.path, content, mode & 0o777, mtime, self._examiner.memory(content, where))

    def _digest(self, given: Given) -> str:
        return digests.of_pieces((given.content,) if isinstance(given.content, bytes) else given.content)

    def _is_better(self, given: Given) -> bool:
        """Whether a file may take the place of the empty one that `init` made: not where it is as empty."""
        return given.path in _PLACEHOLDERS and not (
            isinstance(given.content, bytes) and self._digest(given) == EMPTY_OBJECT
        )

    def _put(self, part: Part, item: FileItem, given: Given) -> None:
        self.tally.bytes += self.target.put(given)
        self.tally.files += 1
        self.tally.converted += item.data is not None
        self.tally.references += item.references
        self._taken.add(item.path)
        head = item.path.rpartition("/")[0]
        while head not in self._above:
            self._above.add(head)
            head = head.rpartition("/")[0]
        self._plan(part, "files", item.origin, item.path)

    def _stopped(self, item: FileItem) -> None:
        if self.refuse:
            raise Refused(
                f"{item.path} stands in the target already, with other content",
                path=item.path,
                hint="import into an empty directory, or with memorybank migrate --from, which leaves such files out",
            )
        self._reject(Rejected(item.origin, _IN_THE_WAY))

    # Messages

    def _message(self, part: Part, item: MessageItem) -> None:
        if not self._has_account(item):
            return
        message = Message(item.role, item.content, item.id, item.timestamp, item.metadata)
        try:
            record = checked(message).record(self._key, self._now)
            fields = {"account": item.account, "kind": "message", "record": record["id"]}
            entry = Entry(STORED, fields, record)
            entry = entry if self._bank is None else self._bank.passed(entry)
        except MemorybankError as error:
            self._reject(Rejected(item.origin, error.message, _bytes(item)))
            return
        self._waiting.append(entry)
        self._given_messages += 1
        self._plan(part, "messages", item.origin, layout.account_section(item.account) + "/")
        if len(self._waiting) >= BATCH:
            self._flush()

    def _has_account(self, item: MessageItem | AccountItem) -> bool:
        """Whether there is such an account now; it is made where there is none."""
        if item.account in self.tally.accounts:
            return True
        try:
            layout.account_section(item.account)
        except MemorybankError as error:
            self._reject(Rejected(item.origin, error.message, _bytes(item)))
            return False
        if self._accounts is None:
            self._accounts = set(self.target.accounts())
        self.tally.accounts.add(item.account)
        if item.account not in self._accounts:
            self.target.create(item.account, item.sizes if isinstance(item, AccountItem) else None)
            self._created += 1
        return True

    def _flush(self) -> None:
        self.tally.messages += self.target.add(self._waiting)
        self._waiting = []
        self.progress.advance(0)

    # What cannot be taken

    def _reject(self, item: Rejected) -> None:
        whole = item.origin if item.data is None else ""
        if not whole or whole != self._kept[0]:  # else the file was kept for another reason just before
            self._kept = (whole, self._keep(item))
        self.tally.rejected.append(Refusal(item.origin, item.reason, self._kept[1]))

    def _keep(self, item: Rejected) -> str:
        """Keep what was refused; where it waits."""
        try:
            return self.target.keep((item.data,) if item.data is not None else self.source.chunks(item.origin))
        except OSError as error:
            if error.errno is not None and item.data is not None:
                raise
            return ""  # it changes, has gone or cannot be read: there is nothing to keep

    def _told(self, parts: list[Part]) -> list[Entry]:
        """What the journal says of the import; nothing where nothing came of it."""
        tally = self.tally
        if not (tally.files or tally.messages or self._created or self.target.refused):
            return []
        head = {
            "source": escape(self.source.root.path),
            "importers": [part.importer.NAME for part in parts],
            "assumptions": list(tally.assumptions),
        }
        return [
            Entry("source.imported", {**(head if not start else {}), "rejected": rows})
            for start, rows in _thousands([list(one) for one in tally.rejected])
        ]


def _unfit_name(name: str) -> str:
    """Why a bank can have no file or directory of a name, '' where it can."""
    if name.startswith("."):
        return "names that begin with a dot are no part of a bank"
    try:
        walk.component(name)
    except OperationFailed as error:
        return error.message
    return ""


def _thousands(rows: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    for start in range(0, max(1, len(rows)), 1_000):
        yield start, rows[start : start + 1_000]


def _bytes(item: MessageItem | AccountItem) -> bytes:
    """A refused record as JSON; text that is none is written with escapes."""
    value = item._asdict()
    try:
        return dumps(value)
    except (UnicodeEncodeError, ValueError):
        import json

        return json.dumps(value).encode()
