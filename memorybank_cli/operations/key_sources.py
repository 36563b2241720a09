"""Where the key of an encrypted repository comes from: a file, stdin, a program, or the person at the terminal.

No passphrase and no key is ever an argument, a log line or a part of a message.
"""

from __future__ import annotations

import os
from dataclasses import replace

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import files
from memorybank_cli.base.context import BEGUN, Context
from memorybank_cli.base.errors import Refused, UsageError, WrongKey, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.settings import Origin
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.secret_reading import WAYS, Source, place_of, read, typed_passphrase
from memorybank_cli.operations.unlocking import Begun, taken
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.keys import Secret, Unlocked
from memorybank_cli.snapshots.repository import is_inside

TRIES = 3
SHORT = 8
"""A new passphrase of fewer characters is told to be short."""
NO_WAY_BACK = "Without its key nobody can restore anything from a repository: keep a copy of the key elsewhere."
_STRENGTH: dict[Origin, int] = {"option": 3, "environment": 2, "user": 1}


def named(bank: Bank) -> Source | None:
    """The way that options name, else the environment, else the user's settings.

    Raises UsageError for two at once and for an empty option, which must not mean that there is no key; Refused for a
    program that somebody else's settings name.
    """
    values = {name: bank.settings.look_up(name) for name in WAYS}
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
    found = map(bank.settings.look_up, WAYS)
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


def unlocked(bank: Bank, backend: Backend, repo_id: str, *, ask: bool = True) -> Unlocked:
    """What opens a repository: by what was named, else by asking unless `ask` is false; once in a run.

    Raises WrongKey, UsageError where there is nobody to ask, OperationFailed.
    """
    kept: dict[str, Unlocked] = bank.context.unlocked
    if repo_id not in kept:
        source = named(bank)
        begun = _begun(bank, source)
        if begun is not None and begun.repo_id == repo_id:
            kept[repo_id] = Unlocked(begun.name, bytes.fromhex(begun.key))
        elif source is not None:
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


def _begun(bank: Bank, source: Source | None) -> Begun | None:
    """What was derived already from the passphrase that is named, as far as it was; asked for once in a run."""
    child = bank.context.unlocked.pop(BEGUN, None)
    if child is None or source is None:
        return None
    found = taken(child)
    return found if found is not None and source == Source(WAYS[0], found.file) else None


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
    if source.name == "key_file" and source.value != "-" and not os.path.lexists(place_of(source.value)):
        _make_key_file(bank, place_of(source.value), place)
    secret, begun = read(bank.context, source), _begun(bank, source)
    if begun is not None and not begun.repo_id:
        secret = replace(secret, derived=(bytes.fromhex(begun.name), bytes.fromhex(begun.key)))
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
