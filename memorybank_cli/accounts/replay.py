"""The journal's lines that make up an account's history, past the parts that a rollback took back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts.contexts import SUMMARY
from memorybank_cli.accounts.history import Capacity, History, Message, capacity_of
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Forgotten
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import is_id

STORED = "record.stored"
CREATED = "account.created"
CONFIGURED = "account.configured"
FORGOTTEN = "record.forgotten"
"""What a line that stored a message is read as after that was forgotten: only its position is left."""
PUT_BACK = "account.put_back"
"""What a restore in the course of a history is read as: the files were made anew by then."""
RESTORED = "restore.end"
_RESTORE = b'"op":"restore.end"'
_ABOUT = frozenset({CREATED, CONFIGURED})


def lines_about(bank: Bank, account: str | Collection[str], after: int, upto: int) -> Iterator[Line]:
    """Lines after `after`, up to `upto`, that change the account's history: made, configured, stored, restored.

    Of an account that was renamed all its names are given. A message that was forgotten comes as `FORGOTTEN`, of an
    account that was forgotten nothing; a message whose content was dropped because a sealed segment has it is given
    without.
    """
    gone: Forgotten | None = None
    names = (account,) if isinstance(account, str) else tuple(account)
    for line in bank.journal.lines(after, (*(b'"account":' + dumps(name) for name in names), _RESTORE)):
        if line.seq > upto:
            return
        if line.op == RESTORED:
            if any(name in line.core.get("accounts", ()) for name in names):
                yield line
        elif line.core.get("account") in names and (line.op in _ABOUT or is_message(line) or is_summary(line)):
            if line.data is None and is_message(line):
                gone = gone or Forgotten(bank, line.seq)
                if (found := gone.of(line)) is not None:
                    at, subject = found
                    if not subject.whole:
                        told = {"op": FORGOTTEN, "at": at, "size": subject.sizes.get(str(line.core["record"]), 0)}
                        yield line._replace(core={**line.core, **told})
                    continue
            yield line


def is_message(line: Line) -> bool:
    """Whether a line stores a message, also where its content was dropped."""
    return line.op == STORED and line.core.get("kind") == "message"


def is_summary(line: Line) -> bool:
    """Whether a line stores a summary of messages, also where its content was dropped."""
    return line.op == STORED and line.core.get("kind") == SUMMARY


def whole(bank: Bank, account: str, upto: int, edit: Edit | None = None) -> Iterator[Line]:
    """The lines that make up the account's whole history as of line `upto`, without what was taken back.

    With `edit` as they would be after it. Raises AccountDamaged where the journal does not hold it from the beginning.
    """
    course = course_of(bank, account, upto)
    if course is not None and edit is not None:
        course = course.after(upto, edit)
    begun = False
    for line in lines_about(bank, course.names, 0, upto) if course else ():
        if course is None or (line.op != RESTORED and line not in course):
            continue
        if line.op == RESTORED:  # where it led stands in the course
            if begun and line.seq in course.restores:
                yield line._replace(core={**line.core, "op": PUT_BACK})
            continue
        if not begun and line.op != CREATED:
            break
        begun = True
        yield line
    if not begun:
        raise not_whole(account)


class Edit(NamedTuple):
    """Lines of single messages that a restore put back among the others, and lines that it took out."""

    taken: frozenset[int]
    dropped: frozenset[int]


class _Level(NamedTuple):
    """Lines after `after` and up to `upto` count; of the earlier ones those that `edit` names are settled by it."""

    after: int
    upto: int
    edit: Edit
    account: str
    """What the account was called then."""


class Course:
    """Which lines of the journal make up a history: all but for those that restores took back.

    Under each name that the account had until it was renamed.
    """

    def __init__(self, levels: Iterable[_Level]) -> None:
        self._levels = tuple(levels)

    @property
    def restores(self) -> frozenset[int]:
        """The lines of the restores that led to it."""
        return frozenset(level.after for level in self._levels)

    @property
    def names(self) -> frozenset[str]:
        """What the account was ever called."""
        return frozenset(level.account for level in self._levels)

    @property
    def reach(self) -> dict[str, int]:
        """What the account was ever called, with the last line that counts under each name."""
        found: dict[str, int] = {}
        for level in self._levels:
            found[level.account] = max(level.upto, found.get(level.account, 0))
        return found

    def __contains__(self, line: Line) -> bool:
        for level in self._levels:
            if line.seq > level.after:
                return line.seq <= level.upto and line.core.get("account") == level.account
            if line.seq in level.edit.taken or line.seq in level.edit.dropped:
                return line.seq in level.edit.taken
        return False

    def after(self, seq: int, edit: Edit) -> Course:
        """The course as it would be if a restore after line `seq` made an edit."""
        return Course((_Level(seq, seq, edit, self._levels[0].account), *self._levels))


NO_EDIT = Edit(frozenset(), frozenset())


def course_of(bank: Bank, account: str, upto: int) -> Course | None:
    """The course of an account's history up to a line: a restore goes on from the line that it names.

    An account that was renamed goes on from what it was called before. None where a restore on the way put something
    in place that no lines of the journal make up.
    """
    restores = [
        (line.seq, line.core)
        for line in bank.journal.lines(0, (_RESTORE,))
        if line.op == RESTORED and line.seq <= upto and line.core.get("accounts")
    ]
    levels = []
    for seq, core in reversed(restores):
        if seq > upto or account not in core["accounts"]:
            continue  # it is about others, or was itself taken back
        edit = _edit(core, account)
        if edit is None:
            return None
        levels.append(_Level(seq, upto, edit, account))
        upto = min(int(core["accounts"][account]), seq - 1)
        account = former_name(core, account)
    return Course([*levels, _Level(0, upto, NO_EDIT, account)])


def former_name(core: dict[str, Any], account: str) -> str:
    """What an account was called before the line of a restore; the same unless it renamed the account."""
    renamed = core.get("renamed")
    found = renamed.get(account) if isinstance(renamed, dict) else None
    return found if isinstance(found, str) and is_id(found) else account


def _edit(core: dict[str, Any], account: str) -> Edit | None:
    edits = core.get("edits")
    if not isinstance(edits, dict) or account not in edits:
        return NO_EDIT
    found = edits[account]
    if not isinstance(found, dict):
        return None
    lists = [found.get(name) for name in ("take", "drop")]
    if not all(isinstance(one, list) and all(type(seq) is int for seq in one) for one in lists):
        return None
    return Edit(*(frozenset(one or ()) for one in lists))


def follow(history: History, line: Line) -> None:
    """Lay one line over a history. Raises AccountDamaged for a message whose content the journal does not hold."""
    moment = str(line.core["ts"])
    if line.op == CREATED:
        if not history.exists:
            history.created_at = moment
            history.laid.begin(line)
            history.configure(capacity_in(line) or Capacity(), line.seq, moment)
    elif line.op == CONFIGURED:
        history.configure(capacity_in(line) or history.capacity, line.seq, moment)
        history.failing = history.failing and line.core.get("accepted") is not True
    elif is_summary(line):
        history.laid.lay(line)
    elif line.op == PUT_BACK:
        history.put_back(line.seq)
    elif line.op == FORGOTTEN:
        history.skip(line.core["size"], line.core["at"], line.seq, moment)
    elif line.data is None:
        raise not_whole(history.account)
    else:
        history.add(line.data, line.seq, moment)


def configured(bank: Bank, account: str, upto: int) -> Capacity:
    """The sizes of an account's windows as of a line, by the journal; the usual ones where it says none."""
    found = Capacity()
    for line in bank.journal.lines(0, (b'"capacity":',)):
        if line.seq <= upto and line.op in _ABOUT and line.core.get("account") == account:
            found = capacity_in(line) or found
    return found


def capacity_in(line: Line) -> Capacity | None:
    """The sizes of the windows that a line sets, None where it sets none."""
    return capacity_of(line.core.get("capacity"))


def messages(bank: Bank, account: str, upto: int) -> Iterator[Message]:
    """Every message as of line `upto`, from the journal alone, with its position. Raises AccountDamaged."""
    position = 0
    for line in whole(bank, account, upto):
        if is_message(line):
            if line.data is None:
                raise not_whole(account)
            position += 1
            yield {**line.value, "seq": position}
        elif line.op == FORGOTTEN:
            position += 1


def check_unbroken(bank: Bank, account: str, upto: int) -> None:
    """Raise AccountDamaged unless every line from the account's first one to line `upto` is there."""
    first = next(lines_about(bank, account, 0, upto), None)
    expected = 0 if first is None else first.seq
    for line in bank.journal.lines(expected - 1) if first else ():
        if line.seq != expected:
            break
        if line.seq >= upto:
            return
        expected += 1
    raise not_whole(account)


def not_whole(account: str, path: str = "") -> AccountDamaged:
    """What is raised where neither the files nor the journal give the history."""
    path = path or account_file(account, "whole_history")
    return AccountDamaged(
        f"{path} is damaged, and the journal does not hold all of it", path=path, hint=f"memorybank repair {path}"
    )
