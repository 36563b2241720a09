"""Findings in the forms that other programs read: GitHub's log, a Markdown or JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any

from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.groups import EXAMPLES, Group, group
from memorybank_cli.base.markdown import code, plain
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted
from memorybank_cli.operations.named_files import put

ANNOTATIONS = 10
"""Lines for each group of findings; GitHub itself shows ten of a kind for a step."""
GROUPS = 200
"""So many groups stand in a Markdown report; the JSON one has all."""
_LEVELS = {"info": "notice", "warning": "warning", "error": "error", "critical": "error"}
_NOTHING = "-"


def github_lines(findings: Iterable[Mapping[str, Any]], prefix: str = "") -> str:
    """Annotations in the syntax of GitHub's workflow commands, at most ten and a last line for each group.

    `findings` are the contract's JSON. `prefix` is put before each path: the bank's place in the repository.
    """
    return "".join(f"{line}\n" for found in group(findings) for line in _annotations(found, prefix))


def _annotations(found: Group, prefix: str) -> Iterator[str]:
    first, more = found.first, len(found.findings) - ANNOTATIONS
    for one in islice(found.findings, ANNOTATIONS):
        place = f"file={_property(prefix + one['path'])},line={one['line'] or 1}," if one["path"] else ""
        yield f"::{_LEVELS[one['severity']]} {place}title={one['rule']}::{_data(one['message'])}"
    if more > 0:
        place = f" in {found.where}" if found.where else ""
        place += f" at {found.pointer}" if found.pointer else ""
        text = f"and {more:,} more like these{place}, {counted(len(found.findings), 'finding')} in all"
        yield f"::{_LEVELS[first['severity']]} title={first['rule']}::{_data(text)}"


def _data(text: str) -> str:
    return escape_text(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def write_report(path: str, report: dict[str, Any]) -> None:
    """The report as a file: JSON for a name that ends in .json, else Markdown."""
    data = dumps(report, indent=True) + b"\n" if path.endswith(".json") else markdown(report).encode()
    put(path, data)


def markdown(report: Mapping[str, Any]) -> str:
    """The document of a validation (see `operations.validation`) for people. Nothing in it is taken as markup."""
    parts = [_head(report), *_components(report), *_findings(report), *_not_checked(report), *_next_steps(report)]
    return "\n".join(line for part in parts for line in part)


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    bank = report["bank"]
    yield from ("# Validation of a memory bank" if bank else "# Validation", "")
    yield from (f"**{report['verdict'].capitalize()}**: {_counts(report)}.", "")
    rows = [("checked at", plain(report["checked_at"])), ("program", plain(report["program"]))]
    if bank:
        head = bank["head"]
        rows = [
            ("bank", plain(bank["id"])),
            ("path", plain(bank["path"])),
            ("format", str(bank["format"])),
            *rows,
            ("journal", f"line {head['seq']:,}, {plain(head['hash'][:16])}"),
            ("records", f"{report['records']:,}"),
            ("changes pending", f"{report['pending']:,}"),
        ]
    rows += [("fails from", report["fail_on"]), ("time taken", f"{report['seconds']:.1f} s")]
    yield from _table(("", ""), rows)


def _counts(report: Mapping[str, Any]) -> str:
    """`3 errors and 1 warning in 450 files`."""
    words = {"info": "piece of information", "critical": "critical finding"}
    plurals = {"info": "pieces of information"}
    found = [
        counted(number, words.get(severity, severity), plurals.get(severity, ""))
        for severity, number in report["counts"].items()
        if number
    ]
    return f"{' and '.join(found) or 'nothing found'} in {counted(report['checked'], 'file')}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are safe already, with an empty line below."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' for _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(cell or _NOTHING for cell in row)} |"
    yield ""


def _components(report: Mapping[str, Any]) -> Iterator[Iterator[str] | list[str]]:
    if not report["components"]:
        return
    yield ["## Components", ""]
    columns = ("component", "status", "files", "records", "last validated", "last updated", "note")
    yield _table(columns, (_component(one) for one in report["components"]))


def _component(one: Mapping[str, Any]) -> list[str]:
    numbers = ("" if one[name] is None else f"{one[name]:,}" for name in ("files", "records"))
    moments = ("" if one[name] is None else plain(f"{one[name][:19]}Z") for name in ("last_validated", "last_updated"))
    status = one["status"] if one["status"] == "ok" else f"**{one['status']}**"
    return [one["component"], status, *numbers, *moments, plain(one["note"])]


def _findings(report: Mapping[str, Any]) -> Iterator[Iterator[str] | list[str]]:
    groups = group(report["findings"])
    yield ["## Findings", ""]
    if not groups:
        yield ["None.", ""]
    for _, alike in groupby(groups[:GROUPS], lambda one: (one.first["severity"], one.first["rule"])):
        yield _of_rule(list(alike))
    if len(groups) > GROUPS:
        yield [f"And {len(groups) - GROUPS:,} more kinds of findings; a report with a name in .json has all.", ""]


def _of_rule(groups: Sequence[Group]) -> Iterator[str]:
    first = groups[0].first
    yield from (f"### {first['severity']} {first['rule']} {plain(first['name'])}", "")
    for one in groups:
        if len(one.findings) <= EXAMPLES:
            yield from (line for finding in one.findings for line in _item(_place(finding), finding, finding["hint"]))
        else:
            yield from _item(_many(one), one.first, one.hint, one)
    yield ""


def _item(place: str, finding: Mapping[str, Any], hint: str, found: Group | None = None) -> Iterator[str]:
    yield f"- {place}: {plain(finding['message'])}"
    if finding["expected"] and finding["expected"] not in finding["message"]:
        yield f"  - expected: {plain(finding['expected'])}; found: {plain(finding['found']) or _NOTHING}"
    if found is not None:
        yield f"  - such as {', '.join(map(code, found.examples))}"
    if hint:
        yield f"  - cure: {code(hint)}"


def _place(finding: Mapping[str, Any]) -> str:
    place = code(finding["path"]) if finding["path"] else "the bank"
    place += f", line {finding['line']}" if finding["line"] else ""
    return place + (f" at {code(finding['pointer'])}" if finding["pointer"] else "")


def _many(found: Group) -> str:
    count, files = len(found.findings), counted(found.files, "file")
    place = f"**{files}**" if count == found.files else f"**{counted(count, 'time')}** in {files}"
    place += f" in {code(found.where)}" if found.where else ""
    return place + (f" at {code(found.pointer)}" if found.pointer else "")


def _not_checked(report: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["## Not checked", ""]
    yield [f"- {plain(one['what'])}: {plain(one['why'])}" for one in report["not_checked"]] or ["Nothing was left out."]
    yield [""]


def _next_steps(report: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["## Next steps", ""]
    steps = [f"{n}. {code(one['command'])}: {plain(one['why'])}" for n, one in enumerate(report["next_steps"], 1)]
    yield steps or ["None: all good."]
    yield [""]
