"""Pins: snapshots that no policy and nobody forgets until the pin is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.operations.options import RepoOption
from memorybank_cli.operations.ownership import own_one
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import pins
from memorybank_cli.snapshots.repository import explained


@dataclass(frozen=True)
class PinReport:
    """Which snapshots are pinned now."""

    snapshot: str
    pinned: bool
    pins: tuple[str, ...]

    def summary(self) -> str:
        """What holds now."""
        if self.pinned:
            return f"Snapshot {self.snapshot} is pinned; nothing forgets it."
        return f"Snapshot {self.snapshot} is not pinned; the policy decides about it."


def pin(
    bank: Bank,
    id: Annotated[str, "an id, a unique beginning of one, or latest"],
    *,
    remove: Annotated[bool, "take the pin away"] = False,
    repo: RepoOption = None,
) -> PinReport:
    """Pin a snapshot, so that it is never forgotten.

    Exit codes:
        0   done
        10  there is no such snapshot
        13  it is of another bank

    Examples:
        memorybank snapshot pin latest
        memorybank snapshot pin 20261120T140000Z-0123abcd --remove
    """
    bank.check_writable()
    baseline.begin(bank)
    with (
        open_repository(bank, repo) as repository,
        explained("cannot pin the snapshot"),
        repository.alone(bank.lock_timeout),
    ):
        name = own_one(bank, repository, id).id
        if (name in pins.pinned(repository)) == remove:
            op = "snapshot.unpinned" if remove else "snapshot.pinned"
            bank.commit([Entry(op, {"snapshot": name, "repository": repository.path})])
            (pins.unpin if remove else pins.pin)(repository, name)
        return PinReport(name, not remove, tuple(sorted(pins.pinned(repository))))
