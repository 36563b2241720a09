"""What people see of one line of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Bytes
from memorybank_cli.cli.render import cell, finding_line

FILES = 3
_RECORDS = ("changed", "added", "removed")
LATE = 60.0
"""Seconds after which people are told that a message came late."""
_SHOWN_FIRST = ("type", "ts", "time", "seq", "path", "paths")


def change(line: dict[str, Any]) -> str:
    """Any line: when, what, where, and the rest as `name=value`."""
    finding = _finding(line)
    when = clock_time(line.get("ts") or line.get("time"))
    if finding is not None:
        return " ".join(part for part in (when, str(line.get("type", "")), finding_line(finding)) if part)
    where = line.get("path") or ", ".join(line.get("paths") or ())
    rest = " ".join(f"{name}={cell(value)}" for name, value in line.items() if name not in _SHOWN_FIRST)
    return escape_text(" ".join(part for part in (when, str(line.get("type", "")), where, rest) if part))


def event(line: dict[str, Any]) -> str:
    """A line of the journal: its number, when, what, about what, and by whom."""
    names = ("path", "account", "subject", "record", "snapshot", "silence", "rule", "result")
    about = [str(line[name]) for name in names if line.get(name)]
    many = [str(one) for one in line.get("snapshots") or ()]
    many += map(str, records) if isinstance(records := line.get("records"), list) else ()
    many += [str(one["path"]) for one in line.get("files") or () if isinstance(one, Mapping) and "path" in one]
    if isinstance(alerts := line.get("alerts"), list):
        many += [f"{one['rule']} {one['path']}".rstrip() for one in alerts if {"rule", "path"} <= set(one)]
    about = list(dict.fromkeys([*about, *many[:FILES]]))
    if len(many) > FILES:
        about.append(f"and {len(many) - FILES:,} more")
    if isinstance(line.get("packs"), int):
        about.append(f"{counted(line['packs'], 'pack')} to the trash, {cell(Bytes(line.get('freed', 0)))} freed")
    words = f"{line.get('seq', '-'):>8} {clock_time(line.get('ts'))} {_what(line)} {' '.join(about)}"
    actor = f" ({line['actor']})" if line.get("actor") else ""
    return escape_text(words.rstrip() + actor)


def _what(line: Mapping[str, Any]) -> str:
    """What happened; of a rollback to what, and which one was undone; why an alert is not told, or not any more."""
    op, reason = str(line.get("op", "")), line.get("reason")
    if op in ("silence.begun", "alert.acknowledged"):
        return f"{op} ({reason})"
    if not op.startswith("restore.") or not reason:
        return op
    to = f" to line {line['line']}" if line.get("line") else " to snapshot" if line.get("snapshot") else ""
    return f"{op} ({'undo' if line.get('undoes') else reason}{to})"


def watched(line: dict[str, Any]) -> str:
    """A line of `watch`; of a change what happened, not the digests, and of many paths the first three."""
    if line.get("type") == "looked":
        return ""  # the heartbeat, for programs
    if line.get("type") == "changed":
        words = [str(line.get("change", "changed")), str(line.get("path", "")), _records(line.get("records"))]
    elif line.get("type") == "ready" and line.get("role") == "leading":  # as nearly always
        return change({name: value for name, value in line.items() if name != "role"})
    elif line.get("type") == "adopted":
        paths = [str(path) for path in line.get("paths") or ()]
        more = [f"and {len(paths) - FILES:,} more"] if len(paths) > FILES else []
        words = ["adopted", *paths[:FILES], *more]
    elif line.get("type") == "resolved":
        words = ["resolved", str(line.get("rule", "")), str(line.get("path", ""))]
    elif line.get("type") == "recovered":
        kept = f"; the damaged bytes are in {line['kept']}" if line.get("kept") else ""
        words = ["recovered", f"{line.get('path')} ({line.get('rule')}), {line.get('why')}{kept}"]
    elif line.get("type") == "alert":
        words = ["alert", str(line.get("severity", "")), str(line.get("message", ""))]
    elif line.get("type") == "delivered":
        if line.get("try") == 1 and line.get("late_seconds", 0) < LATE:
            return ""  # as it should be
        words = ["delivered", f"to {line.get('channel')}, {counted(int(line['late_seconds']), 'second')} late"]
    elif line.get("type") == "undelivered":
        words = ["undelivered", f"to {line.get('channel')}: {line.get('reason')}"]
    elif line.get("type") == "health":
        words = ["health", f"{line.get('score')} of 100, {line.get('status')}"]
    else:
        finding = _finding(line)
        urgent = finding is not None and finding.get("severity") == "critical" and finding.get("hint")
        return f"{change(line)}\n    {escape_text(str(finding['hint']))}" if finding and urgent else change(line)
    return escape_text(" ".join(word for word in (clock_time(line.get("ts")), *words) if word))


def _records(records: Any) -> str:
    """Which records a change is about: `(changed 0x2a; added 7, 8)`; '' where that is not known."""
    if not isinstance(records, Mapping):
        return ""
    told = [f"{what} {', '.join(map(str, records[what]))}" for what in _RECORDS if records.get(what)]
    more = [f"and {records['more']:,} more"] if records.get("more") else []
    return f"({'; '.join([*told, *more])})" if told else ""


def message(line: dict[str, Any]) -> str:
    """A message of an account: when, who, what."""
    content = line.get("content", "")
    text = content if isinstance(content, str) else cell(content)
    # Indented, so that no content can look like another message.
    indented = text.replace("\n", "\n    ")
    return f"{line.get('timestamp', '')} {line.get('role', '')}: {indented}"


def clock_time(moment: Any) -> str:
    """A time to the second; '' for none."""
    return str(moment).partition(".")[0].rstrip("Z") + "Z" if moment else ""


def _finding(line: dict[str, Any]) -> Mapping[str, Any] | None:
    inner = line.get("finding")
    if isinstance(inner, Mapping) and "rule" in inner:
        return inner
    return line if {"rule", "severity", "message"} <= line.keys() else None
