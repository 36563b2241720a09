"""Carrying out format steps: snapshot before, apply and validate under the lock, put back where it did not work out.

A step is one act like a replacement: begun and ended in the journal, with a stage that tells the next opening of a
kill. What was begun and not ended is put back from the snapshot that its first line names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MemorybankError, OperationFailed, Refused, from_os_error
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.migrations.steps import BEGIN, END, STEPS, Step, chosen
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.probes import check_bank
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.rollback import put_back
from memorybank_cli.snapshots import documents

TAG = "before-migrate"


class Applied(NamedTuple):
    """A step that was taken, or would be."""

    from_format: int
    to_format: int
    description: str
    snapshot: str | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON tells it."""
        names = ("from", "to", "description", "snapshot")
        return dict(zip(names, self, strict=True))


def plan(bank: Bank, to: int | None, steps: Sequence[Step] = STEPS) -> list[Applied]:
    """The steps that there are to be taken."""
    return [Applied(one.number, one.number + 1, one.description, None) for one in chosen(steps, bank.format, to)]


def upgrade(
    opening: Callable[[int], Bank], have: int, to: int | None, context: Context, steps: Sequence[Step] = STEPS
) -> list[Applied]:
    """Take each step up to the format `to`; `opening` gives the bank, open as a program of that format has it.

    Raises Refused where a step cannot be taken or no snapshot can be made, OperationFailed where it failed: then the
    bank is as it was before that step.
    """
    done = []
    for step in chosen(steps, have, to):
        context.progress.start(f"format {step.number} to {step.number + 1}: {step.description}")
        with closing(opening(step.number)) as bank:
            done.append(_take(bank, step))
        context.progress.finish()
    return done


def _take(bank: Bank, step: Step) -> Applied:
    reasons = list(step.check(bank))
    if reasons:
        raise Refused(
            f"the bank cannot be brought to format {step.number + 1}: {'; '.join(reasons)}",
            hint="nothing was changed; see to that and run memorybank migrate again",
            path=bank.root.path,
        )
    baseline.establish(bank, bank.context.progress)
    before = check_bank(bank)[2]
    snapshot, repository = _snapshot(bank)
    head = {"id": uuid7(), "step": [step.number, step.number + 1], "snapshot": snapshot, "repository": repository}
    with bank.locked():
        files.make_dirs(bank.root, _stage(head["id"]))
        bank.commit([Entry(BEGIN, head)])
        try:
            step.apply(bank)
            _validate(bank, before)
            _end(bank, head, step.number + 1)
        except BaseException as error:
            undo(bank, head, str(error) or type(error).__name__)
            if not isinstance(error, Exception):
                raise
            raise _failed(step, error, snapshot) from error
        files.remove_tree(bank.root, _stage(head["id"]))
    return Applied(step.number, step.number + 1, step.description, snapshot)


def _stage(act: object) -> str:
    return f"{layout.SCRATCH}/{act}"


def _snapshot(bank: Bank) -> tuple[str, str]:
    """The id of a proved snapshot of the bank as it is, and its repository. Raises Refused where there can be none."""
    try:
        report = make_snapshot(bank, None, (TAG,))
        broken = [one for one in report.findings if one.rule in ("MB130", "MB307")]
        reason = broken[0].message if broken else ""
    except (MemorybankError, OSError) as error:
        reason = error.message if isinstance(error, MemorybankError) else from_os_error(error).message
        report = None
    if report is None or report.document is None or reason:
        raise Refused(
            f"no whole snapshot could be made before the migration: {reason}",
            hint="nothing was changed; a format is never changed without a way back",
            path=bank.root.path,
        )
    return report.document.id, report.repository


def _validate(bank: Bank, before: list[Finding]) -> None:
    """Raise OperationFailed when there are errors that were not there before."""
    baseline.establish(bank, bank.context.progress)
    known = {one.fingerprint for one in before}
    new = [one for one in check_bank(bank)[2] if one.fingerprint not in known and at_least([one], "error")]
    if new:
        raise OperationFailed(f"afterwards {new[0].path or 'the bank'} has {new[0].rule}: {new[0].message}")


def _end(bank: Bank, head: dict[str, Any], number: int) -> None:
    """Give the bank its new format: first in bank.json, then in the journal, which is what counts."""
    bank.document = {**bank.document, "format": number}
    data = baseline.render_document(bank.document)
    files.replace(bank.root, layout.BANK, data)
    bank.commit([baseline.document_entry(bank, END, data, **head)])


def _failed(step: Step, error: Exception, snapshot: str) -> OperationFailed:
    words = from_os_error(error).message if isinstance(error, OSError) else str(error) or type(error).__name__
    return OperationFailed(
        f"the step to format {step.number + 1} failed, and the bank was put back as it was: {words}",
        hint=f"nothing is lost; snapshot {snapshot} holds it too. Run memorybank migrate again once that is cured",
    )


def undo(bank: Bank, head: dict[str, Any], reason: str) -> None:
    """Put the bank back as it was in the snapshot that a begun step names, and say so in the journal."""
    with bank.in_its_format(), open_repository(bank, head["repository"]) as repository:
        put_back(bank, repository, documents.resolve(repository, head["snapshot"]), "migrate")
        bank.commit([Entry(END, {**head, "files": [], "undone": reason})])
        files.remove_tree(bank.root, _stage(head["id"]))


def finish(bank: Bank, _act: str, begun: list[Line]) -> None:
    """What an opening does with a step that a kill interrupted: undo it."""
    head = {name: begun[0].core[name] for name in ("id", "step", "snapshot", "repository")}
    undo(bank, head, "it was interrupted")
    bank.context.progress.note("a migration was interrupted; the bank was put back as it was before it")
