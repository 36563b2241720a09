"""Times that do not say what they mean: without a zone, or told twice and not alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank import moments
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.bank.times import VARIES
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted


def without_zone(bank: Bank) -> Iterator[Finding]:
    """MB205: one for each section in which times have no zone, with the zone that epochs suggest."""
    facts = bank.catalog.meta("facts", {})
    for section, (times, files, path, pointer, text) in sorted(facts.get("naive", {}).items()):
        evidence = facts.get("zones", {}).get(section, {})
        have = "has" if times == 1 else "have"
        message = (
            f"{counted(times, 'time')} in {counted(files, 'file')} {have} no zone, "
            f"such as {shorten(text)} at {shorten(pointer)} of {path}{_zone(evidence)}"
        )
        hint = f"let the writer add the zone: {_with_zone(text, evidence)}"
        yield Finding("MB205", message, section, hint, expected="a time with its zone", found=shorten(text))


def _with_zone(text: str, evidence: dict[str, list[int]]) -> str:
    """The same time with the zone that epochs suggest, and in UTC; without such, how it would be in UTC or another."""
    if not evidence:
        return f"{text}Z where it is UTC, else its offset, as in {text}-04:00"
    minutes = int(_likeliest(evidence)[0])
    moment = moments.of_value(text)
    if not minutes or moment is None:
        return text + moments.offset(minutes)
    return f"{text}{moments.offset(minutes)} or {moments.like(moment[0] - minutes * moments.MINUTE, text)}Z"


def _likeliest(evidence: dict[str, list[int]]) -> tuple[str, list[int]]:
    return max(evidence.items(), key=lambda one: (sum(one[1]), one[0]))


def _zone(evidence: dict[str, list[int]]) -> str:
    if not evidence:
        return ""
    minutes, (names, members) = _likeliest(evidence)
    total = sum(map(sum, evidence.values()))
    of = "" if names + members == total else f" of {total:,}"
    if names >= members:
        witness = f"the epoch in {names:,}{of} names says" if names > 1 or of else "the epoch in the name says"
    else:
        witness = f"{members:,}{of} epochs beside them say" if members > 1 or of else "the epoch beside it says"
    return f"; as {witness}, {moments.show_zone(int(minutes))}"


def disagreeing(bank: Bank) -> Iterator[Finding]:
    """MB206: one for each section and span by which an epoch and a text of the same moment are apart."""
    facts = bank.catalog.meta("facts", {})
    for _, groups in sorted(facts.get("apart", {}).items()):
        for group, (names, members, path, pointer, epoch, text) in sorted(groups.items()):
            yield _apart(group, names, members, path, pointer, epoch, text)


def _apart(group: str, names: int, members: int, path: str, pointer: str, epoch: int, text: Any) -> Finding:
    where = " or ".join(place for place, count in (("in the file's name", names), ("beside it", members)) if count)
    total = names + members
    who = "the time differs" if total == 1 else f"{total:,} times differ"
    if group == VARIES:
        message = f"{who} from the epoch {where}, not by whole quarters of an hour"
    else:
        side = "later" if int(group) > 0 else "earlier"
        message = f"{who} from the epoch {where}: {moments.show_span(int(group))} {side}, read as UTC"
    said = clock.from_ns(epoch * 1_000)
    return Finding("MB206", message, path, "memorybank explain MB206", pointer, expected=said, found=shorten(text))
