from __future__ import annotations

import errno

import pytest

from memorybank_cli.base import errors
from memorybank_cli.base.errors import MemorybankError, OperationFailed, from_os_error

CODES = {
    "MemorybankError": ("internal", 70),
    "UsageError": ("usage", 2),
    "OperationFailed": ("operation_failed", 3),
    "JournalDamaged": ("journal_damaged", 3),
    "NotOurs": ("not_ours", 3),
    "AccountDamaged": ("account_damaged", 3),
    "NotFound": ("not_found", 10),
    "BankNotFound": ("bank_not_found", 10),
    "SnapshotNotFound": ("snapshot_not_found", 10),
    "AccountNotFound": ("account_not_found", 10),
    "MessageNotFound": ("message_not_found", 10),
    "Locked": ("bank_locked", 11),
    "WrongKey": ("wrong_key", 12),
    "Refused": ("refused", 13),
    "CopiedBank": ("copied_bank", 13),
    "FormatMismatch": ("format_mismatch", 14),
}


def test_codes_are_the_contract() -> None:
    found = {
        name: (one.code, one.exit_code)
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, MemorybankError)
    }
    assert found == CODES


def test_a_hint_is_the_given_one_or_that_of_the_class() -> None:
    assert errors.Locked("busy").as_dict() == {
        "code": "bank_locked",
        "message": "busy",
        "hint": "wait for the other process, or give --lock-timeout SECONDS",
        "path": "",
    }
    error = errors.Locked("busy", hint="wait", path="/bank")
    assert (error.hint, error.path, str(error)) == ("wait", "/bank", "busy")
    assert errors.Locked.hint != "wait"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EPERM, "not permitted"),
        (errno.ELOOP, "a symbolic link stands there"),
        (errno.EISDIR, "a directory stands there"),
        (errno.EMFILE, "too many open files"),
    ],
)
def test_common_failures_come_with_advice(number: int, words: str) -> None:
    error = from_os_error(OSError(number, "as the system says", "/bank/x"), "cannot write")
    assert type(error) is OperationFailed
    assert error.message == f"cannot write: /bank/x: {words}"
    assert error.path == "/bank/x"
    assert error.hint


def test_a_temporary_file_is_named_by_what_it_was_to_become() -> None:
    error = OSError(errno.EACCES, "Permission denied", ".mb-0123", None, "/bank/x")
    assert from_os_error(error).path == "/bank/x"
    error.filename = "/bank/y"
    assert from_os_error(error).path == "/bank/y"


def test_other_failures_are_in_the_words_of_the_system() -> None:
    assert from_os_error(OSError(errno.EIO, "Input/output error")).message == "input/output error"
    assert from_os_error(OSError("odd")).message == "odd"
    error = from_os_error(OSError(errno.ENOENT, "No such file", b"a\xff"))
    assert (error.message, error.path) == ("a\\xff: no such file", "a\\xff")
    assert from_os_error(OSError(errno.EIO, "Bad", 7)).path == "7"
