"""What a bank says of itself: bank.json, its config, and the schemas it brings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.home import Home, user_config
from memorybank_cli.bank.journal import Journal
from memorybank_cli.bank.measures import Aggregates
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import FormatMismatch, OperationFailed
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import is_id
from memorybank_cli.base.settings import Settings, flatten
from memorybank_cli.base.walk import Root

_KEY = re.compile("[0-9a-f]{64}")


def read_document(root: Root, journal: Journal, writes: int | None = layout.FORMAT) -> dict[str, Any]:
    """bank.json, or what the journal recorded of it where the file is damaged, gone, or names no bank.

    `writes` is the format that the program writes; the one before it is read too; None stands for any. Raises
    OperationFailed where neither names a bank, FormatMismatch for another format.
    """
    for read in (partial(_written, root), partial(_recorded, journal)):
        document = read()
        if not isinstance(document, dict) or not is_id(str(document.get("bank_id", ""))):
            continue  # agents can write it, and the id becomes part of a path
        if writes is not None and document.get("format") not in (writes, max(1, writes - 1)):
            raise of_another_format(document.get("format"), writes, root.path)
        if _KEY.fullmatch(str(document.get("identity_key", ""))):
            return document
    raise OperationFailed(
        f"{root.absolute(layout.BANK)} does not name a bank", hint="memorybank init in that directory makes one"
    )


def of_another_format(found: Any, writes: int, path: str) -> FormatMismatch:
    """What a bank of format `found` is to a program that writes the format `writes`."""
    message = f"the bank has format {found!r:.40}, this program writes {writes}"
    if type(found) is int and 0 < found < writes:
        return FormatMismatch(message, path=path, hint="memorybank migrate brings the bank up to date")
    return FormatMismatch(message, path=path, hint="a newer bank needs a newer memorybank")


def _written(root: Root) -> Any:
    try:
        return loads(root.content(layout.BANK, layout.CONFIG_LIMIT) or b"")
    except FlawedJSON:
        return None


def _recorded(journal: Journal) -> Any:
    document = None
    for line in journal.lines():
        document = line.core.get("document", document)
    return document


def read_settings(root: Root, home: Home, context: Context) -> Settings:
    """The settings that hold here: options, environment, the bank's config as far as it is trusted, the user's file."""
    data = root.content(layout.CONFIG, layout.CONFIG_LIMIT)
    try:
        value = loads(data) if data else {}
    except FlawedJSON:
        value = {}  # the check of the file itself reports the damage
    trusted = data is not None and home.trusted().get(layout.CONFIG) == digests.of(data)
    bank = flatten(value) if isinstance(value, dict) else {}
    return Settings(context.options, bank, flatten(user_config(home.owner)), trusted)


def read_registry(paths: Iterable[str], recorded: Callable[[str], bytes | None]) -> Registry:
    """Built-in schemas and those in config/schemas/, as `recorded` gives them; what cannot be read binds nothing."""
    extra: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        file = path.rpartition("/")[2]
        name = file.removesuffix(".schema.json")
        value = _parsed(recorded(path)) if name != file else None
        if isinstance(value, dict):
            extra[name] = value
    return Registry(extra)


def read_aggregates(registry: Registry, recorded: Callable[[str], bytes | None]) -> Aggregates:
    """The rules in config/aggregates.json as recorded, if they have the shape of such; else built-in ones alone."""
    value = _parsed(recorded(layout.AGGREGATES))
    rules = value.get("aggregates", ()) if value and registry.matches("aggregates", value) else ()
    return Aggregates(rules)


def _parsed(data: bytes | None) -> Any:
    try:
        return None if data is None else loads(data)
    except FlawedJSON:
        return None  # the check of the file itself reports the damage


def schema_files(root: Root) -> list[str]:
    """The files in config/schemas/; none where it cannot be read, which the check reports."""
    try:
        return [f"{layout.CONFIG_SCHEMAS}/{entry.name}" for entry in root.listing(layout.CONFIG_SCHEMAS)]
    except OSError:
        return []
