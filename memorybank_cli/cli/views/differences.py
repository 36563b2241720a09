"""What people see of a comparison: each record in a line, and of many that are alike how many and three of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted, size
from memorybank_cli.cli.blocks import Block, Findings, Style, Table, Text
from memorybank_cli.meaning.telling import inside, told

PER_GROUP = 10
"""So many files or records of one place that the same happened to are shown one by one."""
ALIKE = 4
"""So many records in which the same fields got the same values are one line."""
MOST_FOLDED = 5
EXAMPLES = 3
_STYLES: dict[str, Style] = {
    "added": "good",
    "damaged": "bad",
    "healed": "good",
    "mode": "dim",
    "removed": "bad",
    "restored": "good",
}
_SIDES = {"before": "the older version is", "after": "the newer version is", "both": "both versions are"}

Row = Mapping[str, Any]


def diff(report: dict[str, Any]) -> list[Block]:
    """Sections with counts, or every difference; many that are alike are told together."""
    blocks: list[Block] = [Findings(report["findings"])]
    if report["stat"]:
        return [*blocks, *stat(report["sections"])]
    return blocks + list(changes(report["files"], report["records"]))


def stat(sections: Mapping[str, Any]) -> Iterator[Block]:
    """A row a section: how many files and records, by what happened to them."""
    rows = [[name, _counts(one["files"]), _counts(one["records"])] for name, one in sections.items()]
    if rows:
        yield Table(("section", "files", "records"), rows)


def changes(files: Iterable[Row], records: Iterable[Row]) -> Iterator[Block]:
    """Files and records as `snapshot diff` gives them in JSON; of a file `path` and `what` are enough."""
    of_file: dict[str, list[Row]] = {}
    messages: dict[str, list[Row]] = {}
    for record in records:
        where = messages if "account" in record else of_file
        where.setdefault(record["path"], []).append(record)
    for account, found in messages.items():
        yield Text(f"messages of {account}: {_counts(Counter(one['what'] for one in found))}", "strong")
        yield from _records(found)
    groups: dict[tuple[str, str], list[Row]] = {}
    for one in files:
        section = one["path"].rpartition("/")[0]
        if section not in messages and section.removesuffix("/history") not in messages:
            groups.setdefault((section, one["what"]), []).append(one)
    for (section, _), alike in groups.items():
        rest = yield from _folded(section, alike, of_file)
        if len(rest) > PER_GROUP:
            yield from _many(section, rest, of_file)
        else:
            for one in rest:
                yield from _file(one, of_file.get(one["path"], []))


def _file(one: Row, records: Sequence[Row]) -> Iterator[Block]:
    yield Text(f"{one['what']} {one['path']}{_about(one)}", _style(one))
    if len(records) == 1 and not records[0]["pointer"] and records[0]["what"] != "changed":
        yield Text(f"  {told(records[0], with_what=False)}")
    else:
        yield from _records(records)


def _about(one: Row) -> str:
    """What a line about a file says beyond its path."""
    before, after = one.get("before") or {}, one.get("after") or {}
    rule = after.get("rule") or before.get("rule")
    parts = [rule] if rule else [f"damaged now: {one['damaged_now']}"] if one.get("damaged_now") else []
    if one["what"] == "mode":
        parts.append(f"{before['mode']} -> {after['mode']}")
    if one.get("unreadable"):
        parts.append(f"{_SIDES[one['unreadable']]} no JSON, only the bytes could be compared")
    elif one.get("same_values"):
        parts.append("the same values, written differently")
    elif one["what"] == "changed" and before and not (one["records"] or one["reordered"] or one["reshaped"]):
        parts.append(f"{size(before['size'])} -> {size(after['size'])}")
    if one.get("reordered"):
        parts.append("records stand in another order")
    if one.get("reshaped"):
        parts.append("the document has another form")
    return f" ({'; '.join(parts)})" if parts else ""


def _records(records: Sequence[Row]) -> Iterator[Block]:
    """Records of one place; those that changed alike in one line."""
    counts = Counter(filter(None, map(_signature, records)))
    folded = [signature for signature, number in counts.most_common(MOST_FOLDED) if number >= ALIKE]
    for signature in folded:
        yield Text(f"  {_alike(signature, counts[signature])}", "warning")
    others = [record for record in records if not folded or _signature(record) not in folded]
    for record in others[:PER_GROUP]:
        yield Text(f"  {told(record)}", _style(record))
    left = Counter(record["what"] for record in others[PER_GROUP:])
    if left:
        yield Text(f"  ... and {_counts(left)} more (--json shows all)", "dim")


def _signature(record: Row) -> tuple[str, str] | None:
    """Kind of a changed record and what changed in it; None for one that came or went."""
    return (record["kind"], inside(record)) if record["what"] == "changed" else None


def _alike(signature: tuple[str, str], count: int) -> str:
    kind, fields = signature
    return f"{counted(count, escape_text(kind), _plural(kind))}: {fields}"


def _plural(kind: str) -> str:
    return escape_text(f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s")


def _folded(section: str, files: Sequence[Row], of_file: Mapping[str, list[Row]]) -> Generator[Block, None, list[Row]]:
    """Tell files in which the same fields of the same number of records changed alike together; returns the others."""
    alike: dict[Any, list[Row]] = {}
    for one in files:
        signatures = Counter(map(_signature, of_file.get(one["path"], ())))
        key = (_about(one), *signatures.items()) if len(signatures) == 1 and None not in signatures else None
        alike.setdefault(key, []).append(one)
    several = [key for key, found in alike.items() if key is not None and len(found) >= ALIKE]
    chosen = sorted(several, key=lambda key: -len(alike[key]))[:MOST_FOLDED]
    for key in chosen:
        about, (signature, count) = key
        found = alike[key]
        yield Text(f"{found[0]['what']} {_where(found, section)}{about}", _style(found[0]))
        yield Text(f"  {_alike(signature, count * len(found))}", "warning")
        yield _such_as(found)
    told_of = {one["path"] for key in chosen for one in alike[key]}
    return [one for one in files if one["path"] not in told_of]


def _many(section: str, files: Sequence[Row], of_file: Mapping[str, list[Row]]) -> Iterator[Block]:
    records = [record for one in files for record in of_file.get(one["path"], ())]
    kinds = Counter(f"{_plural(record['kind'])} {record['what']}" for record in records)
    told_of = "".join(f"; {number:,} {words}" for words, number in kinds.most_common(EXAMPLES))
    yield Text(f"{files[0]['what']} {_where(files, section)}{told_of}", _style(files[0]))
    rules = Counter(rule for one in files if (rule := (one.get("after") or {}).get("rule")))
    if rules:
        yield Text(f"  rules: {', '.join(f'{rule} {number:,}' for rule, number in rules.most_common())}")
    fields = Counter(_general(field["pointer"]) for record in records for field in record.get("fields", ()))
    if fields:
        shown = ", ".join(f"{escape_text(name)} {number:,}" for name, number in fields.most_common(PER_GROUP))
        more = f" and {len(fields) - PER_GROUP:,} more" if len(fields) > PER_GROUP else ""
        yield Text(f"  fields: {shown}{more}")
    for signature, number in Counter(filter(None, map(_signature, records))).most_common(EXAMPLES):
        if number >= ALIKE:
            yield Text(f"  {_alike(signature, number)}", "warning")
    yield _such_as(files)


def _such_as(files: Sequence[Row]) -> Text:
    return Text(f"  such as {', '.join(one['path'] for one in files[:EXAMPLES])}", "dim")


def _where(files: Sequence[Row], section: str) -> str:
    return f"{counted(len(files), 'file')} in {section or 'the bank'}"


def _general(pointer: str) -> str:
    """A place of many records: numbers in it stand for any."""
    return "/".join("*" if part.isdecimal() else part for part in pointer.lstrip("/")[:80].split("/"))


def _style(row: Row) -> Style:
    return _STYLES.get(row["what"], "warning")


def _counts(counted_by: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in sorted(counted_by.items()))
