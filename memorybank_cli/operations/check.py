"""The check: every probe of the table over the bank, or the bytes and shape of files anywhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, UsageError
from memorybank_cli.base.groups import with_groups
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import SEVERITIES, Finding, Severity, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option

if TYPE_CHECKING:
    from memorybank_cli.bank.bank import Bank
    from memorybank_cli.bank.scan import Scan

_TOTALS = "memorybank repair --aggregates"


@dataclass(frozen=True)
class ValidateReport:
    """What the check came to."""

    checked: int
    pending: int
    findings: tuple[Finding, ...]
    seconds: float
    fail_on: Severity
    style: str = "text"
    place: str = ""
    """What stands before each path for programs that know nothing of the bank: its directory from here."""
    document: dict[str, Any] = field(default_factory=dict)
    """What `--report` writes, for `--report -`."""
    found_bank: str = ""
    """The bank's directory where it was found by the files that were named, which hints have to name, too."""

    @property
    def ok(self) -> bool:
        """Nothing found at or above the limit."""
        return not at_least(self.findings, self.fail_on)

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; with `--report -` those of the whole report."""
        return self.document or {
            "ok": self.ok,
            "checked": self.checked,
            "pending": self.pending,
            "findings": [one.as_dict() for one in self.findings],
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self) -> int:
        """1 when something was found that is bad enough."""
        return 0 if self.ok else 1

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        tones = {"critical": "bad", "error": "bad", "warning": "warning"}
        return tones.get(self._worst().severity, "good") if self.findings else "good"

    def summary(self) -> str:
        """How many, how bad, what next."""
        errors = sum(at_least([one], "error") for one in self.findings)
        warnings = counted(sum(one.severity == "warning" for one in self.findings), "warning")
        waiting = f", {counted(self.pending, 'change')} pending" if self.pending else ""
        head = f"{counted(self.checked, 'file')} checked in {self.seconds:.2f} s{waiting}: "
        if errors:
            return f"{head}{counted(errors, 'error')}, {warnings}. Next: {self._next()}"
        return f"{head}{warnings}. Next: {self._next()}" if self.tone == "warning" else f"{head}all good"

    def _next(self) -> str:
        """The next step: damage and totals can be cured, a shape must be looked at."""
        severest = [one for one in self.findings if one.severity in ("error", "critical")] or self.findings
        hints = [one.hint for one in severest]
        if any(hint.startswith("memorybank repair") and not hint.startswith(_TOTALS) for hint in hints):
            return "memorybank repair --dry-run"
        if any(hint.startswith(_TOTALS) for hint in hints):
            return f"{_TOTALS} --dry-run"
        return f"memorybank explain {self._worst().rule}"

    def _worst(self) -> Finding:
        return max(self.findings, key=lambda one: SEVERITIES.index(one.severity))

    def text(self) -> str | None:
        """The lines that GitHub's log understands for `--format github`, Markdown for `--report -`."""
        if self.style != "github" and not self.document:
            return None
        from memorybank_cli.operations.reports import github_lines, markdown

        if self.document:
            return markdown(self.document)
        return github_lines((one.as_dict() for one in self.findings), self.place)


def validate(
    bank: Bank | None,
    context: Context,
    *paths: Annotated[str, "files or directories; default: the whole bank"],
    only: Annotated[
        tuple[str, ...], Option("only this family or rule of findings: MB1, MB2, MB102, …", metavar="FAMILY")
    ] = (),
    fail_on: Annotated[Severity, "exit 1 from this severity on"] = "error",
    format_: Annotated[Literal["text", "json", "github"], "how to print"] = "text",
    report: Annotated[
        str | None, Option("write the report there: .json, else Markdown; - for stdout", metavar="FILE")
    ] = None,
    schema: Annotated[
        str | None, Option("check files anywhere against this schema: a name, or a file", metavar="NAME")
    ] = None,
    full: Annotated[bool, "read every file again, whatever its times say"] = False,
) -> ValidateReport:
    """Check every file and say what is wrong.

    Bytes, shape, limits, permissions, what changed outside memorybank, and the journal. Nothing is
    adopted: changes that agents may make are counted as pending. With --schema, files anywhere.

    PATH is relative to the current directory, if that is in the bank or the file it names is, else to the
    bank's root. The report has the verdict, each component of the bank, what was not checked, and what is next.

    Exit codes:
        0  nothing found at or above --fail-on
        1  findings
        10 no bank here, or no such file

    Examples:
        memorybank validate
        memorybank validate trades --only MB1 --json
        memorybank validate --schema trade ./new/*.json
    """
    if bank is None and schema is None:
        with _bank_of(context, paths) as found:
            made = validate(
                found, context, *paths, only=only, fail_on=fail_on, format_=format_, report=report, full=full
            )
            return replace(made, found_bank=_from_here(found))
    if report == "-" and format_ == "github":
        raise UsageError("--report - and --format github both write to stdout", hint="--report FILE")
    started = time.perf_counter()
    looked = _anywhere(bank, context, paths, schema) if schema is not None else _in_bank(bank, context, paths, full)
    chosen = tuple(_only(looked.findings, only))
    seconds = time.perf_counter() - started
    result = ValidateReport(looked.checked, looked.pending, chosen, seconds, fail_on, format_, looked.place)
    if report is None:
        return result
    from memorybank_cli.operations.validation import Asked, validation_document

    asked = Asked(looked.within, only, full, fail_on, schema)
    document = validation_document(with_groups(result.as_dict()), chosen, asked, bank, looked.scan)
    if report == "-":
        return replace(result, document=document)
    from memorybank_cli.operations.reports import write_report

    write_report(report, document)
    return result


class _Looked(NamedTuple):
    """What a look came to: `within` are the paths of the bank that it was kept to."""

    checked: int
    pending: int
    findings: list[Finding]
    place: str = ""
    within: Sequence[str] = ()
    scan: Scan | None = None


def _anywhere(bank: Bank | None, context: Context, paths: tuple[str, ...], schema: str) -> _Looked:
    from memorybank_cli.operations.anywhere import check_files

    checked, findings = check_files(paths, schema, bank, context.progress)
    return _Looked(checked, 0, findings)


def _in_bank(bank: Bank | None, context: Context, paths: tuple[str, ...], full: bool) -> _Looked:
    from memorybank_cli.operations.paths import bank_paths
    from memorybank_cli.operations.probes import look

    assert bank is not None
    within = bank_paths(bank, paths)
    within = [] if "" in within else within  # '' is the whole bank
    scan, findings = look(bank, within, context.progress, full)
    return _Looked(scan.checked, scan.pending, findings, _place(bank), within, scan)


def _place(bank: Bank) -> str:
    """The bank's directory from here with a slash, '' inside it."""
    place = os.path.relpath(bank.root.path)
    return "" if place == "." else f"{escape(place)}/"


def _from_here(bank: Bank) -> str:
    """How the bank's directory is named from here: relative where it lies below."""
    place = os.path.relpath(bank.root.path)
    return bank.root.path if place.startswith(os.pardir) else place


@contextmanager
def _bank_of(context: Context, paths: tuple[str, ...]) -> Iterator[Bank]:
    """The bank that holds the first of some files, which need not lie at or above the current directory."""
    from memorybank_cli.operations.finding import bank_above
    from memorybank_cli.operations.opening import open_bank

    path = bank_above(paths[0]) if paths else None
    if path is None:
        raise BankNotFound(
            "there is no bank here or above", hint="memorybank init makes one; --schema NAME FILE checks files anywhere"
        )
    bank = open_bank(context, path=path)
    try:
        yield bank
    except Exception as error:
        bank.explain(error)
        raise
    finally:
        bank.close()


def _only(findings: Iterable[Finding], families: tuple[str, ...]) -> list[Finding]:
    wanted = tuple(one.upper() for one in families)
    if any(not one.startswith("MB") or not one[2:].isdecimal() for one in wanted):
        raise UsageError(
            f"'{escape(' '.join(families))}' is no family of findings", hint="MB1 to MB6, or a rule such as MB102"
        )
    return [one for one in findings if not wanted or one.rule.startswith(wanted)]
