"""Making a bank: from nothing, around files that agents wrote already, or from a copy of them."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from memorybank_cli.bank import baseline, layout, readme
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Journal
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused, UsageError, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import QUIET, Finding, at_least
from memorybank_cli.base.walk import Root
from memorybank_cli.base.words import counted
from memorybank_cli.operations import documents
from memorybank_cli.operations.finding import DEFAULT_NAME, content_here, is_bank
from memorybank_cli.operations.opening import GATES, appliers, open_bank, take_owners_ids
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.probes import all_probes

if TYPE_CHECKING:
    from memorybank_cli.bank.scan import Scan
    from memorybank_cli.operations.importing import Chosen, Imported
    from memorybank_cli.operations.inferring import InferReport


@dataclass(frozen=True)
class InitReport:
    """What `init` made and found."""

    bank_id: str
    path: str
    created: tuple[str, ...]
    adopted: int
    findings: tuple[Finding, ...]
    imported: Imported | None = None
    repaired: dict[str, Any] | None = None
    inferred: tuple[dict[str, Any], ...] = ()
    unmatched: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; `imported`, `repaired`, `inferred` and `unmatched` only where something was."""
        report: dict[str, Any] = {
            "bank_id": self.bank_id,
            "path": escape(self.path),
            "created": [escape(one) for one in self.created],
            "adopted": self.adopted,
            "findings": [one.as_dict() for one in self.findings],
        }
        extra: dict[str, Any] = {"imported": self.imported and self.imported.as_dict(), "repaired": self.repaired}
        extra |= {"inferred": list(self.inferred) or None, "unmatched": list(self.unmatched) or None}
        return report | {name: value for name, value in extra.items() if value is not None}

    def summary(self) -> str:
        """What there is now, and the next step."""
        brought = f"{self.imported.summary()}; " if self.imported else ""
        if self.imported and self.imported.dry_run:
            new = self.imported.tally.files or self.imported.tally.messages
            return f"{brought}next: {'the same without --dry-run' if new else 'memorybank validate'}"
        left = self.repaired["unrepaired"] if self.repaired else []
        stuck = {one["path"] for one in left}
        errors = [one for one in self.findings if at_least([one], "error") and one.path not in stuck]
        damaged = sum(one.hint.startswith("memorybank repair") for one in errors)
        made = f"{len(self.created)} made, " if self.created else ""
        next_step = f"{damaged} damaged; next: memorybank repair --dry-run" if damaged else "next: memorybank backup"
        if left and not damaged:
            next_step = f"{len(left)} damaged, which nothing here cures; next: memorybank validate"
        elif errors and not damaged:
            next_step = f"{counted(len(errors), 'error')}; next: memorybank validate"
        if self.unmatched:
            next_step += f"\nNo schema fits the files of {', '.join(self.unmatched)}; memorybank schema infer "
            next_step += f"{self.unmatched[0]} learns one from them"
        return f"Bank {escape(self.path)}: {brought}{made}{self.adopted:,} files adopted; {next_step}"


def init(
    context: Context,
    dir_: Annotated[str | None, "where; default: here if a bank's content is here, else ./memory-bank"] = None,
    *,
    from_: Annotated[str | None, Option("import what DIR holds; DIR stays as it is", metavar="DIR")] = None,
    as_: Annotated[str | None, Option("the importer to use; default: found by the files", metavar="NAME")] = None,
    dry_run: Annotated[bool, Option("with --from: show the plan, change nothing", short="-n")] = False,
    account: Annotated[tuple[str, ...], Option("an account to make", metavar="ID")] = (),
    group: Annotated[str | None, Option("let this group read and write the bank", metavar="G")] = None,
    new_id: Annotated[bool, "give a copied bank an id of its own"] = False,
    repair: Annotated[bool, "cure damaged files right away"] = False,
    infer: Annotated[bool, "learn a schema for each section whose files match none"] = False,
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
        memorybank init ./memory-bank --from ./freqtrade/user_data --dry-run
    """
    path = _target(context, dir_)
    for one in account:
        layout.account_section(one)
    _check_outside_banks(path)
    if from_ is None and (as_ is not None or dry_run):
        raise UsageError("--as and --dry-run go with --from", hint="memorybank init DIR --from SOURCE --dry-run")
    if os.path.isdir(path):
        take_owners_ids(path)
    wish = _Wish(context, path, account, group, new_id, repair, infer)
    if from_ is None:
        return _around(wish)
    from memorybank_cli.operations import importing

    with importing.chosen(from_, as_, path) as source:
        if dry_run:
            return _rehearsed(wish, source)
        return _beside(wish, source) if importing.is_free(path) else _within(wish, source)


class _Wish(NamedTuple):
    """What was asked for."""

    context: Context
    path: str
    accounts: tuple[str, ...]
    group: str | None
    new_id: bool
    repair: bool
    infer: bool


def _around(wish: _Wish) -> InitReport:
    """A bank around what stands there."""
    created = _make_tree(wish.path, wish.group)
    with closing(_open(wish)) as bank:
        return _complete(bank, created, wish)


def _beside(wish: _Wish, source: Chosen) -> InitReport:
    """A new bank with what was imported, built beside its place and put there in one step."""
    from memorybank_cli.operations import importing

    context, path = wish.context, wish.path
    with importing.building(path, importing.patience(context)) as site:
        bank = Bank(site.root.path, context, appliers(), GATES, baseline.new_document(wish.group), aside=True)
        with closing(bank):
            bank.refresh()
            imported = importing.fill(source, bank, context.progress)
            created = [path, *_make_tree(site.root.path, wish.group)]
            report = _complete(bank, created, wish, imported)
        site.put_in_place()
        with closing(Root(path)) as root:
            _settle(bank, root)
    return replace(report, path=root.path, adopted=report.adopted + imported.adopted)


def _settle(bank: Bank, root: Root) -> None:
    try:
        bank.home.settle(root)
    except OSError as error:  # the bank stands and is whole: what is kept about it elsewhere comes with the next write
        bank.context.progress.note(from_os_error(error, "cannot keep what is known of the bank").message)
    finally:
        bank.home.close()


def _within(wish: _Wish, source: Chosen) -> InitReport:
    """A bank around what stands there, and what was imported as one act; nothing at all where a file is in the way."""
    from memorybank_cli.operations import importing

    if not is_bank(wish.path):
        with closing(Root(wish.path)) as root:
            importing.rehearse(source, QUIET, root, None, refuse=True)
    created = _make_tree(wish.path, wish.group)
    with closing(_open(wish)) as bank:
        adopted = baseline.establish(bank, bank.context.progress)[1]
        imported = importing.bring(source, bank, bank.context.progress, refuse=True)
        report = _complete(bank, created, wish, imported)
    return replace(report, adopted=report.adopted + len(adopted) + imported.adopted)


def _rehearsed(wish: _Wish, source: Chosen) -> InitReport:
    from memorybank_cli.operations import importing

    progress = wish.context.progress
    if is_bank(wish.path):
        with closing(open_bank(wish.context, path=wish.path)) as bank:
            imported = importing.rehearse(source, progress, bank.root, bank, refuse=True)
            return InitReport(bank.bank_id, bank.root.path, (), 0, (), imported)
    if importing.is_free(wish.path):
        return InitReport("", wish.path, (), 0, (), importing.rehearse(source, progress, None, None))
    with closing(Root(wish.path)) as root:
        return InitReport("", root.path, (), 0, (), importing.rehearse(source, progress, root, None, refuse=True))


def _target(context: Context, directory: str | None) -> str:
    if directory is not None and context.bank is not None:
        raise UsageError("the directory was given twice", hint="give DIR or --bank, not both")
    given = directory or context.bank or os.environ.get("MEMORYBANK_BANK")
    if given:
        return os.path.abspath(given)
    return os.getcwd() if _holds_content(os.getcwd()) else os.path.abspath(DEFAULT_NAME)


def _holds_content(path: str) -> bool:
    return is_bank(path) or bool(content_here(path))


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


def _open(wish: _Wish) -> Bank:
    path, context = wish.path, wish.context
    if not is_bank(path) or _is_unbegun(path):
        bank = Bank(path, context, appliers(), GATES, baseline.new_document(wish.group))
        bank.refresh()  # a catalog that was left behind knows of another journal
        return bank
    if not wish.new_id:
        return open_bank(context, path=path)
    old = Bank(path, context)
    fresh = {**old.document, "bank_id": baseline.new_document()["bank_id"]}
    old.abandon()
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
        return next(Journal(root, "").lines(), None) is None  # a torn line may hold anything, also ends of lines
    finally:
        root.close()


def _complete(bank: Bank, created: list[str], wish: _Wish, imported: Imported | None = None) -> InitReport:
    from memorybank_cli.operations.accounts import create_account

    if bank.root.stat(layout.BANK) is None:
        created.append(layout.BANK)
    scan, adopted = baseline.establish(bank, bank.context.progress)
    findings = [*(one.finding() for one in bank.breaks()), *scan.findings]
    created += [layout.account_section(one) for one in wish.accounts if create_account(bank, one)]
    cured = None
    if wish.repair and at_least(findings, "error"):
        from memorybank_cli.operations.repair import cure

        outcome = cure(bank, ())
        cured = outcome.as_dict()
        findings = [one for one in findings if one.path not in {two.path for two in outcome.repaired}]
    inferred, unmatched = _inferred(bank, findings, scan, wish.infer)
    seen = [one for one in findings if not one.rule.startswith("MB12")]  # of the journal its probe tells again
    documents.sync(bank, [*seen, *all_probes(bank)])
    return InitReport(
        bank.bank_id,
        bank.root.path,
        tuple(created),
        len(adopted),
        tuple(findings),
        imported,
        cured,
        tuple(one.as_dict() for one in inferred),
        tuple(unmatched),
    )


def _inferred(bank: Bank, findings: list[Finding], scan: Scan, wanted: bool) -> tuple[list[InferReport], list[str]]:
    """What was learnt of sections whose files match no schema, and those sections that were left as they are."""
    if not any(one.rule == "MB202" for one in findings):
        return [], []
    from memorybank_cli.operations.inferring import offer

    return offer(bank, findings, scan, wanted)
