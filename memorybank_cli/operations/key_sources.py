"""Where the key of an encrypted repository comes from: a file, stdin, a program, or the person at the terminal.

No passphrase and no key is ever an argument, a log line or a part of a message.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import files, workers
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed, Refused, UsageError, WrongKey, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.settings import Origin
from memorybank_cli.base.walk import Root
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.keys import Secret, Unlocked
from memorybank_cli.snapshots.repository import is_inside

NAMES = ("password_file", "key_file", "password_command")
TRIES = 3
SHORT = 8
"""A new passphrase of fewer characters is told to be short."""
COMMAND_TIMEOUT = 120.0
"""Seconds; the program may be asking a person."""
NO_WAY_BACK = "Without its key nobody can restore anything from a repository: keep a copy of the key elsewhere."
_LIMIT = 1 << 16
_BEGUN = "begun"
"""Among what opened repositories: the process that derives a key."""
_BEGUN_NEW = "begun new"
"""The same for a repository that is to be made: the source, its secret, and the process."""
_STRENGTH: dict[Origin, int] = {"option": 3, "environment": 2, "user": 1}


class Source(NamedTuple):
    """One way to a secret: which of `NAMES`, and its value."""

    name: str
    value: str


def named(bank: Bank) -> Source | None:
    """The way that options name, else the environment, else the user's settings.

    Raises UsageError for two at once and for an empty option, which must not mean that there is no key; Refused for a
    program that somebody else's settings name.
    """
    values = {name: bank.settings.look_up(name) for name in NAMES}
    for name, one in values.items():
        if one.origin == "option" and not one.value:
            raise UsageError(f"--{name.replace('_', '-')} is empty", hint="an unset variable in a script?")
    found = [(_STRENGTH[one.origin], Source(name, one.value)) for name, one in values.items() if one.value]
    best = one_of([source for strength, source in found if strength == max(found)[0]])
    if best is not None and best.name == "password_command" and values[best.name].origin == "user":
        _check_own_settings(bank)
    return best


def is_named_now(bank: Bank) -> bool:
    """Whether an option or the environment names a key; settings may name one for another repository."""
    found = map(bank.settings.look_up, NAMES)
    return any(one.value and one.origin in ("option", "environment") for one in found)


def _check_own_settings(bank: Bank) -> None:
    """The user's settings are those of the bank's owner, who may be another user whose bank is trusted."""
    if bank.owner != os.geteuid():
        raise Refused(
            f"the settings of uid {bank.owner} name a password_command, which is not run for anybody else",
            hint="name a key yourself: --password-file, --key-file or --password-command",
        )


def one_of(sources: list[Source]) -> Source | None:
    """The only source, None without any. Raises UsageError for several."""
    if len(sources) > 1:
        words = " and ".join(source.name.replace("_", "-") for source in sources)
        raise UsageError(f"{words} were given together", hint="give the one that is meant")
    return sources[0] if sources else None


def read(context: Context, source: Source) -> Secret:
    """The secret that a source has. Raises UsageError for one that holds none, OperationFailed."""
    name, value = source
    if name == "password_command":
        return _passphrase(_output(value), f"what {escape(shlex.split(value)[0])} printed")
    data = _content(context, value)
    return keys.raw(data) if name == "key_file" else _passphrase(data, "stdin" if value == "-" else escape(value))


def unlocked(bank: Bank, backend: Backend, repo_id: str, *, ask: bool = True) -> Unlocked:
    """What opens a repository: by what was named, else by asking unless `ask` is false; once in a run.

    Raises WrongKey, UsageError where there is nobody to ask, OperationFailed.
    """
    kept: dict[str, Unlocked] = bank.context.unlocked
    begun: workers.Child | None = bank.context.unlocked.pop(_BEGUN, None)
    if begun is not None and (found := _waited(begun)):
        by_id, name, master = found
        kept[by_id] = Unlocked(name, bytes.fromhex(master))
    if repo_id not in kept:
        source = named(bank)
        if source is not None:
            kept[repo_id] = keys.unlock(backend, repo_id, read(bank.context, source))
        elif ask:
            kept[repo_id] = _asked(bank.context, backend, repo_id)
        else:
            raise WrongKey(
                f"the repository {escape(backend.place)} is encrypted and no key is named",
                hint="memorybank config set password_file FILE, or key_file FILE, names one for all commands",
                path=backend.place,
            )
    return kept[repo_id]


def begin(bank: Bank, unlock: Callable[[], tuple[str, Unlocked | None]]) -> None:
    """Have a second process derive the key from the passphrase in a file, if that is how: `unlocked` takes its result.

    It takes a tenth of a second, for which other work need not wait. `unlock` opens the repository and gives its id and
    its key; where it fails, `unlocked` finds the same and says so.
    """

    def work() -> tuple[str, str, str] | None:
        repo_id, key = unlock()
        return (repo_id, key.name, key.master.hex()) if key is not None else None

    if _file_of_passphrase(bank) is not None:
        bank.context.unlocked[_BEGUN] = workers.Child(work)


def begin_new(bank: Bank) -> None:
    """The same for a repository that is to be made: `new_secret` takes its result. Raises what `read` does."""
    source = _file_of_passphrase(bank)
    if source is not None:
        secret = read(bank.context, source)
        child = workers.Child(lambda: [part.hex() for part in keys.derive(secret)])
        bank.context.unlocked[_BEGUN_NEW] = source, secret, child


def _file_of_passphrase(bank: Bank) -> Source | None:
    """The file that names a passphrase, where there is a processor for deriving its key beside other work."""
    source = named(bank)
    there = source is not None and source.name == "password_file" and source.value != "-"
    return source if there and workers.are_two() else None


def _waited(child: workers.Child) -> Any:
    """What a process found that derives a key; what reads and writes with the key is imported meanwhile."""
    import zstandard  # noqa: F401
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: F401

    return child.result()


def _asked(context: Context, backend: Backend, repo_id: str) -> Unlocked:
    kinds = {key.kind for key in keys.listing(backend)}
    if "raw" in kinds and "passphrase" not in kinds:
        raise UsageError(
            f"the repository {escape(backend.place)} opens with a key file only, and none is named",
            hint="give --key-file FILE; memorybank config set key_file FILE names it once and for all",
        )
    left = TRIES
    while True:
        typed = context.ask_secret(f"Passphrase of {escape(backend.place)}")
        try:
            return keys.unlock(backend, repo_id, typed_passphrase(typed))
        except WrongKey as error:
            left -= 1
            if not left:
                raise
            context.progress.note(error.message)


def new_secret(bank: Bank, source: Source | None, place: str) -> Secret:
    """A secret that shall open the repository at `place` from now on: what is named, else asked for twice.

    A key file that is named and not there is made, 0600. Raises UsageError, Refused, OperationFailed.
    """
    if source is None:
        return _asked_twice(bank.context, place)
    if source.name == "key_file" and source.value != "-" and not os.path.lexists(_place(source.value)):
        _make_key_file(bank, _place(source.value), place)
    begun: tuple[Source, Secret, workers.Child] | None = bank.context.unlocked.pop(_BEGUN_NEW, None)
    if begun is None or begun[0] != source:
        return _weighed(bank.context, read(bank.context, source))
    _, secret, child = begun
    if found := _waited(child):
        salt, key = map(bytes.fromhex, found)
        secret = replace(secret, derived=(salt, key))
    return _weighed(bank.context, secret)


def _asked_twice(context: Context, place: str) -> Secret:
    context.progress.note(NO_WAY_BACK)
    typed = context.ask_secret(f"New passphrase for {escape(place)}")
    secret = typed_passphrase(typed)
    if context.ask_secret("The same again") != typed:
        raise UsageError("the two passphrases differ; nothing was changed")
    return _weighed(context, secret)


def _weighed(context: Context, secret: Secret) -> Secret:
    """A new secret, with a word about a passphrase that can be guessed."""
    if secret.kind == "passphrase" and len(secret.value.decode(errors="replace")) < SHORT:
        context.progress.note(f"the passphrase is short; one of {SHORT} or more characters is harder to guess")
    return secret


def _make_key_file(bank: Bank, path: str, repository: str) -> None:
    for what, directory in (("bank, where agents read it", bank.root.path), ("repository that it opens", repository)):
        if os.path.isdir(directory) and is_inside(path, directory):
            raise Refused(f"the key file {escape(path)} would lie in the {what}", hint="name another place")
    root = Root(os.path.dirname(path))
    try:
        files.create(root, escape(os.path.basename(path)), keys.new_raw_key())
    except OSError as error:
        raise from_os_error(error, "cannot make the key file") from error
    finally:
        root.close()
    bank.context.progress.note(f"a new key was made: {escape(path)}. {NO_WAY_BACK}")


def typed_passphrase(text: str) -> Secret:
    """What a person typed, as a passphrase. Raises UsageError for nothing."""
    return Secret("passphrase", text.encode(errors="surrogateescape"))


def _passphrase(data: bytes, where: str) -> Secret:
    """A text without its one line feed at the end, which editors and `echo` put there. Raises UsageError."""
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise UsageError(f"there is no passphrase in {where}", hint="an empty one protects nothing")
    return Secret("passphrase", data)


def _place(value: str) -> str:
    return os.path.abspath(os.path.expanduser(value))


def _content(context: Context, value: str) -> bytes:
    with context.open_input("-" if value == "-" else _place(value)) as file:
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
    ours = (os.getuid(), os.getgid()) == (os.geteuid(), os.getegid())
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            user=None if ours else os.geteuid(),
            group=None if ours else os.getegid(),
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise from_os_error(error, "cannot run the password command") from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(f"{name} printed no passphrase within {COMMAND_TIMEOUT:g} seconds") from None
    if done.returncode:
        raise OperationFailed(f"{name} ended with exit code {done.returncode} and gave no passphrase")
    return done.stdout
