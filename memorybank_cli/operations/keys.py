"""The keys of an encrypted repository: listing them, letting one more in, taking one away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import nobody_to_tell
from memorybank_cli.base.errors import Refused, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.words import counted
from memorybank_cli.operations import key_sources
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.repositories import open_repository, repository_path
from memorybank_cli.operations.secret_reading import Source
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.keys import Key, Unlocked
from memorybank_cli.snapshots.repository import Repository, explained, keys_at


@dataclass(frozen=True)
class KeyList:
    """The keys of a repository."""

    keys: tuple[Key, ...]
    repository: str

    def as_dict(self) -> dict[str, Any]:
        """For each key its name, kind (passphrase, raw, or null where it is damaged), when it was made, and damage."""
        return {"keys": [one._asdict() for one in self.keys], "repository": self.repository}

    def exit_code(self) -> int:
        """1 when a key file is damaged."""
        return 1 if any(one.damage for one in self.keys) else 0

    def summary(self) -> str:
        """How many, where."""
        damaged = sum(bool(one.damage) for one in self.keys)
        rest = f", {damaged} of them damaged" if damaged else ""
        return f"{counted(len(self.keys), 'key')} of {escape(self.repository)}{rest}"


@dataclass(frozen=True)
class KeyAdded:
    """The key that was added."""

    name: str
    kind: str
    repository: str

    def summary(self) -> str:
        """Its name, and what to do with it."""
        what = "passphrase" if self.kind == "passphrase" else "key file"
        return f"Key {self.name}: the new {what} opens {escape(self.repository)} from now on. Keep a copy elsewhere."


@dataclass(frozen=True)
class KeyRemoved:
    """The key that was removed, or would be, and those that are left."""

    name: str
    left: tuple[str, ...]
    repository: str
    dry_run: bool

    def summary(self) -> str:
        """What it means."""
        left = ", ".join(self.left)
        if self.dry_run:
            return f"Key {self.name} would be removed; what stays: {left}"
        return f"Key {self.name} is gone; what stays: {left}. It still opens copies of the repository made before."


def list_(bank: Bank, *, repo: RepoOption = None) -> KeyList:
    """List the keys of an encrypted repository.

    No key is needed for that.

    Exit codes:
        0   done
        1   a key file is damaged
        10  there is no repository yet
        13  it is not encrypted

    Examples:
        memorybank snapshot key list
    """
    path = repository_path(bank, repo)
    found = keys_at(path)
    if found is None:
        raise _no_keys(path)
    return KeyList(tuple(found), path)


def add(
    bank: Bank,
    *,
    name: Annotated[str, Option("what to call it; default: random digits", metavar="NAME")] = "",
    new_password_file: Annotated[str | None, Option("the new passphrase; - is stdin", metavar="FILE")] = None,
    new_key_file: Annotated[str | None, Option("the new raw key; a missing file is made", metavar="FILE")] = None,
    repo: RepoOption = None,
) -> KeyAdded:
    """Let one more key open the repository.

    Name the new one by an option, or type it at the terminal. Nothing is encrypted anew: all keys open the same.

    Exit codes:
        0   done
        2   the new passphrase is empty, or nobody can be asked for one
        12  the present key does not open the repository
        13  the name is taken, or the repository is not encrypted

    Examples:
        memorybank snapshot key add --name cron --new-key-file /etc/memorybank.key
        memorybank snapshot key add --key-file /etc/memorybank.key --new-password-file ./passphrase
    """
    given = {"password_file": new_password_file, "key_file": new_key_file}
    source = key_sources.one_of([Source(kind, value) for kind, value in given.items() if value])
    present = key_sources.named(bank)
    if source is not None and present is not None and source.value == present.value == "-":
        raise UsageError("stdin cannot hold both passphrases", hint="give one of them by a file")
    with open_repository(bank, repo) as repository:
        key = _key(repository)
        if source is None and bank.context.ask_secret is nobody_to_tell:
            hint = "give --new-password-file FILE or --new-key-file FILE"
            raise UsageError("there is nobody to ask for the new passphrase", hint=hint)
        secret = key_sources.new_secret(bank, source, repository.path)
        with explained("cannot add the key"):
            made = keys.add(repository.backend, repository.repo_id, key.master, secret, name)
        return KeyAdded(made, secret.kind, repository.path)


def remove(
    bank: Bank,
    name: Annotated[str, "the name of the key, as snapshot key list has it"],
    *,
    dry_run: Annotated[bool, Option("say what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> KeyRemoved:
    """Take a key away.

    Open the repository with a key that stays: so it is sure that one does. Who copied the repository
    before still reads the copy with the old key.

    Exit codes:
        0   done
        2   it needs a yes, and nobody can be asked
        10  there is no such key
        12  the key given does not open the repository
        13  it is the last key, or the one that opened the repository

    Examples:
        memorybank snapshot key remove cron --password-file ./passphrase --yes
    """
    with open_repository(bank, repo) as repository:
        key = _key(repository)
        keys.check_there(repository.backend, name)
        _check_stays(repository, key, name)
        if not dry_run:
            bank.context.ensure(f"Remove the key {name} of {repository.path}?", yes=yes)
            with explained("cannot remove the key"), repository.alone(bank.lock_timeout):
                keys.check_there(repository.backend, key.name)  # another process may have removed it meanwhile
                keys.remove(repository.backend, name)
        left = tuple(one.name for one in keys.listing(repository.backend) if one.name != name)
        return KeyRemoved(name, left, repository.path, dry_run)


def _check_stays(repository: Repository, key: Unlocked, name: str) -> None:
    if key.name != name:
        return
    if len(keys.listing(repository.backend)) == 1:
        raise Refused(
            f"{name} is the last key of {escape(repository.path)}: without it nothing could ever be restored",
            hint="memorybank snapshot key add lets another one in first",
        )
    raise Refused(
        f"{name} is the key that opened {escape(repository.path)} just now",
        hint="open it with the key that is to stay (--password-file or --key-file), so that it is sure that one does",
    )


def _key(repository: Repository) -> Unlocked:
    if repository.key is None:
        raise _no_keys(repository.path)
    return repository.key


def _no_keys(path: str) -> Refused:
    return Refused(
        f"the repository {escape(path)} is not encrypted and has no keys",
        hint="memorybank backup --encrypt --repo DIR makes an encrypted one in a new directory",
    )
