"""The monthly audit: the keys of the repository, and who else may read or write what belongs to the bank outside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from shlex import quote

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.home import directories
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.errors import NotFound
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.operations.probes import permissions
from memorybank_cli.operations.repositories import repository_path
from memorybank_cli.snapshots.repository import keys_at

NEWS = frozenset({"MB304", "MB308", "MB309", "MB563", "MB564"})
"""What the daily look does not tell of."""
_ANYBODY, _ALL_OTHERS = 0o007, 0o077


def audited(bank: Bank, repo: str | None) -> tuple[int, list[Finding]]:
    """How many places were looked at, and MB303 to MB309, MB563, MB564. Raises OperationFailed for a repository."""
    path = repository_path(bank, repo)
    places = list(_places(bank, path))
    found = [one for place, mask in places for one in _place(bank, place, mask)]
    return len(places), [*permissions(bank), *_changed(bank), *found, *_keys(path)]


def _changed(bank: Bank) -> list[Finding]:
    """MB304, MB308, MB309: modes, owners and groups that are not those that were recorded or first seen."""
    with closing(EventStore(bank.root)) as store:
        known = Permissions(bank, store, keep=False)
        Scanner(bank, bank.context.progress, known.hear).run()
        return known.findings()


def _places(bank: Bank, repository: str) -> Iterator[tuple[str, int]]:
    """Where something of the bank lies, and the bits of a mode that must not be set there."""
    config = directories(bank.owner)["config"]
    shared = _ANYBODY if bank.document.get("group") else _ALL_OTHERS
    yield bank.root.absolute(layout.PRIVATE), shared
    yield bank.home.root.path, _ALL_OTHERS
    yield repository, shared
    for name in ("config.json", "alerts.json"):
        yield os.path.join(config, name), _ALL_OTHERS & ~0o044 if name == "config.json" else _ALL_OTHERS
    for name in ("password_file", "key_file"):
        if bank.settings[name] not in ("", "-"):
            yield bank.settings[name], _ALL_OTHERS


def _place(bank: Bank, path: str, mask: int) -> Iterator[Finding]:
    """MB563 for one place; none where nothing is."""
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    name = escape(path)
    if info.st_uid not in (bank.owner, 0):
        message = f"{name} belongs to uid {info.st_uid}, not to the owner of the bank"
        yield Finding("MB563", message, "", f"chown -R {bank.owner} {quote(name)}", f"/owner/{name}")
    if info.st_mode & mask:
        mode = f"{stat.S_IMODE(info.st_mode):04o}"
        what = "written" if info.st_mode & mask & 0o022 else "read"
        bits = "go-rwx" if mask == _ALL_OTHERS else "o-rwx" if mask == _ANYBODY else "go-w"
        message = f"{name} may be {what} by other users (mode {mode})"
        yield Finding("MB563", message, "", f"chmod {bits} {quote(name)}", f"/mode/{name}")


def _keys(repository: str) -> Iterator[Finding]:
    """MB564: keys of an encrypted repository that are damaged, and a key that is the only one."""
    try:
        keys = keys_at(repository)
    except NotFound:
        return
    for one in keys or ():
        if one.damage:
            hint = f"memorybank snapshot key remove {one.name}, once another key opens the repository"
            yield Finding("MB564", f"the key {one.name} is damaged: {one.damage}", "", hint, f"/keys/{one.name}")
    if keys is not None and sum(not one.damage for one in keys) == 1:
        message = f"the repository {escape(repository)} has only one key: who loses it loses every snapshot"
        yield Finding("MB564", message, "", "memorybank snapshot key add --name spare --new-key-file FILE", "/keys")
