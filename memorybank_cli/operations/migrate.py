"""Migration: what another program left comes into the bank; an older bank, and older documents, come up to date."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.identity import of_another_format, read_document
from memorybank_cli.bank.journal import Journal
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.walk import Root
from memorybank_cli.base.words import counted
from memorybank_cli.migrations.steps import STEPS, Step, newest
from memorybank_cli.operations.finding import find_bank
from memorybank_cli.operations.importing import Imported, bring, chosen, rehearse
from memorybank_cli.operations.intake import Tally
from memorybank_cli.operations.lifting import Lifted, lift
from memorybank_cli.operations.opening import open_bank, take_owners_ids
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.upgrading import Applied, plan, upgrade


@dataclass(frozen=True)
class MigrateReport:
    """What came in, and what was brought up to date."""

    imported: Imported | None
    steps: tuple[Applied, ...]
    lifted: Lifted | None
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; without --from nothing is imported."""
        report = (self.imported or Imported("", Tally(), ())).as_dict()
        lifted = self.lifted or Lifted((), ())
        names = ("path", "kind", "from", "to")
        return report | {
            "findings": [one.as_dict() for one in self.imported.findings] if self.imported else [],
            "steps": [one.as_dict() for one in self.steps],
            "lifted": [
                {**dict(zip(names, one, strict=True)), "kept": lifted.kept.get(one.path, "")} for one in lifted.paths
            ],
            "unliftable": [one._asdict() for one in lifted.unliftable],
            "dry_run": self.dry_run,
        }

    def exit_code(self) -> int:
        """1 when something could not be taken, or stays as old as it is."""
        rejected = self.imported is not None and self.imported.tally.rejected
        return 1 if rejected or (self.lifted is not None and self.lifted.unliftable) else 0

    def summary(self) -> str:
        """What was done, and what next."""
        next_step = "the same without --dry-run" if self.dry_run else "memorybank validate"
        if self.imported is not None and not (self.imported.tally.files or self.imported.tally.messages):
            next_step = "memorybank validate"
        if self.imported is not None:
            return f"{self.imported.summary()}; next: {next_step}"
        lifted = self.lifted or Lifted((), ())
        if not (self.steps or lifted.paths or lifted.unliftable):
            return "Everything is up to date."
        would = "would be " if self.dry_run else ""
        kinds = ((len(self.steps), "format step", "taken"), (len(lifted.paths), "document", "lifted"))
        done = [f"{counted(count, noun)} {would}{verb}" for count, noun, verb in kinds if count]
        stay = f"{counted(len(lifted.unliftable), 'document')} cannot be lifted" if lifted.unliftable else ""
        return f"{', '.join([*done, *filter(None, [stay])])}; next: {next_step}"


def migrate(
    context: Context,
    *,
    from_: Annotated[str | None, Option("import what this directory or file holds", metavar="DIR")] = None,
    as_: Annotated[str | None, Option("the importer to use; default: found by the files", metavar="NAME")] = None,
    to: Annotated[int | None, Option("the format to bring the bank to; default: the newest", metavar="VERSION")] = None,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
) -> MigrateReport:
    """Import into the bank, or bring it up to date.

    With --from: everything that an importer knows comes in as one act, validated on the way. The source is
    never changed, nothing in the bank is overwritten, and a second run adds nothing. What cannot be taken
    is listed with its reason and kept in quarantine.

    Without --from: the bank's format, then documents of an older version of their schema. A snapshot is made
    before a format step; a step that fails, or is killed, is undone.

    Exit codes:
        0   done
        1   done, but something could not be taken or lifted; it is listed
        3   it failed; the bank is as it was
        13  refused: no snapshot could be made before a format step

    Examples:
        memorybank migrate --from ./freqtrade/user_data --dry-run
        memorybank migrate --from ./memory.jsonl --as mcp_memory
        memorybank migrate --dry-run
    """
    if from_ is None and as_ is not None:
        raise UsageError("--as goes with --from", hint="memorybank migrate --from DIR --as NAME")
    if from_ is not None and to is not None:
        raise UsageError("--to does not go with --from", hint="memorybank migrate --to VERSION changes the format")
    path = find_bank(context)
    take_owners_ids(path)
    if from_ is not None:
        return _import(context, path, from_, as_, dry_run)
    return bring_up_to_date(context, path, to, dry_run, yes, STEPS)


def _import(context: Context, path: str, source: str, name: str | None, dry_run: bool) -> MigrateReport:
    with chosen(source, name, path) as what, closing(open_bank(context, path=path)) as bank:
        if dry_run:
            return MigrateReport(rehearse(what, context.progress, bank.root, bank), (), None, True)
        bank.check_writable()
        baseline.begin(bank)
        return MigrateReport(bring(what, bank, context.progress), (), None, False)


def bring_up_to_date(
    context: Context, path: str, to: int | None, dry_run: bool, yes: bool, steps: Sequence[Step]
) -> MigrateReport:
    """Take the format steps that there are, then lift documents."""
    have = _format_of(path)
    if have > newest(steps):
        raise of_another_format(have, newest(steps), path)

    def opening(number: int) -> Bank:
        return open_bank(context, path=path, writes=number)

    with closing(opening(have)) as bank:  # what a kill interrupted is put back by that
        have = bank.format
        waiting = plan(bank, to, steps)
    if dry_run:
        lifted = None
        if not waiting:
            with closing(opening(have)) as bank:
                lifted = lift(bank, dry_run=True)
        return MigrateReport(None, tuple(waiting), lifted, True)
    if waiting:
        context.ensure(f"Bring the bank from format {have} to format {waiting[-1].to_format}?", yes=yes)
    done = upgrade(opening, have, to, context, steps)
    with closing(opening(done[-1].to_format if done else have)) as bank:
        return MigrateReport(None, tuple(done), lift(bank) if to is None else None, False)


def _format_of(path: str) -> int:
    with closing(Root(path)) as root:
        found = read_document(root, Journal(root, ""), None).get("format")
    if type(found) is not int or found < 1:
        raise of_another_format(found, newest(STEPS), path)
    return found
