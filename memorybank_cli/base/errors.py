"""Every error that reaches a person, with the exit code it ends in.

    MemorybankError                 70 internal
    ├── UsageError                   2 usage
    ├── OperationFailed              3 operation_failed
    │   ├── JournalDamaged           3 journal_damaged
    │   ├── AccountDamaged           3 account_damaged
    │   └── NotOurs                  3 not_ours
    ├── NotFound                    10 not_found
    │   ├── BankNotFound            10 bank_not_found
    │   ├── SnapshotNotFound        10 snapshot_not_found
    │   ├── AccountNotFound         10 account_not_found
    │   └── MessageNotFound         10 message_not_found
    ├── Locked                      11 bank_locked
    ├── WrongKey                    12 wrong_key
    ├── Refused                     13 refused
    │   └── CopiedBank              13 copied_bank
    └── FormatMismatch              14 format_mismatch

`code` is the stable name in JSON; `exit_code` is one of `base.exits`.
"""

from __future__ import annotations

import errno
import os

from memorybank_cli.base import exits


class MemorybankError(Exception):
    """A failure that is explained to the user: what happened, to which path, what to do next."""

    code = "internal"
    exit_code = exits.INTERNAL
    hint = ""

    def __init__(self, message: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.hint
        self.path = path

    def as_dict(self) -> dict[str, str]:
        """The `error` object of `--json`."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "path": self.path}


class UsageError(MemorybankError):
    """The command was called in a way it does not understand."""

    code, exit_code = "usage", exits.USAGE


class OperationFailed(MemorybankError):
    """The operation could not be carried out: I/O, disk full, permission."""

    code, exit_code = "operation_failed", exits.FAILED


class JournalDamaged(OperationFailed):
    """The journal is broken or cut short, so nothing may be written on top of it."""

    code = "journal_damaged"
    hint = "memorybank log --verify shows the place; memorybank repair starts a new segment that names the gap"


class AccountDamaged(OperationFailed):
    """An account's history cannot be had whole from its files and the journal as they are."""

    code = "account_damaged"


class NotOurs(OperationFailed):
    """The bank belongs to somebody else."""

    code = "not_ours"


class NotFound(MemorybankError):
    """Nothing by that name."""

    code, exit_code = "not_found", exits.NOT_FOUND


class BankNotFound(NotFound):
    """No bank here or above."""

    code = "bank_not_found"
    hint = "memorybank init makes one; --bank PATH names one elsewhere"


class SnapshotNotFound(NotFound):
    """No snapshot by that name."""

    code = "snapshot_not_found"
    hint = "memorybank snapshot list shows what there is; memorybank backup makes one"


class MessageNotFound(NotFound):
    """The account never had such a message."""

    code = "message_not_found"


class AccountNotFound(NotFound):
    """No account by that name."""

    code = "account_not_found"
    hint = "memorybank account create ID makes one"


class Locked(MemorybankError):
    """Another process holds the lock."""

    code, exit_code = "bank_locked", exits.LOCKED
    hint = "wait for the other process, or give --lock-timeout SECONDS"


class WrongKey(MemorybankError):
    """The key, passphrase or signature does not fit."""

    code, exit_code = "wrong_key", exits.WRONG_KEY


class Refused(MemorybankError):
    """Carrying this out would lose data."""

    code, exit_code = "refused", exits.REFUSED


class CopiedBank(Refused):
    """The bank is a copy: the original with the same id still stands elsewhere."""

    code = "copied_bank"
    hint = "memorybank init --new-id makes the copy a bank of its own"


class FormatMismatch(MemorybankError):
    """The bank's format is not the one this program writes."""

    code, exit_code = "format_mismatch", exits.FORMAT
    hint = "a newer bank needs a newer memorybank; an older one is brought up to date by memorybank migrate"


_ADVICE = {
    errno.ENOSPC: ("the disk is full", "free some space and run it again; nothing acknowledged was lost"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run it again"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or copy the bank elsewhere"),
    errno.EACCES: ("permission denied", "check the owner and the mode of the path"),
    errno.EPERM: ("not permitted", "check the owner and the mode of the path"),
    errno.ELOOP: ("a symbolic link stands there", "remove it, or replace it with the file itself: it is not followed"),
    errno.EISDIR: ("a directory stands there", "move it away"),
    errno.EMFILE: ("too many open files", "raise ulimit -n"),
}


def from_os_error(error: OSError, doing: str = "") -> OperationFailed:
    """An OSError in words: what was being done, to which file, and what to do."""
    number = error.errno or 0
    what, hint = _ADVICE.get(number, ((error.strerror or str(error)).lower(), ""))
    name = error.filename
    if error.filename2 and not os.path.isabs(name):  # a temporary file that was to become this one
        name = error.filename2
    path = name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name or "")
    message = ": ".join(part for part in (doing, path, what) if part)
    return OperationFailed(message, hint=hint, path=path)
