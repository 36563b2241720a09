"""Reading a secret from where it stands: a file, stdin, what a program prints, what a person typed."""

from __future__ import annotations

import codecs
import os
import shlex
import stat
from typing import NamedTuple

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed, UsageError, from_os_error
from memorybank_cli.base.ids import for_programs
from memorybank_cli.base.names import escape
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.keys import Secret

WAYS = ("password_file", "key_file", "password_command")
"""The settings that name a secret."""
COMMAND_TIMEOUT = 120.0
"""Seconds; the program may be asking a person."""
_LIMIT = 1 << 16


class Source(NamedTuple):
    """One way to a secret: which of `WAYS`, and its value."""

    name: str
    value: str


def read(context: Context, source: Source) -> Secret:
    """The secret that a source has. Raises UsageError for one that holds none, OperationFailed."""
    name, value = source
    if name == "password_command":
        return _passphrase(_output(value), f"what {escape(shlex.split(value)[0])} printed")
    data = _content(context, value)
    return keys.raw(data) if name == "key_file" else _passphrase(data, "stdin" if value == "-" else escape(value))


def typed_passphrase(text: str) -> Secret:
    """What a person typed, as a passphrase. Raises UsageError for nothing."""
    return Secret("passphrase", text.encode(errors="surrogateescape"))


def _passphrase(data: bytes, where: str) -> Secret:
    """A text without what editors and `echo` put around it: a byte order mark, one line end. Raises UsageError."""
    data = data.removeprefix(codecs.BOM_UTF8).removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise UsageError(f"there is no passphrase in {where}", hint="an empty one protects nothing")
    return Secret("passphrase", data)


def place_of(value: str) -> str:
    """The path that a setting or an option means."""
    return os.path.abspath(os.path.expanduser(value))


def _content(context: Context, value: str) -> bytes:
    with context.open_input("-" if value == "-" else place_of(value)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) and mode & 0o044 and value != "-":
            context.progress.note(f"others may read {escape(value)}: chmod 600 keeps the secret")
        data = file.read(_LIMIT + 1)
    if len(data) > _LIMIT:
        raise UsageError(f"{escape(value)} is too large to be a passphrase or a key")
    return data


def _output(command: str) -> bytes:
    """What a program prints. It is run without a shell; its arguments may be secret and stand in no message.

    Root works under the ids of the bank's owner, whose settings name the program: it gets no way back to root's.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise UsageError("password_command is no command line", hint="a program and its arguments, in quotes as needed")
    import subprocess  # 5 ms, and few need it

    name = escape(words[0])
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_TIMEOUT,
            check=False,
            **for_programs(os.environ),
        )
    except OSError as error:
        raise from_os_error(error, "cannot run the password command") from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(f"{name} printed no passphrase within {COMMAND_TIMEOUT:g} seconds") from None
    if done.returncode:
        raise OperationFailed(f"{name} ended with exit code {done.returncode} and gave no passphrase")
    return done.stdout
