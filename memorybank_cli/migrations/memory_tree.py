"""Importer of the earlier `memory/` layouts: an account's tiers, each a file with a list of messages.

`memory/account_<id>/{short_term,mid_term,whole_history,history_context}.json`, with and without `memory/` and
`account_<id>/`. Messages are {role, content, timestamp}; what whole_history holds is left out of the shorter tiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memorybank_cli.bank.layout import TIERS
from memorybank_cli.base.exact_json import FlawedJSON, dumps
from memorybank_cli.migrations.account_names import AccountNames
from memorybank_cli.migrations.conversations import Conversation, is_derived
from memorybank_cli.migrations.items import AccountItem, FileItem, Item
from memorybank_cli.migrations.source import Source

NAME = "memory_tree"
TITLE = "memory/account_<id>/ with short_term, mid_term and whole_history"

DEFAULT = "default"
ORDER = ("whole_history", "mid_term", "short_term")
"""The tiers in the order that keeps messages in the order they arrived as far as the first one goes."""
_DIRECTORY = "account_"
_FILES = frozenset(f"{tier}.json" for tier in TIERS)
_ACCOUNT = "account.json"


def score(source: Source) -> int:
    """How sure it is, by the names of files."""
    found = [path for path in source.paths if _is_tier(path)]
    if any(_directory(source, path).startswith(_DIRECTORY) for path in found):
        return 95
    return 80 if len({path.rpartition("/")[2] for path in found}) > 1 else 60 if found else 0


def takes(source: Source, path: str) -> bool:
    """Whether a file is a tier of an account, or tells of one."""
    named = path.rpartition("/")[2] == _ACCOUNT and _directory(source, path).startswith(_DIRECTORY)
    return named or _is_tier(path)


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """The messages of all accounts, one account after the other."""
    directories: dict[str, list[str]] = {}
    for path in paths:
        directories.setdefault(path.rpartition("/")[0], []).append(path)
    names = AccountNames({_name(source, found[0]) for found in directories.values()})
    for found in directories.values():
        yield from account(source, names.id_of(_name(source, found[0])), found)
    yield from names.assumptions()


def account(source: Source, id: str, paths: Sequence[str], sealed: Sequence[str] = ()) -> Iterator[Item]:
    """One account: the messages of its tiers, of `sealed` segments first, and what else its files say."""
    by_name = {path.rpartition("/")[2]: path for path in paths}
    yield AccountItem(id, paths[0], _sizes(source, by_name.get(_ACCOUNT)))
    beside = f"state/{_DIRECTORY}{id}"
    conversation = Conversation(source, id)
    for tier in ORDER:
        files = [by_name[f"{tier}.json"]] if f"{tier}.json" in by_name else []
        yield from conversation.tier([*sealed, *files] if tier == ORDER[0] else files, beside)
    yield from conversation.assumptions()
    for name in (_ACCOUNT, "history_context.json"):
        if name in by_name:
            yield from _document(source, by_name[name], f"{beside}/{name}")


def _sizes(source: Source, path: str | None) -> tuple[int, int] | None:
    """The sizes of the account's windows, by its account.json."""
    if path is None:
        return None
    try:
        found = source.json(path)["capacity"]
        sizes = found["short_term"], found["mid_term"]
    except (FlawedJSON, OSError, KeyError, TypeError):
        return None
    return sizes if all(type(one) is int and one >= 0 for one in sizes) else None


def _document(source: Source, path: str, to: str) -> Iterator[Item]:
    """What an account's file says beside its messages: kept where it says more than the new bank makes anew."""
    try:
        value = source.json(path)
    except (FlawedJSON, OSError):
        yield FileItem(to, path)
        return
    if isinstance(value, list) and value:
        yield FileItem(to, path, dumps({"summaries": value}, indent=True) + b"\n")
    elif isinstance(value, list) or (isinstance(value, dict) and is_derived(_without_empty(value))):
        source.skip(path, "it says nothing that the new bank does not make anew")
    else:
        yield FileItem(to, path)


def _without_empty(value: dict[str, object]) -> dict[str, object]:
    return {name: one for name, one in value.items() if one not in ([], {}, None, "")}


def _is_tier(path: str) -> bool:
    return path.rpartition("/")[2] in _FILES


def _directory(source: Source, path: str) -> str:
    """The name of the directory that a file stands in."""
    return path.rpartition("/")[0].rpartition("/")[2] or ("" if source.is_file else source.name)


def _name(source: Source, path: str) -> str:
    """The account's name: its directories, as far as they say more than that there is memory.

    All of them, so that two bots are two accounts, and an account is called the same whatever stands beside it.
    """
    directories = path.split("/")[:-1]
    if not directories and not source.is_file and source.name.startswith(_DIRECTORY):
        directories = [source.name]
    words = [one.removeprefix(_DIRECTORY) for one in directories if one != "memory"]
    return "-".join(filter(None, words)) or DEFAULT
