"""The check: every probe of the table over the bank, or the bytes and shape of files anywhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding, Severity, at_least
from memorybank_cli.operations.options import Option

if TYPE_CHECKING:
    from memorybank_cli.bank.bank import Bank


@dataclass(frozen=True)
class ValidateReport:
    """What the check came to."""

    checked: int
    pending: int
    findings: tuple[Finding, ...]
    seconds: float
    fail_on: Severity
    style: str = "text"

    @property
    def ok(self) -> bool:
        """Nothing found at or above the limit."""
        return not at_least(self.findings, self.fail_on)

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "ok": self.ok,
            "checked": self.checked,
            "pending": self.pending,
            "findings": [one.as_dict() for one in self.findings],
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self) -> int:
        """1 when something was found that is bad enough."""
        return 0 if self.ok else 1

    def summary(self) -> str:
        """How many, how bad, what next."""
        worst = sum(at_least([one], "error") for one in self.findings)
        others = sum(one.severity == "warning" for one in self.findings)
        waiting = f", {self.pending} changes pending" if self.pending else ""
        head = f"{self.checked:,} files checked in {self.seconds:.2f} s{waiting}: "
        if worst:
            return f"{head}{worst} errors, {others} warnings. Next: memorybank repair --dry-run"
        return head + (f"{others} warnings" if others else "all good")

    def text(self) -> str | None:
        """The lines that GitHub's log understands for `--format github`, Markdown for `--report -`."""
        if self.style not in ("github", "markdown"):
            return None
        from memorybank_cli.operations.reports import github_lines, markdown

        return github_lines(self.findings) if self.style == "github" else markdown(self.as_dict())


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

    Exit codes:
        0  nothing found at or above --fail-on
        1  findings
        10 no bank here, or no such file

    Examples:
        memorybank validate
        memorybank validate trades --only MB1 --json
        memorybank validate --schema trade ./new/*.json
    """
    started = time.perf_counter()
    if schema is not None:
        from memorybank_cli.operations.anywhere import check_files

        checked, findings = check_files(paths, schema, bank, context.progress)
        pending = 0
    elif bank is None:
        raise BankNotFound(
            "there is no bank here or above", hint="memorybank init makes one; --schema NAME FILE checks files anywhere"
        )
    else:
        from memorybank_cli.operations.paths import bank_paths
        from memorybank_cli.operations.probes import check_bank

        checked, pending, findings = check_bank(bank, bank_paths(bank, paths), context.progress, full=full)
    chosen = tuple(_only(findings, only))
    style = "markdown" if report == "-" and format_ == "text" else format_
    result = ValidateReport(checked, pending, chosen, time.perf_counter() - started, fail_on, style)
    if report is not None and report != "-":
        from memorybank_cli.operations.reports import write_report

        write_report(report, result.as_dict())
    return result


def _only(findings: Iterable[Finding], families: tuple[str, ...]) -> list[Finding]:
    wanted = tuple(one.upper() for one in families)
    if any(not one.startswith("MB") or not one[2:].isdecimal() for one in wanted):
        raise UsageError(
            f"'{escape(' '.join(families))}' is no family of findings", hint="MB1 to MB6, or a rule such as MB102"
        )
    return [one for one in findings if not wanted or one.rule.startswith(wanted)]
