"""Sections whose files agents write, the kinds of documents in them, and their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import AGENTS, RECORDS
from memorybank_cli.bank.schemas import REPLACEABLE
from memorybank_cli.base.errors import NotFound, Refused, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.suggestions import did_you_mean

KINDS: dict[str, tuple[str, ...]] = {
    "trades": ("trade", "trade_list"),
    "metrics": ("metrics",),
    "metrics/historical": ("historical_metrics",),
    "state": ("state",),
    "agents": ("agents", *sorted(RECORDS)),
    "shared": ("shared", *sorted(RECORDS)),
}
"""The kinds of documents that a section may hold; what agents write without a kind of its own has the section's."""


def chosen(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sections and kinds that a name means: a section with all its kinds, or one kind wherever it stands.

    Raises Refused for what only memorybank writes, NotFound for anything else.
    """
    section = name.strip("/")
    if section in KINDS:
        return (section,), KINDS[section]
    within = tuple(one for one, kinds in KINDS.items() if name in kinds)
    if within:
        return within, (name,)
    if layout.account_of(section) or section in ("config", layout.PRIVATE, layout.BANK):
        raise Refused(
            f"what stands in {escape(section)} is written by memorybank itself, and its shape is known",
            hint=f"a section of the agents: {', '.join(KINDS)}",
        )
    known = [*KINDS, *sorted({kind for kinds in KINDS.values() for kind in kinds})]
    raise NotFound(
        f"there is no section '{escape(name)}'", hint=did_you_mean(name, known, f"there are {', '.join(KINDS)}")
    )


def kind_of(directory: str, name: str, value: Any) -> str:
    """The kind of an agent's document, the section's name where its content tells none; '' for other files."""
    where = layout.place_in(directory)(name)
    kind = layout.kind_of(where, value) or (where.section if where.section in AGENTS else "")
    return kind if kind in REPLACEABLE or kind in AGENTS else ""


def section_files(bank: Bank, sections: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Directory and name of every JSON file of some sections."""
    for top in sorted({section.partition("/")[0] for section in sections}):
        for listing in bank.walk(top) if bank.root.is_dir(top) else ():
            place_of = layout.place_in(listing.path)
            section = section_of(listing.path)
            if section in sections:
                yield from ((listing.path, entry.name) for entry in listing.files if place_of(entry.name).is_json)


def section_of(directory: str) -> str:
    """The section of a directory, `metrics/historical` being one of its own; '' outside of them."""
    top, _, rest = directory.partition("/")
    historical = top == "metrics" and rest.split("/")[0] == "historical"
    section = "metrics/historical" if historical else top
    return section if section in KINDS else ""


def one_of(kinds: list[str], what: str) -> str:
    """The only one of several kinds. Raises UsageError that names them where there are more."""
    if len(kinds) != 1:
        raise UsageError(
            f"{escape(what)} has {len(kinds)} kinds of documents: {', '.join(kinds)}",
            hint=f"one document goes into one file: name the kind, such as {kinds[0]}",
        )
    return kinds[0]
