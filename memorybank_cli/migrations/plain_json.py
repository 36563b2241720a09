"""Importer of plain folders of JSON: the directory decides a document's section, or what it holds.

What stands below a directory called like a section, however deep, belongs there. Else trades go to trades/, metrics to
metrics/, and everything else is state. Lists of {role, content} become an account's messages. Files keep their bytes,
unless they name another file of the folder by its path: then by its new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.damage import diagnose
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import unescape
from memorybank_cli.base.walk import DEEPEST
from memorybank_cli.migrations.account_names import AccountNames
from memorybank_cli.migrations.conversations import Conversation
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.kinds import Kind, beginning, kind_of
from memorybank_cli.migrations.naming import Names
from memorybank_cli.migrations.pieces import encoding
from memorybank_cli.migrations.references import update
from memorybank_cli.migrations.source import Source

NAME = "plain_json"
TITLE = "folders of JSON files"

_ENDING = ".json"
_GENERIC = frozenset({"chat", "chat_history", "conversation", "history", "messages"})
"""Names of files that say nothing of whose messages they hold; the directory does."""
_SECTIONS: tuple[Kind, ...] = ("trades", "metrics", "state")
_MARKED = "documents with a byte order mark were written anew as UTF-8 without one"


def score(source: Source) -> int:
    """Low: every other importer knows more."""
    return 10 if any(takes(source, path) for path in source.paths) else 0


def takes(source: Source, path: str) -> bool:  # noqa: ARG001 - importers are called alike
    """Every file with the name of a JSON document."""
    return path.endswith(_ENDING)


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """All documents; they are looked at twice: once for their kind, and then with the new place of each other known."""
    registry, places = Registry(), _Places(source)
    kinds = {path: _kind(source, path, registry) for path in paths}
    files = sorted((path for path, kind in kinds.items() if kind != "messages"), key=lambda one: not _stays(one, kinds))
    targets = {path: places.of(path, kinds[path]) for path in files}
    source.places.update(targets)
    moved = {unescape(path): unescape(to) for path, to in targets.items() if path != to}
    names = AccountNames()
    for path, kind in kinds.items():
        if kind == "messages":
            yield from _conversation(source, path, names)
        elif targets[path].count("/") >= DEEPEST:
            yield Rejected(path, f"it is nested more than {DEEPEST - 1} directories deep")
        else:
            yield from _file(source, path, targets[path], moved)
    yield from names.assumptions()


def _kind(source: Source, path: str, registry: Registry) -> Kind:
    try:
        found = kind_of(_document(source, path).value, registry)
    except (FlawedJSON, OSError):
        found = kind_of(beginning(source.chunks(path)), registry)
    return found if found == "messages" else _section(path) or found


def _section(path: str) -> Kind | None:
    """The section that the first directory of such a name says, however deep it stands."""
    return next((name for part in path.split("/")[:-1] for name in _SECTIONS if part == name), None)


class _Document(NamedTuple):
    """A document: its value, its bytes as UTF-8 without a mark, and whether they are so in the source."""

    value: Any
    data: bytes
    converted: bool


def _document(source: Source, path: str) -> _Document:
    """Raises FlawedJSON, OSError."""
    data = source.read(path)
    name, mark = encoding(data)
    if mark:
        try:
            data = data[mark:].decode(name).encode()
        except UnicodeError:
            raise FlawedJSON(diagnose(data)) from None
    return _Document(loads(data), data, bool(mark))


def _stays(path: str, kinds: Mapping[str, Kind]) -> bool:
    return path.startswith(f"{kinds[path]}/")


class _Places:
    """Where files go: no two to the same place, and none to the place of another file of the source."""

    def __init__(self, source: Source) -> None:
        self._source, self._names = source, Names()

    def of(self, path: str, kind: Kind) -> str:
        """The place of a document in the bank; the first directory of the section's name is that of the bank."""
        *directories, name = _tidy(path).split("/")
        if kind in directories:
            directories.remove(kind)
        stem = "/".join([kind, *directories, name]).removesuffix(_ENDING)
        while (place := self._names.fresh(stem, _ENDING)) in self._source and place != path:
            pass
        return place


def _tidy(path: str) -> str:
    """A path without what people and programs trip over: control characters, undecodable bytes, backslashes."""
    if "\\" not in path:
        return path
    parts = [part.replace("\\", "-").lstrip(".") or "unnamed" for part in path.split("/")]
    return "/".join(parts)


def _file(source: Source, path: str, to: str, moved: dict[str, str]) -> Iterator[Item]:
    try:
        document = _document(source, path) if moved or encoding(source.head(path))[1] else None
    except (FlawedJSON, OSError):
        document = None  # it comes in byte for byte, and the bank's own check reports it
    if document is None:
        yield FileItem(to, path)
        return
    data, references = update(document.data, moved)
    if document.converted:
        yield Assumption(_MARKED)
    yield FileItem(to, path, data if references or document.converted else None, None, references)


def _conversation(source: Source, path: str, names: AccountNames) -> Iterator[Item]:
    *directories, name = path.removesuffix(_ENDING).split("/")
    if name in _GENERIC and directories:
        name = directories[-1]
    account = names.fresh(unescape(name))
    yield AccountItem(account, path)
    conversation = Conversation(source, account)
    yield from conversation.tier([path], f"state/account_{account}")
    yield from conversation.assumptions()
