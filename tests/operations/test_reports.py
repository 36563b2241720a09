"""Findings in the forms that other programs read: nothing in a message or a name can break out of its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.reports import github_lines, markdown, write_report

TEXT = st.text(max_size=20)


def report(*findings: Finding) -> dict[str, Any]:
    return {"ok": not findings, "checked": 3, "pending": 1, "findings": [one.as_dict() for one in findings]}


def test_lines_for_github() -> None:
    found = github_lines(
        [
            Finding("MB102", "5 NULs follow", "trades/a,b:c%.json"),
            Finding("MB201", "no number", "state/a.json", line=7),
            Finding("MB202", "no schema", "x.json"),
            Finding("MB301", "too large", "y.json"),
            Finding("MB115", "bit rot", "z.json"),
        ]
    )
    assert found.splitlines() == [
        "::error file=trades/a%2Cb%3Ac%25.json,line=1,title=MB102::5 NULs follow",
        "::error file=state/a.json,line=7,title=MB201::no number",
        "::notice file=x.json,line=1,title=MB202::no schema",
        "::warning file=y.json,line=1,title=MB301::too large",
        "::error file=z.json,line=1,title=MB115::bit rot",
    ]
    assert github_lines([]) == ""


@given(TEXT, TEXT)
def test_one_finding_is_one_line(message: str, name: str) -> None:
    text = github_lines([Finding("MB101", message, escape(name))])
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert text.count("::") >= 2
    properties = text[len("::error ") :].split("::")[0]
    assert [one.split("=")[0] for one in properties.split(",")] == ["file", "line", "title"] or "=" in name


@given(TEXT, TEXT)
def test_one_finding_is_one_row(message: str, name: str) -> None:
    text = markdown(report(Finding("MB101", message, escape(name))))
    row = text.splitlines()[-1]
    assert row.replace("\\|", "").count("|") == 5
    assert row.startswith("| error | MB101 | `")


def test_a_report_without_findings() -> None:
    assert (
        markdown(report()) == "# Validation\n\n3 files checked, 1 changes pending: nothing at or above the limit.\n\n"
    )


def test_written_whole_and_over_an_old_one(tmp_path: Path) -> None:
    for _ in range(2):
        write_report(str(tmp_path / "new/found.json"), report())
        write_report(str(tmp_path / "new/f\nound.md"), report())
    assert json.loads((tmp_path / "new/found.json").read_bytes()) == report()
    assert (tmp_path / "new/f\nound.md").read_text() == markdown(report())
    assert sorted(one.name for one in (tmp_path / "new").iterdir()) == ["f\nound.md", "found.json"]
