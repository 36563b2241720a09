"""What a bank says of itself: bank.json, its config, and the schemas it brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.home import Home, user_config
from memorybank_cli.bank.journal import Journal
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import FormatMismatch, OperationFailed
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.settings import Settings, flatten
from memorybank_cli.base.walk import Root

CONFIG_LIMIT = 1 << 20


def read_document(root: Root, journal: Journal) -> dict[str, Any]:
    """bank.json, or what the journal recorded of it where the file is damaged or gone.

    Raises OperationFailed where neither names a bank, FormatMismatch for another format.
    """
    try:
        value = loads(root.content(layout.BANK, CONFIG_LIMIT) or b"")
    except FlawedJSON:
        value = _recorded(journal)
    if not isinstance(value, dict) or not isinstance(value.get("bank_id"), str):
        raise OperationFailed(
            f"{root.absolute(layout.BANK)} does not name a bank", hint="memorybank init in that directory makes one"
        )
    if value.get("format") != layout.FORMAT:
        raise FormatMismatch(
            f"the bank has format {value.get('format')!r}, this program writes {layout.FORMAT}", path=root.path
        )
    return value


def _recorded(journal: Journal) -> Any:
    document = None
    for line in journal.lines():
        document = line.core.get("document", document)
    return document


def read_settings(root: Root, home: Home, context: Context) -> Settings:
    """The settings that hold here: options, environment, the bank's config as far as it is trusted, the user's file."""
    data = root.content(layout.CONFIG, CONFIG_LIMIT)
    try:
        value = loads(data) if data else {}
    except FlawedJSON:
        value = {}  # the check of the file itself reports the damage
    trusted = data is not None and home.trusted().get(layout.CONFIG) == digests.of(data)
    bank = flatten(value) if isinstance(value, dict) else {}
    return Settings(context.options, bank, flatten(user_config(home.owner)), trusted)


def read_registry(root: Root, holds: Callable[[str, bytes], bool]) -> Registry:
    """Built-in schemas and those in config/schemas/ that hold; one that cannot be read binds nothing."""
    extra: dict[str, Mapping[str, Any]] = {}
    for entry in root.listing(layout.CONFIG_SCHEMAS):
        name = entry.name.removesuffix(".schema.json")
        if name != entry.name and entry.size <= CONFIG_LIMIT:
            path = f"{layout.CONFIG_SCHEMAS}/{entry.name}"
            data = root.content(path, CONFIG_LIMIT)
            if data is None or not holds(path, data):
                continue
            try:
                value = loads(data)
            except FlawedJSON:
                continue
            if isinstance(value, dict):
                extra[name] = value
    return Registry(extra)
