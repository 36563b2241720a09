"""A schedule as a marked block in the owner's crontab; lines outside the marks stay byte for byte."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from shlex import quote

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.operations.programs import checked, run
from memorybank_cli.operations.schedule_times import JOBS, SAMPLES_EVERY, minute

_BEGIN = "# >>> memorybank {} >>>"
_END = "# <<< memorybank {} <<<"
_NONE = ("no crontab", "no such file")


def lines(bank_id: str, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> list[str]:
    """The block for a bank: `commands` are the words by job, `samples` and `missed` among them.

    Raises OperationFailed for words that no crontab can hold.
    """
    times = {name: row.cron for name, row in JOBS.items()}
    times |= {"samples": f"*/{SAMPLES_EVERY} * * * *", "missed": f"{minute(bank_id)} * * * *"}
    setting = [f"{name}={quote(value)}" for name, value in environment.items()]
    return [
        _BEGIN.format(bank_id),
        "# Written by `memorybank schedule install`; `memorybank schedule remove` takes it away.",
        *(f"{times[job]} {_escaped(' '.join([*setting, *map(quote, words)]))}" for job, words in commands.items()),
        _END.format(bank_id),
    ]


def _escaped(command: str) -> str:
    """A command as a crontab takes it: an unescaped percent sign would end it, and no line can be continued."""
    if not command.isprintable() or "\\" in command:
        raise OperationFailed(
            f"no crontab can hold the path in '{escape(command)}'",
            hint="move the bank, or use memorybank schedule install --systemd",
        )
    return command.replace("%", "\\%")


def read() -> bytes:
    """The crontab as it is; empty where there is none. Raises OperationFailed: then nothing is known of it."""
    done = run(["crontab", "-l"])
    if done.code == 0:
        return done.out
    if any(word in done.errors.lower() for word in _NONE):
        return b""
    raise OperationFailed(f"the crontab cannot be read: {escape(done.errors) or f'exit code {done.code}'}")


def block(text: bytes, bank_id: str) -> bytes:
    """The bank's block in a crontab, b'' where it has none."""
    return b"".join(found[0] for found in _pattern(text, bank_id).finditer(text))


def with_block(text: bytes, bank_id: str, wanted: Sequence[str]) -> bytes:
    """A crontab in which the block of a bank is this one, in the place of the old one; no lines: without it."""
    new = "".join(f"{line}\n" for line in wanted).encode()
    pattern = _pattern(text, bank_id)
    found = pattern.search(text)
    if found is None:
        return text + (b"\n" if text and not text.endswith(b"\n") else b"") + new if new else text
    return pattern.sub(b"", text[: found.start()]) + new + pattern.sub(b"", text[found.end() :])


def _pattern(text: bytes, bank_id: str) -> re.Pattern[bytes]:
    begin, end = (mark.format(bank_id).encode() for mark in (_BEGIN, _END))
    whole = re.compile(rb"^" + re.escape(begin) + rb"\n.*?^" + re.escape(end) + rb"(?:\n|\Z)", re.MULTILINE | re.DOTALL)
    blocks, found = len(whole.findall(text)), text.splitlines()
    if not blocks == found.count(begin) == found.count(end):
        raise OperationFailed(
            "the block of this bank in the crontab has lost one of its marks, so nobody knows what else is in it",
            hint=f"crontab -e, then take out the lines from '{begin.decode()}' on",
        )
    return whole


def write(before: bytes, text: bytes) -> None:
    """Put a crontab in the place of the one that was read. Raises OperationFailed where that changed meanwhile."""
    if text == before:
        return
    if read() != before:
        raise OperationFailed("somebody else changed the crontab just now; nothing was written", hint="run it again")
    if text.strip():
        checked(["crontab", "-"], text)
    else:
        checked(["crontab", "-r"])
