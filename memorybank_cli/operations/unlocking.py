"""The key of an encrypted repository, derived by a second process while this one still loads its modules.

scrypt takes a tenth of a second, and that is its purpose; a command's own modules, and opening the bank, take as long.
So the process that derives it is the first thing that such a command starts. It guesses what will be opened from the
command line, the environment and the user's settings; its answer names the file of the passphrase that it read, and
whoever needs the key takes it only for that file. A wrong guess costs nothing but the time of a second processor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from memorybank_cli.bank.home import bank_id_at, directories, user_config
from memorybank_cli.base import workers
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.settings import Settings, flatten
from memorybank_cli.operations.secret_reading import WAYS, Source, place_of, read


class Begun(NamedTuple):
    """What the second process found."""

    file: str
    """Where the passphrase stands, as it was named."""
    repo_id: str
    """'' where there is no repository yet; then the two others are a fresh salt and what scrypt made with it."""
    name: str
    """Of the key that the passphrase opens."""
    key: str
    """The master key in hexadecimal."""


def begin(words: Sequence[str]) -> workers.Child | None:
    """Have the key derived for a command with these words, where a passphrase in a file is named for it.

    None where it is not, or where there is no second processor. What is wrong with any of it is not said here: the
    command comes upon it itself.
    """
    if not workers.are_two():
        return None
    with suppress(MemorybankError, OSError):
        given = {name: option(words, f"--{name.replace('_', '-')}") for name in (*WAYS, "repo", "bank")}
        settings = Settings(given, user=flatten(user_config(os.geteuid())))
        file, *others = (settings.look_up(way) for way in WAYS)
        # A pipe, as of `<(pass show bank)`, can be read once.
        named = file.value not in ("", "-") and os.path.isfile(place_of(file.value))
        if named and not any(other.value and other.origin != "user" for other in others):
            place = os.path.expanduser(given["repo"] or settings["repository"])
            return workers.Child(lambda: _derived(file.value, place, given["bank"]))
    return None


def taken(begun: workers.Child) -> Begun | None:
    """What the second process found, None for nothing; what reads and writes with the key is imported meanwhile."""
    import zstandard  # noqa: F401
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: F401

    found = begun.result()
    return Begun(*found) if found else None


def option(words: Sequence[str], name: str) -> str | None:
    """The value that a command line gives an option last, None without one."""
    value = None
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == name and place + 1 < len(words):
            value = words[place + 1]
        elif word.startswith(f"{name}="):
            value = word.partition("=")[2]
    return value


def _derived(file: str, place: str, bank: str | None) -> Begun | None:
    from memorybank_cli.operations.finding import find_bank
    from memorybank_cli.snapshots import keys
    from memorybank_cli.snapshots.repository import Repository, stands_at, unlocking

    context = Context(bank=bank)
    where = find_bank(context)
    owner = os.stat(where).st_uid
    if owner != os.geteuid():
        return None  # root reads as the owner what the owner names, and is not yet the owner here
    secret = read(context, Source(WAYS[0], file))
    place = place or os.path.join(directories(owner)["repositories"], bank_id_at(where))
    if not stands_at(place):
        return Begun(file, "", *(part.hex() for part in keys.derive(secret)))
    with Repository.open(place, unlock=unlocking(secret)) as repository:
        key = repository.key
    return Begun(file, repository.repo_id, key.name, key.master.hex()) if key is not None else None
