"""What an account's context was before the lines laid over it: by its file as recorded, else by the journal."""

from __future__ import annotations

from collections.abc import Callable

from memorybank_cli.accounts import contexts, replay
from memorybank_cli.accounts.contexts import NEVER, Laid, State
from memorybank_cli.accounts.recorded import recorded_at
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.following import RENDERED
from memorybank_cli.bank.layout import account_file
from memorybank_cli.bank.rows import Expected
from memorybank_cli.base import digests


def base_of(bank: Bank, account: str, created_at: str, upto: int, find: Callable[[str, str], bytes | None]) -> State:
    """The context as its file showed it by line `upto`. `find` gives the bytes that a path had under a digest.

    Where the file is not what was recorded the journal tells; where that lost it, the state is not whole.
    """
    path = account_file(account, "history_context")
    expected, data = bank.catalog.row(path).expected, bank.root.content(path)
    if expected is None or expected.seq <= upto:
        sha, seq = (expected.sha, expected.seq) if expected else (None, upto)
    elif (same := _rendered_since(bank, expected, data, upto)) is not None:
        return same
    else:
        sha, seq = recorded_at(bank, path, upto)
    if sha is None:
        data = data if bank.is_empty else None
    elif data is None or digests.of(data) != sha:
        data = find(path, sha)
    if data is not None:
        try:
            return contexts.parsed(data)
        except ValueError:
            pass  # somebody else's, adopted when the bank was made
    state = _from_journal(bank, account, seq if sha else upto)
    right = sha is None or digests.of(contexts.rendered(account, created_at, state)) == sha
    return state if right else state._replace(whole=False)


def _rendered_since(bank: Bank, expected: Expected, data: bytes | None, upto: int) -> State | None:
    """What a file shows that somebody rendered after line `upto`, where no later line changed the context."""
    line = next(bank.journal.lines(expected.seq - 1), None)
    if data is None or digests.of(data) != expected.sha or line is None or line.op != RENDERED:
        return None
    state = contexts.parsed(data)
    return state if 0 < state.seq <= upto else None


def _from_journal(bank: Bank, account: str, upto: int) -> State:
    course, laid = replay.course_of(bank, account, upto), Laid()
    for line in replay.lines_about(bank, course.names, 0, upto) if course else ():
        if course is None or line not in course:
            continue
        if line.op == replay.CREATED:
            laid.begin(line)
        elif replay.is_summary(line):
            laid.lay(line)
    return laid.state(lambda: NEVER)
