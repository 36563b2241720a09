"""Findings in the forms that other programs read: GitHub's log, a Markdown or JSON file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from memorybank_cli.base import files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.groups import Group, group
from memorybank_cli.base.markdown import code, plain
from memorybank_cli.base.names import escape, escape_text
from memorybank_cli.base.words import counted

ANNOTATIONS = 10
"""Lines for each group of findings; GitHub itself shows ten of a kind for a step."""
GROUPS = 200
"""So many groups stand in a Markdown report; the JSON one has all."""
_LEVELS = {"info": "notice", "warning": "warning", "error": "error", "critical": "error"}
_DASH = "–"


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
    root = files.make_root(os.path.dirname(os.path.abspath(path)))
    try:
        files.replace(root, escape(os.path.basename(path)), data)
    finally:
        root.close()


def markdown(report: Mapping[str, Any]) -> str:
    """The document of a validation (see `operations.validation`) for people. Nothing in it is taken as markup."""
    parts = [_head(report), *_components(report), *_findings(report), *_not_checked(report), *_next_steps(report)]
    return "\n".join(line for part in parts for line in part)


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    bank = report["bank"]
    yield from ("# Validation of a memory bank" if bank else "# Validation", "")
    counts = [
        counted(number, severity) for severity, number in report["counts"].items() if number and severity != "info"
    ]
    found = ", ".join([*counts, f"{report['counts']['info']:,} for information"])
    yield from (f"**{report['verdict'].capitalize()}**: {found} in {counted(report['checked'], 'file')}.", "")
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


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of cells that are safe already, with an empty line below."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' for _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(cell or _DASH for cell in row)} |"
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
    for one in groups[:GROUPS]:
        yield _group(one)
    if len(groups) > GROUPS:
        yield [f"And {len(groups) - GROUPS:,} more kinds of findings; a report with a name in .json has all.", ""]


def _group(found: Group) -> Iterator[str]:
    first, count = found.first, len(found.findings)
    place = plain(f"in {found.where}") if found.where and count > 1 else ""
    where = " ".join(part for part in (counted(count, "time"), place) if part)
    yield from (f"### {first['severity']} {first['rule']} {plain(first['name'])}: {where}", "")
    yield f"- {plain(first['message'])}"
    if found.pointer:
        yield f"- at {code(found.pointer)}"
    if first.get("expected"):
        yield f"- expected: {plain(first['expected'])}; found: {plain(first.get('found', '')) or _DASH}"
    if paths := [one for one in found.examples if one]:
        more = f" and {found.files - len(paths):,} more" if found.files > len(paths) else ""
        line = f", line {first['line']}" if first["line"] and count == 1 else ""
        yield f"- in {', '.join(map(code, paths))}{line}{more}"
    if found.hint:
        yield f"- cure: {code(found.hint)}"
    yield ""


def _not_checked(report: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["## Not checked", ""]
    yield [f"- {plain(one['what'])}: {plain(one['why'])}" for one in report["not_checked"]] or ["Nothing was left out."]
    yield [""]


def _next_steps(report: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["## Next steps", ""]
    steps = [f"{n}. {code(one['command'])}: {plain(one['why'])}" for n, one in enumerate(report["next_steps"], 1)]
    yield steps or ["None: all good."]
    yield [""]
