"""Lifting the documents of a bank to the present version of their schemas, as one journaled act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import OLDER, Examiner
from memorybank_cli.bank.replacing import Replacement, replace_files
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.migrations.lifting import Unliftable
from memorybank_cli.migrations.lifting import lift as lifted_value


class LiftedFile(NamedTuple):
    """A document that is, or would be, of the present version."""

    path: str
    kind: str
    from_version: int
    to_version: int


class UnliftableFile(NamedTuple):
    """A document that stays as it is, and why."""

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Lifted:
    """What came of lifting."""

    paths: tuple[LiftedFile, ...]
    unliftable: tuple[UnliftableFile, ...]
    kept: dict[str, str] = field(default_factory=dict)
    """Where the bytes that stood there wait, by path."""


def lift(bank: Bank, dry_run: bool = False, scan: Scan | None = None) -> Lifted:
    """Lift every document that names an older version of its schema; each must match the schema afterwards.

    What stood there goes to quarantine, and the lifted document is what is expected from then on, in append-only
    sections too. `scan`: a look over the bank that was just taken. Raises OSError, Locked, JournalDamaged.
    """
    scan = scan or Scanner(bank, bank.context.progress).run()
    work = _Work(bank, {change.path for change in scan.outside})
    paths = sorted({one.path for one in scan.findings if one.rule == OLDER})
    if dry_run:
        for path in paths:
            work.lift(path)
        return Lifted(tuple(work.lifted), tuple(work.unliftable))
    replaced = replace_files(bank, work.replacements(paths), "migrate: lift to the present schemas") if paths else None
    return Lifted(tuple(work.lifted), tuple(work.unliftable), replaced.kept if replaced else {})


class _Work:
    def __init__(self, bank: Bank, outside: set[str]) -> None:
        self.bank, self.outside = bank, outside
        self.examiner = Examiner(bank.registry)
        self.lifted: list[LiftedFile] = []
        self.unliftable: list[UnliftableFile] = []

    def replacements(self, paths: list[str]) -> Iterator[Replacement]:
        """One document after the other, so that only one is in memory."""
        for path in paths:
            content = self.lift(path)
            info = self.bank.root.stat(path)
            if content is not None and info is not None:
                yield Replacement(path, content, info.st_mode & 0o7777, kind=self.lifted[-1].kind)

    def lift(self, path: str) -> bytes | None:
        """The lifted document's bytes; None for one that stays as it is."""
        where = layout.place(path)
        try:
            data = self.bank.root.read(path, HARD_SIZE)
            value = loads(data)
        except (OSError, FlawedJSON):
            return None  # it changed since it was looked at: the next look judges it anew
        kind = self.examiner.kind(where, value)
        annotations = self.bank.registry.annotations(kind)
        try:
            if path in self.outside:
                raise Unliftable("it was changed outside memorybank: accept it, or take the change back first")
            found = lifted_value(value, annotations)
            content = dumps(found, indent=b"\n" in data.strip()) + (b"\n" if data.endswith(b"\n") else b"")
            misfits = self.examiner.content(content, where)[1]
            if misfits:
                place = f" at {misfits[0].pointer}" if misfits[0].pointer else ""
                raise Unliftable(f"lifted it does not match{place}: {misfits[0].message}")
        except (Unliftable, ValueError, RecursionError) as error:
            self.unliftable.append(UnliftableFile(path, kind, str(error)))
            return None
        self.lifted.append(LiftedFile(path, kind, value["schema_version"], found["schema_version"]))
        return content
