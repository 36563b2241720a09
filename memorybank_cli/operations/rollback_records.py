"""Single records put back: everything else in their files stays, byte for byte."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from memorybank_cli.accounts import past, replay
from memorybank_cli.accounts.replay import Edit
from memorybank_cli.bank import layout
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.rows import SOUND
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged, NotFound, Refused, UsageError
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import escape, is_text, quoted
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.meaning.differences import Change, compare_held
from memorybank_cli.meaning.patching import only, operated
from memorybank_cli.meaning.records import Held, Reader
from memorybank_cli.operations.rollback_plan import AccountState, Plan, Version, is_rendered

SUGGESTING = 200  # files whose records are looked at for a name like the one that is nowhere


class _Hit(NamedTuple):
    """A file in which records that are asked for differ."""

    path: str
    now: bytes | None
    then: bytes | None
    changes: tuple[Change, ...]


class Narrowing:
    """Makes of a plan for whole files one for single records."""

    def __init__(self, plan: Plan, ids: Sequence[str]) -> None:
        self.plan, self.bank, self.ids = plan, plan.bank, tuple(dict.fromkeys(ids))
        self.reader = Reader(plan.bank.registry)
        self.examiner = Examiner(plan.bank.registry)
        self._needles = [text for one in self.ids for text in _spellings(one)]
        self._whole = {one.path: one for one in plan.restored}

    def narrow(self) -> None:
        """Keep of the plan what the records need. Raises NotFound, Refused, UsageError for one in several files."""
        hits = {hit.path: hit for hit in self._hits()}
        edits = self._edits()
        self._check(hits, edits)
        restored, removed = [], []
        for hit in hits.values():
            version = self._single(hit) if _is_single(hit) else self._among_others(hit)
            if version is not None:
                restored.append(version)
            elif hit.then is None:
                removed.append(hit.path)
        self.plan.accounts = [state for account, edit in edits.items() if (state := self._edited(account, edit))]
        self.plan.restored, self.plan.removed = restored, removed
        told, used = self.plan.target.told, {one.path for one in restored}
        for path in told.keys() - used:
            del told[path]
        self.plan.target.findings[:] = [one for one in self.plan.findings if one.path in hits]
        self._judge(hits.values())

    # Where the records are

    def _hits(self) -> Iterator[_Hit]:
        for path in sorted([*self._whole, *self.plan.removed]):
            if is_rendered(path) or not layout.place(path).is_json:
                continue
            now, then = self.bank.root.content(path), self._then(path)
            if not any(needle in data for needle in self._needles for data in (now, then) if data):
                continue
            changes = tuple(one for one in self._changes(path, now, then) if one.id in self.ids)
            if changes:
                self._check_form(path, now, then)
                yield _Hit(path, now, then, changes)

    def _then(self, path: str) -> bytes | None:
        version = self._whole.get(path)
        if version is None or version.read is None or version.size > HARD_SIZE:
            return None
        return b"".join(version.read())

    def _changes(self, path: str, now: bytes | None, then: bytes | None) -> Iterable[Change]:
        try:
            was, want = _both(self.reader, path, now, then)
        except FlawedJSON as error:
            raise Refused(
                f"{path} is damaged ({error}), so that no single record of it can be put back",
                path=path,
                hint=f"memorybank repair {quoted(path)}, or memorybank rollback --path {quoted(path)}",
            ) from None
        return compare_held(was._replace(beside=()), want._replace(beside=())).changes

    def _check_form(self, path: str, now: bytes | None, then: bytes | None) -> None:
        """Raise Refused where a record, a list or members stood then where there is another of these now."""
        if now is not None and then is not None and len({*map(_form, _both(self.reader, path, now, then))}) > 1:
            raise Refused(
                f"{path} is of another form than in {self.plan.target.title}, so that no single record of it can be "
                "put back",
                path=path,
                hint=f"memorybank rollback --path {quoted(path)} puts all of it back",
            )

    def _check(self, hits: dict[str, _Hit], edits: dict[str, Edit]) -> None:
        for one in self.ids:
            places = [path for path, hit in hits.items() if any(change.id == one for change in hit.changes)]
            places += [layout.account_section(account) for account in edits if one in self._lines[account]]
            if len(places) > 1 and not set(places) <= set(self.plan.scope):
                raise UsageError(
                    f"the record {escape(one)} is in {', '.join(places)}",
                    hint="name the place that is meant with --path or --account",
                )
            if not places and not self._is_here(one):
                raise NotFound(
                    f"there is no record {escape(one)}, neither now nor in {self.plan.target.title}",
                    hint=did_you_mean(
                        one, sorted(self._known()), f"memorybank snapshot find --id {shlex.quote(escape(one))}"
                    ),
                )

    def _is_here(self, one: str) -> bool:
        """Whether a record is in a file that does not differ."""
        if any(one in lines for lines in self._lines.values()):
            return True
        needles = _spellings(one)
        for path in self.plan.here:
            data = self.bank.root.content(path) if layout.place(path).is_json else None
            if data is not None and any(needle in data for needle in needles):
                try:
                    if any(record.id == one for record in self.reader.records(path, data)):
                        return True
                except FlawedJSON:
                    continue
        return False

    def _known(self) -> set[str]:
        found: set[str] = set()
        for path in [*self._whole, *self.plan.here][:SUGGESTING]:
            data = self.bank.root.content(path) if layout.place(path).is_json else None
            try:
                found |= {one.id for one in self.reader.records(path, data or b"") if one.id}
            except FlawedJSON:
                continue
        return found

    # Files

    def _single(self, hit: _Hit) -> Version | None:
        """The whole file is the record."""
        return self._whole.get(hit.path)

    def _among_others(self, hit: _Hit) -> Version:
        was, want = _both(self.reader, hit.path, hit.now, hit.then)
        if hit.now is None:
            assert hit.then is not None
            data = only(hit.then, want, {one.id for one in hit.changes})
        else:
            data = operated(hit.now, was, hit.then or b"", want, hit.changes)
        self.plan.before.setdefault(hit.path, None if hit.now is None else digests.of(hit.now))
        return Version(hit.path, digests.of(data), len(data), read=partial(_once, data))

    def _judge(self, hits: Iterable[_Hit]) -> None:
        """What is wrong with the outcome and was not before."""
        contents = {one.path: one for one in self.plan.restored}
        for hit in hits:
            version = contents.get(hit.path)
            if version is None or version.read is None:
                continue
            where = layout.place(hit.path)
            before = {one.rule for one in self.examiner.content(hit.now, where).content} if hit.now else set()
            for flaw in self.examiner.content(b"".join(version.read()), where).content:
                if flaw.rule not in before:
                    hint = f"memorybank explain {flaw.rule}" if flaw.rule in SOUND else ""
                    self.plan.findings.append(flaw.at(hit.path, hint))

    # Accounts

    def _edits(self) -> dict[str, Edit]:
        """By account the lines of messages that are to come back or to go."""
        self._lines: dict[str, dict[str, list[Line]]] = {}
        found: dict[str, Edit] = {}
        for account in self._accounts():
            lines = self._lines[account] = self._messages(account)
            then = self._course_then(account) if lines else None
            now = replay.course_of(self.bank, account, self.bank.end.seq)
            if now is None or then is None:
                continue
            every = [line for some in lines.values() for line in some]
            taken = frozenset(line.seq for line in every if line in then and line not in now)
            dropped = frozenset(line.seq for line in every if line in now and line not in then)
            if taken or dropped:
                found[account] = Edit(taken, dropped)
        return found

    def _accounts(self) -> list[str]:
        paths = [*self._whole, *self.plan.removed, *self.plan.here]
        names = {layout.account_of(path.partition("/")[0]) for path in paths if is_rendered(path)}
        return sorted({*names, *(state.account for state in self.plan.accounts)} - {""})

    def _messages(self, account: str) -> dict[str, list[Line]]:
        """By id the lines that stored the messages that are asked for."""
        found: dict[str, list[Line]] = {}
        course = replay.course_of(self.bank, account, self.bank.end.seq)
        names = course.names if course else (account,)
        for line in replay.lines_about(self.bank, names, 0, self.bank.end.seq):
            if replay.is_message(line) and line.core.get("record") in self.ids:
                found.setdefault(str(line.core["record"]), []).append(line._replace(data=None))
        return found

    def _course_then(self, account: str) -> replay.Course | None:
        """The course of the account in the target; None where the journal does not tell it."""
        line = self.plan.target.line_of(account)
        if line is None:  # it does not differ, or there was none
            head = layout.account_file(account, "whole_history")
            line = 0 if head in self.plan.removed else self.bank.end.seq
        return replay.course_of(self.bank, account, line)

    def _edited(self, account: str, edit: Edit) -> AccountState | None:
        make = past.edited(self.bank, account, edit)
        try:
            files = {one.path: digests.of(one.data) for one in make()}
        except AccountDamaged as error:
            raise Refused(
                f"{error.message}, so that no single message of it can be put back",
                path=error.path,
                hint=f"memorybank rollback --account {account} puts all of it back",
            ) from None
        state = AccountState(account, self.bank.end.seq, files, make, edit)
        self.plan.see(state)
        return state


def _once(data: bytes) -> Iterator[bytes]:
    yield data


def _spellings(one: str) -> set[bytes]:
    """How an id may stand in JSON."""
    return {dumps(one)[1:-1], json.dumps(one).encode()[1:-1]} if is_text(one) else set()


def _both(reader: Reader, path: str, now: bytes | None, then: bytes | None) -> tuple[Held, Held]:
    values = [loads(data) for data in (now, then) if data is not None]
    held = reader.held(path, *values)
    return (Held([]) if now is None else held[0], Held([]) if then is None else held[-1])


def _form(held: Held) -> str:
    """Whether a document is a list of records, one record, or members."""
    if held.holder is not None:
        return "list"
    return "record" if held.records and not held.records[0].pointer else "members"


def _is_single(hit: _Hit) -> bool:
    return all(not change.pointer for change in hit.changes)
