"""The times in one document: those without a zone, and moments that are told twice, as an epoch and as a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memorybank_cli.bank import moments
from memorybank_cli.bank.moments import LEAST, MINUTE, QUARTER, SAME_DAY, TIME_MEMBERS

VARIES = "varies"
NAMES, MEMBERS = 0, 1
_Chain = Any  # the way to a value, innermost first: None, or a pair of a way and a key


def gather(name: str, kind: str, value: Any, records: Sequence[Any], member: str, found: dict[str, Any]) -> None:
    """Put what is to be said of a document's times under `naive`, `zones` and `apart`; nothing where all is well.

    `records` are those of a list: the document's, or its `member`'s. Of any other list the first item stands for all:
    one writer wrote them. A trade whose own time has a zone is taken at its word for the times further inside.
    """
    times = _Times(found)
    if isinstance(value, dict):
        times.inside = kind != "trade" or not _has_zone(value)
        times.walk({key: inner for key, inner in value.items() if key != member} if member else value, None)
        moment = moments.in_name(name)
        if moment is not None:
            times.compare_name(moment, value)
    chain = (None, member) if member else None
    for number, record in enumerate(records):
        times.item(record, number, chain)


def _has_zone(record: dict[str, Any]) -> bool:
    for member in TIME_MEMBERS:
        value = record.get(member)
        if type(value) is str:
            return value[-1:] == "Z" or (moments.of_value(value) or (0, True))[1] is False
    return False


class _Times:
    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        self.inside = True

    def walk(self, value: Any, chain: _Chain) -> None:
        """Look at the texts and numbers of a record. The hot path: a few comparisons for each."""
        for key, inner in value.items():
            kind = type(inner)
            if kind is str:
                if len(inner) > 15 and inner[4] == "-" and inner[-1] != "Z":
                    self._text(inner, key, chain)
            elif kind is float or kind is int:
                if inner >= LEAST:
                    self._number(inner, key, value, chain)
            elif kind is dict and self.inside:
                self.walk(inner, (chain, key))
            elif kind is list and inner and self.inside:
                self.item(inner[0], 0, (chain, key))

    def item(self, value: Any, number: int, chain: _Chain) -> None:
        """Look at one item of a list."""
        if type(value) is dict:
            self.walk(value, (chain, number))
        elif type(value) is list and value:
            self.item(value[0], 0, (chain, number))
        elif type(value) is str:
            self._text(value, number, chain)

    def _text(self, text: str, key: Any, chain: _Chain) -> None:
        time = moments.parse(text)
        if time is None or time.tzinfo is not None:
            return
        known = self.found.get("naive")
        if known is None:
            self.found["naive"] = [1, _pointer((chain, key)), text]
        else:
            known[0] += 1

    def _number(self, number: float, key: str, value: dict[str, Any], chain: _Chain) -> None:
        epoch = moments.of_epoch(number)
        if epoch is None:
            return
        for partner in moments.partners(key):
            text = value.get(partner)
            if isinstance(text, str) and (time := moments.parse(text)) is not None:
                apart = moments.of_datetime(time) - epoch
                if time.tzinfo is None:
                    self._zone(apart, MEMBERS)
                if abs(apart) >= MINUTE:
                    self._apart(apart, MEMBERS, _pointer((chain, partner)), epoch, text)

    def compare_name(self, epoch: int, record: dict[str, Any]) -> None:
        """Hold the epoch in a file's name against the record's times: one of them is meant, the first by itself."""
        rows = ((member, record.get(member)) for member in TIME_MEMBERS)
        times = [(member, value, found) for member, value in rows if (found := moments.of_value(value)) is not None]
        if not times:
            return
        member, value, (moment, without_zone) = times[0]
        if without_zone:
            self._zone(moment - epoch, NAMES)
        # A number more than a day from the record's time is not that time, perhaps no time at all.
        nearest = min(abs(one[2][0] - epoch) for one in times)
        if nearest > QUARTER - MINUTE and abs(moment - epoch) < SAME_DAY:
            self._apart(moment - epoch, NAMES, f"/{member}", epoch, str(value))

    def _zone(self, apart: int, source: int) -> None:
        minutes = moments.zone_of(apart)
        if minutes is not None:
            self.found.setdefault("zones", {}).setdefault(str(minutes), [0, 0])[source] += 1

    def _apart(self, apart: int, source: int, pointer: str, epoch: int, text: str) -> None:
        minutes = moments.zone_of(apart)
        group = VARIES if minutes is None else str(minutes)
        row = self.found.setdefault("apart", {}).setdefault(group, [0, 0, pointer, epoch, text])
        row[source] += 1


def _pointer(chain: _Chain) -> str:
    parts: list[str] = []
    while chain is not None:
        chain, key = chain
        parts.append(str(key).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in reversed(parts))
