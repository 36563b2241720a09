"""Verifying snapshots: what the repository says of itself, and what the journal knows should be in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import when_interrupted
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import to_look_at
from memorybank_cli.operations.proofs import proofs
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.verifying import Subset, Verified
from memorybank_cli.snapshots.verifying import verify as verify_repository

MADE, FORGOTTEN, UNDELETED = "snapshot.created", "snapshot.forgotten", "snapshot.undeleted"


def verify(
    bank: Bank,
    id: Annotated[str | None, "an id, a unique beginning of one, or latest; default: all"] = None,
    *,
    read_data: Annotated[bool, "read every byte of every pack"] = False,
    subset: Annotated[
        str | None, Option("read some packs: the n-th of t parts, or the share read longest ago", metavar="N/T|P%")
    ] = None,
    resume: Annotated[bool, "go on where an interrupted --read-data was"] = False,
    repo: RepoOption = None,
) -> Verified:
    """Prove that snapshots can be restored.

    Every directory is read, and every file's content must be in a pack. With --read-data every byte of the
    packs is read too, of one snapshot those that it needs. What is found damaged the next backup stores again.

    Exit codes:
        0    everything is there
        1    something is damaged; the findings name the files that it hits
        10   there is no such snapshot
        130  interrupted; --resume goes on from there

    Examples:
        memorybank snapshot verify --read-data
        memorybank snapshot verify --read-data --subset 1/7
        memorybank snapshot verify latest --read-data
    """
    if not read_data and (subset is not None or resume):
        raise UsageError("--subset and --resume go with --read-data", hint="memorybank snapshot verify --read-data")
    if resume and (subset is not None or id is not None):
        raise UsageError("--resume goes on with a run over all packs", hint="leave out --subset and ID")
    part = None if subset is None else Subset.parse(subset)
    with when_interrupted("nothing was changed"), open_repository(bank, repo) as repository:
        ids = None if id is None else [to_look_at(bank, repository, id).id]
        found = verify_repository(
            repository,
            ids,
            read_data,
            bank.context.progress,
            subset=part,
            resume=resume,
            proofs=proofs(bank, repository),
            lock_timeout=bank.lock_timeout,
        )
        gone = tuple(_gone(bank, repository)) if ids is None else ()
        return replace(found, findings=(*gone, *found.findings))


def _gone(bank: Bank, repository: Repository) -> Iterator[Finding]:
    """Snapshots that the journal says were made here, and nobody forgot, and that are not here."""
    expected = lacking(bank, repository.path, repository)
    for name in sorted(expected):
        yield Finding(
            "MB130",
            f"snapshot {name}, made {expected[name][:19]}Z, is not in the repository, and nobody forgot it",
            pointer=f"/snapshots/{name}",
            hint="put the repository back from a copy, or make a new snapshot: memorybank backup. An older copy of "
            "a repository lacks what was made since",
        )


def lacking(bank: Bank, path: str, repository: Repository | None) -> dict[str, str]:
    """Snapshots that the journal says were made at a place, and nobody forgot, that are not there: when, by id.

    Wherever this repository stood they count, and those of another one that stood here last: a disk that is not mounted
    leaves room for a new one. None: there is no repository now. Others may make and forget some meanwhile.
    """
    before = _expected(bank, path, repository)
    there = set() if repository is None else {entry.name for entry in repository.backend.entries("snapshots")}
    gone = before.keys() - there
    after = _expected(bank, path, repository) if gone else {}  # the journal has it before a document goes
    return {name: when for name, when in before.items() if name in gone and name in after}


def _expected(bank: Bank, path: str, repository: Repository | None) -> dict[str, str]:
    """What should be there by the journal: when it was made, by id."""
    expected: dict[str, tuple[str, str]] = {}
    places: dict[str, str] = {}
    for line in bank.journal.lines(ops={op.encode() for op in (MADE, FORGOTTEN, UNDELETED)}):
        if line.op == FORGOTTEN:
            for name in line.core.get("snapshots", ()):
                expected.pop(name, None)
        elif line.op in (MADE, UNDELETED):
            place = str(line.core.get("repository"))
            which = str(line.core.get("repo_id", place))  # lines of older programs only say where it was
            made = [line.core["snapshot"]] if "snapshot" in line.core else []
            names = made if line.op == MADE else line.core.get("snapshots", ())
            expected.update((str(name), (which, str(line.core["ts"]))) for name in names)
            places[which] = os.path.realpath(place)
    here = {which for which, place in places.items() if place == os.path.realpath(path)}
    here |= set() if repository is None else {repository.repo_id}
    return {name: when for name, (which, when) in expected.items() if which in here}
