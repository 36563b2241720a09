"""Findings in the forms that other programs read: GitHub's log, a Markdown or JSON file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from memorybank_cli.base import files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import escape, escape_text
from memorybank_cli.base.records import Finding

_LEVELS = {"info": "notice", "warning": "warning", "error": "error", "critical": "error"}


def github_lines(findings: Iterable[Finding]) -> str:
    """One annotation a finding, in the syntax of GitHub's workflow commands."""
    return "".join(
        f"::{_LEVELS[one.severity]} file={_property(one.path)},line={one.line or 1},title={one.rule}"
        f"::{_data(one.message)}\n"
        for one in findings
    )


def _data(text: str) -> str:
    return escape_text(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write_report(path: str, report: dict[str, Any]) -> None:
    """The report as a file: JSON for a name that ends in .json, else Markdown."""
    data = dumps(report, indent=True) + b"\n" if path.endswith(".json") else markdown(report).encode()
    root = files.make_root(os.path.dirname(os.path.abspath(path)))
    try:
        files.replace(root, escape(os.path.basename(path)), data)
    finally:
        root.close()


def markdown(report: dict[str, Any]) -> str:
    """The report of a validation as a document for people."""
    verdict = "nothing at or above the limit" if report["ok"] else "findings"
    lines = [
        "# Validation",
        "",
        f"{report['checked']} files checked, {report['pending']} changes pending: {verdict}.",
        "",
    ]
    if report["findings"]:
        lines += ["| severity | rule | path | what |", "|---|---|---|---|"]
    for one in report["findings"]:
        cells = (one["severity"], one["rule"], f"`{one['path']}`", one["message"])
        lines.append("| " + " | ".join(escape_text(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
