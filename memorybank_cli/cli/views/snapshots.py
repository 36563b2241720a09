"""What people see of snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted, size
from memorybank_cli.cli.blocks import Block, Bytes, Fields, Findings, Table, Text
from memorybank_cli.cli.views.generic import PER_LIST, lines
from memorybank_cli.cli.views.streams import clock_time
from memorybank_cli.meaning.telling import told

_ONE = ("id", "time", "host", "seq", "status", "reasons", "pinned", "tags", "files", "bytes", "records", "parent")
_MANY = ("id", "time", "files", "bytes")
_MOST_REASONS = 3


def listing(report: dict[str, Any]) -> list[Block]:
    """A row a snapshot, the newest last; below it why the suspect ones are."""
    several = len({one.get("bank_id") for one in report["snapshots"]}) > 1
    rows = [
        [
            one["id"],
            clock_time(one["time"]),
            one["files"],
            Bytes(one["bytes"]),
            *([one["bank_id"]] if several else []),
            _notes(one),
        ]
        for one in report["snapshots"]
    ]
    names = (*_MANY, "bank", "notes") if several else (*_MANY, "notes")
    suspect = [one for one in report["snapshots"] if one["status"] == "suspect"]
    blocks: list[Block] = [Findings(report["findings"]), *([Table(names, rows)] if rows else [])]
    told_of = suspect[-_MOST_REASONS:]
    blocks += [Text(f"suspect {one['id']}: {'; '.join(one['reasons'])}", "bad") for one in told_of]
    if len(suspect) > _MOST_REASONS:
        blocks.append(Text(f"... and {len(suspect) - _MOST_REASONS:,} more suspect ones (--json shows all)", "dim"))
    return blocks


def _notes(one: dict[str, Any]) -> str:
    marks = [word for word, holds in (("latest", one.get("latest")), ("pinned", one.get("pinned"))) if holds]
    return ", ".join([*(["suspect"] if one["status"] == "suspect" else []), *marks, *one["tags"]])


def one(report: dict[str, Any]) -> list[Block]:
    """The snapshot's document, what was damaged and left out, and how much is in each section."""
    document, files = report["snapshot"], report["files"]
    pairs = [(name, document[name]) for name in _ONE if document.get(name) not in (None, "", [], False)]
    blocks: list[Block] = [
        Fields([(name, Bytes(value) if name == "bytes" else value) for name, value in pairs]),
        *lines("damaged", [_damage(row) for row in files if row.get("rule")], "warning"),
        *lines("left out", document["excluded"], "dim"),
    ]
    sections: dict[str, list[int]] = {}
    for row in files:
        counts = sections.setdefault(row["path"].partition("/")[0] if "/" in row["path"] else ".", [0, 0])
        counts[0] += 1
        counts[1] += row["size"]
    rows = [[name, count, Bytes(total)] for name, (count, total) in sorted(sections.items())]
    return [*blocks, Table(("section", "files", "bytes"), rows)] if rows else blocks


def _damage(row: dict[str, Any]) -> str:
    what = "its last good version is kept" if row["good"] else "no good version was ever recorded"
    return f"{row['rule']} {row['path']}: {what}"


def found(report: dict[str, Any]) -> list[Block]:
    """A file a line, and below it each of its versions with the snapshots that have it."""
    blocks: list[Block] = [Findings(report["findings"])]
    by_path: dict[str, list[dict[str, Any]]] = {}
    for version in report["versions"]:
        by_path.setdefault(version["path"], []).append(version)
    for path, versions in list(by_path.items())[:PER_LIST]:
        blocks.append(Text(path, "strong"))
        for version in versions[-PER_LIST:]:
            blocks += _version(version)
        if len(versions) > PER_LIST:
            blocks.append(Text(f"  ... and {len(versions) - PER_LIST:,} older versions (--json shows all)", "dim"))
    if len(by_path) > PER_LIST:
        blocks.append(Text(f"... and {len(by_path) - PER_LIST:,} more files (--json shows all)", "dim"))
    return blocks


def _version(version: dict[str, Any]) -> Iterator[Block]:
    first, last = version["first"]["id"], version["last"]["id"]
    where = first if first == last else f"{first} to {last}"
    what = size(version["size"]) if not version["rule"] else f"found damaged, {version['rule']}"
    yield Text(f"  {where}  {what}", "warning" if version["rule"] else "")
    for record in version.get("records", ()):
        yield Text(f"    {told({'what': 'added', 'after': record['value'], **record}, with_what=False)}")
    if "text" in version:
        yield Text(f"    line {version['line']}: {escape_text(version['text'])}")


def made(report: dict[str, Any]) -> list[Block]:
    """What was found on the way, and which files are damaged."""
    damaged = [f"{found['rule']} {found['path']}" for found in report["snapshot"]["damaged"]]
    left_out = lines("left out", report["snapshot"]["excluded"], "dim")
    return [Findings(report["findings"]), *lines("damaged", damaged, "warning"), *left_out]


def restored(report: dict[str, Any]) -> list[Block]:
    """Findings, and where the content stands now."""
    text = f"{counted(report['files'], 'file')}, {size(report['bytes'])} restored to {report['path']}"
    return [Findings(report["findings"]), Text(text, "strong")]
