"""Findings in the forms that other programs read: nothing in a message or a name can break out of its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from memorybank_cli.base.groups import with_groups
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.reports import ANNOTATIONS, GROUPS, github_lines, markdown, write_report
from memorybank_cli.operations.validation import Asked, validation_document

HOSTILE = [
    "`x`",
    "a | b",
    "<b>",
    "[x](http://a)",
    "::error::x",
    "x\n::error::y",
    "%0A::error::",
    "# x",
    "```",
    "a,b:c=d",
]
TEXT = st.text(max_size=20) | st.sampled_from(HOSTILE)


def report(*findings: Finding, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The document of files anywhere."""
    found = {"ok": not findings, "checked": 3, "pending": 1, "findings": [one.as_dict() for one in findings]}
    asked = Asked((), only, full=False, fail_on="error", schema="trade")
    return validation_document(with_groups({**found, "seconds": 0.5}), findings, asked, None, None)


def lines(*findings: Finding, prefix: str = "") -> list[str]:
    return github_lines([one.as_dict() for one in findings], prefix).splitlines()


def test_lines_for_github() -> None:
    assert lines(
        Finding("MB102", "5 NULs follow", "trades/a,b:c%.json"),
        Finding("MB201", "no number", "state/a.json", line=7),
        Finding("MB202", "no schema", "x.json"),
        Finding("MB301", "too large", "y.json"),
        Finding("MB115", "bit rot", "z.json"),
        Finding("MB120", "broken"),
    ) == [
        "::error file=z.json,line=1,title=MB115::bit rot",
        "::error file=trades/a%2Cb%3Ac%25.json,line=1,title=MB102::5 NULs follow",
        "::error title=MB120::broken",
        "::error file=state/a.json,line=7,title=MB201::no number",
        "::warning file=y.json,line=1,title=MB301::too large",
        "::notice file=x.json,line=1,title=MB202::no schema",
    ]
    assert lines() == []
    assert lines(Finding("MB102", "x", "a.json"), prefix="data/memory-bank/") == [
        "::error file=data/memory-bank/a.json,line=1,title=MB102::x"
    ]


def test_ten_lines_for_github_and_a_last_one() -> None:
    alike = [Finding("MB201", f"found {n}", f"trades/{n}.json", pointer=f"/fills/{n}/qty") for n in range(2_000)]
    found = lines(*alike[:ANNOTATIONS])
    assert len(found) == ANNOTATIONS
    found = lines(*alike)
    assert len(found) == ANNOTATIONS + 1
    assert found[-1] == (
        "::error title=MB201::and 1,990 more like these in trades at /fills/*/qty, 2,000 findings in all"
    )
    assert lines(*[Finding("MB102", "x", f"{n}.json") for n in range(11)])[-1].endswith(
        "and 1 more like these, 11 findings in all"
    )


@given(TEXT, TEXT, TEXT)
def test_one_finding_is_one_line(message: str, name: str, pointer: str) -> None:
    [line] = lines(Finding("MB101", message, escape(name), pointer=pointer))
    assert line.isprintable()
    properties = line[len("::error ") :].split("::")[0]
    names = [one.split("=")[0] for one in properties.split(",")]
    assert names == (["file", "line", "title"] if name else ["title"]) or "=" in name


@given(TEXT, TEXT, TEXT, TEXT)
def test_one_finding_is_one_item(message: str, name: str, pointer: str, expected: str) -> None:
    finding = Finding("MB101", message, escape(name), f"memorybank repair {escape(name)}", pointer, 3)
    text = markdown(report(finding, Finding("MB201", message, "x", pointer=pointer, expected=expected, found=name)))
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    headings = [one.content for before, one in zip(tokens, tokens[1:], strict=False) if before.type == "heading_open"]
    assert headings == [
        "Validation",
        "Findings",
        "error MB101 syntax",
        "error MB201 schema-mismatch",
        "Not checked",
        "Next steps",
    ]
    inner = {child.type for token in tokens for child in token.children or ()}
    assert inner <= {"text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close"}
    assert not {"fence", "code_block", "html_block", "blockquote_open", "hr"} & {token.type for token in tokens}


def test_a_report_without_findings() -> None:
    text = markdown(report())
    assert text.startswith("# Validation\n\n**Passed**: nothing found in 3 files.\n\n")
    assert "## Findings\n\nNone.\n" in text
    assert text.endswith("## Not checked\n\nNothing was left out.\n\n## Next steps\n\nNone: all good.\n")
    assert "Components" not in text


def test_a_report_says_how_bad_and_what_first() -> None:
    findings = (
        Finding("MB202", "no schema", "agents/a.json"),
        Finding("MB301", "large", "a"),
        Finding("MB101", "not JSON", "b/c.json", "memorybank repair b/c.json"),
        Finding("MB307", "denied", "d"),
        Finding("MB305", "a link", "e"),
    )
    found = report(*findings, only=("MB1", "MB2", "MB3"))
    assert (found["verdict"], found["counts"]) == ("failed", {"critical": 0, "error": 3, "warning": 1, "info": 1})
    assert found["not_checked"] == [
        {"what": "findings of other families", "why": "only MB1, MB2, MB3 was asked for"},
        {"what": "the shape of 1 damaged file", "why": "they are not parsed"},
        {"what": "the shape of 1 file", "why": "no schema that fits them is known"},
        {"what": "1 file or directory", "why": "they cannot be read"},
        {"what": "1 link or special file", "why": "none is ever followed or opened"},
    ]
    assert [one["command"] for one in found["next_steps"]] == [
        "memorybank repair --dry-run",
        "memorybank schema infer agents",
        "memorybank validate --report FILE",
    ]
    text = markdown(found)
    assert "**Failed**: 3 errors and 1 warning and 1 piece of information in 3 files." in text
    assert "- `b/c.json`: not JSON\n  - cure: `memorybank repair b/c.json`\n" in text
    assert "1. `memorybank repair --dry-run`: shows how 1 damaged or missing file can be cured" in text
    assert report(findings[1])["verdict"] == "failed"
    assert {**report(findings[1]), "ok": True}["counts"]["warning"] == 1


def test_what_fails_alike_is_one_item() -> None:
    alike = [
        Finding(
            "MB201", f"says {n}, not 5", f"trades/{n}.json", "look", "/list/3/a", n + 1, expected="five", found=str(n)
        )
        for n in range(5)
    ]
    text = markdown(report(*alike, alike[-1], Finding("MB101", "not JSON")))
    assert (
        "- **6 times** in 5 files in `trades` at `/list/*/a`: says 0, not 5\n  - expected: five; found: 0\n"
        "  - such as `trades/0.json`, `trades/1.json`, `trades/2.json`\n  - cure: `look`\n"
    ) in text
    assert "- the bank: not JSON\n" in text
    text = markdown(report(*alike[:2]))
    assert "- `trades/1.json`, line 2 at `/list/3/a`: says 1, not 5\n" in text


def test_very_different_findings_are_cut_off() -> None:
    text = markdown(report(*[Finding("MB101", "x" * n, f"s{n}/a.json") for n in range(1, GROUPS + 6)]))
    assert text.count("\n- `s") == GROUPS
    assert "And 5 more kinds of findings; a report with a name in .json has all." in text


def test_written_whole_and_over_an_old_one(tmp_path: Path) -> None:
    document = report(Finding("MB101", "not JSON", "a.json"))
    for _ in range(2):
        write_report(str(tmp_path / "new/found.json"), document)
        write_report(str(tmp_path / "new/f\nound.md"), document)
    assert json.loads((tmp_path / "new/found.json").read_bytes()) == document
    assert (tmp_path / "new/f\nound.md").read_text() == markdown(document)
    assert sorted(one.name for one in (tmp_path / "new").iterdir()) == ["f\nound.md", "found.json"]
