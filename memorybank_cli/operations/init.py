"""Making a bank: from nothing, around files that agents wrote already, or from a copy of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout, readme
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Journal
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.finding import DEFAULT_NAME, is_bank
from memorybank_cli.operations.opening import GATES, appliers, open_bank, take_owners_ids
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class InitReport:
    """What `init` made and found."""

    bank_id: str
    path: str
    created: tuple[str, ...]
    adopted: int
    findings: tuple[Finding, ...]
    imported: dict[str, Any] | None = None
    repaired: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; `imported` and `repaired` only where something was."""
        report: dict[str, Any] = {
            "bank_id": self.bank_id,
            "path": self.path,
            "created": list(self.created),
            "adopted": self.adopted,
            "findings": [one.as_dict() for one in self.findings],
        }
        extra = {"imported": self.imported, "repaired": self.repaired}
        return report | {name: value for name, value in extra.items() if value is not None}

    def summary(self) -> str:
        """What there is now, and the next step."""
        damaged = sum(one.severity in ("error", "critical") for one in self.findings)
        made = f"{len(self.created)} made, " if self.created else ""
        next_step = f"{damaged} damaged; next: memorybank repair --dry-run" if damaged else "next: memorybank backup"
        return f"Bank {escape(self.path)}: {made}{self.adopted:,} files adopted; {next_step}"


def init(
    context: Context,
    dir_: Annotated[str | None, "where; default: here if a bank's content is here, else ./memory-bank"] = None,
    *,
    from_: Annotated[str | None, Option("import a copy of what DIR holds; DIR stays as it is", metavar="DIR")] = None,
    account: Annotated[tuple[str, ...], Option("an account to make", metavar="ID")] = (),
    group: Annotated[str | None, Option("let this group read and write the bank", metavar="G")] = None,
    new_id: Annotated[bool, "give a copied bank an id of its own"] = False,
    repair: Annotated[bool, "cure damaged files right away"] = False,
) -> InitReport:
    """Make a bank, or complete one.

    Nothing is overwritten and no byte of what agents wrote changes; run it again as often as you like.
    A directory that holds agents' files already becomes a bank around them.

    Exit codes:
        0   the bank is there (damaged files are listed among the findings)
        3   it could not be made
        13  it would overwrite something, or stand inside another bank

    Examples:
        memorybank init
        memorybank init ./memory-bank --account alpha
        memorybank init ./memory-bank --from ./old-bank --repair
    """
    path = _target(context, dir_)
    for one in account:
        layout.account_section(one)
    _check_outside_banks(path)
    imported = None
    if os.path.isdir(path):
        take_owners_ids(path)
    if from_ is not None:
        from memorybank_cli.operations.importing import import_tree

        imported = import_tree(from_, path, context.progress)
    created = _make_tree(path, group)
    bank = _open(path, context, group, new_id)
    try:
        return _complete(bank, created, account, imported, repair)
    finally:
        bank.close()


def _target(context: Context, directory: str | None) -> str:
    if directory is not None and context.bank is not None:
        raise UsageError("the directory was given twice", hint="give DIR or --bank, not both")
    given = directory or context.bank or os.environ.get("MEMORYBANK_BANK")
    if given:
        return os.path.abspath(given)
    return os.getcwd() if _holds_content(os.getcwd()) else os.path.abspath(DEFAULT_NAME)


def _holds_content(path: str) -> bool:
    if is_bank(path):
        return True
    with os.scandir(path) as found:
        names = [item.name for item in found if item.is_dir()]
    return any(name in layout.SECTIONS or layout.account_of(name) for name in names)


def _check_outside_banks(path: str) -> None:
    parent = os.path.dirname(os.path.realpath(path))
    while True:
        if is_bank(parent):
            raise Refused(
                f"{escape(path)} lies inside the bank at {escape(parent)}",
                hint="a bank inside a bank would be checked by neither; choose a place outside it",
                path=path,
            )
        if parent == os.path.dirname(parent):
            return
        parent = os.path.dirname(parent)


def _make_tree(path: str, group: str | None) -> list[str]:
    """Directories and placeholders that are missing, made; what was made."""
    created = [] if os.path.isdir(path) else [path]
    files.make_root(path).close()
    take_owners_ids(path)
    root = Root(path)
    try:
        for section in (*layout.SECTIONS, "metrics/historical"):
            if root.stat(section) is None:
                files.make_dirs(root, section)
                created.append(f"{section}/")
        for section, placeholder in layout.PLACEHOLDERS.items():
            if not any(entry.name.endswith(".json") for entry in root.listing(section)):
                files.create(root, placeholder, baseline.EMPTY)
                created.append(placeholder)
        if files.create(root, layout.README, readme.render()) if root.stat(layout.README) is None else False:
            created.append(layout.README)
        if group:
            files.share(root, group, ["", *layout.SECTIONS, "metrics/historical", *created[1:]])
        files.make_dirs(root, layout.PRIVATE)  # the catalog stands there; without it every file would be read again
    finally:
        root.close()
    return created


def _open(path: str, context: Context, group: str | None, new_id: bool) -> Bank:
    if not is_bank(path) or _is_unbegun(path):
        bank = Bank(path, context, appliers(), GATES, baseline.new_document(group))
        bank.refresh()  # a catalog that was left behind knows of another journal
        return bank
    if not new_id:
        return open_bank(context, path=path)
    old = Bank(path, context)
    fresh = {**old.document, "bank_id": baseline.new_document()["bank_id"]}
    old.catalog.close()
    old.home.close()
    old.root.close()
    bank = Bank(path, context, appliers(), GATES, fresh)
    bank.refresh()
    baseline.rename(bank)
    return bank


def _is_unbegun(path: str) -> bool:
    """Whether an earlier init was killed before the first line of its journal was whole."""
    if os.path.lexists(os.path.join(path, layout.BANK)):
        return False
    root = Root(path)
    try:
        journal = Journal(root, "")
        return not any(raw.endswith(b"\n") for first in journal.segments() for raw in journal.raw_lines(first, 0))
    finally:
        root.close()


def _complete(
    bank: Bank, created: list[str], accounts: tuple[str, ...], imported: dict[str, Any] | None, repair: bool
) -> InitReport:
    from memorybank_cli.operations.accounts import create_account

    if bank.root.stat(layout.BANK) is None:
        created.append(layout.BANK)
    scan, adopted = baseline.establish(bank, bank.context.progress)
    findings = [*bank.journal_findings(), *scan.findings]
    created += [layout.account_section(one) for one in accounts if create_account(bank, one)]
    cured = None
    if repair and at_least(findings, "error"):
        from memorybank_cli.operations.repair import cure

        outcome = cure(bank, ())
        cured = outcome.as_dict()
        findings = [one for one in findings if one.path not in {two.path for two in outcome.repaired}]
    return InitReport(bank.bank_id, bank.root.path, tuple(created), len(adopted), tuple(findings), imported, cured)
