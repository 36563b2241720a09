"""What was proved of a bank's snapshots, and when: kept in the state directory, where losing it costs work only."""

from __future__ import annotations

from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.snapshots.proofs import Proofs
from memorybank_cli.snapshots.repository import Repository

_DRILL = "drill"


def proofs(bank: Bank, repository: Repository) -> Proofs:
    """What is known of the packs of a repository; each change of it is kept in the bank's state directory."""
    name = f"proofs-{repository.repo_id}"

    def keep(found: Proofs) -> None:
        try:
            bank.home.keep_derived(name, found.as_dict())
        except OSError as error:  # the check itself goes on: it only cannot be resumed
            bank.context.progress.note(from_os_error(error, "cannot note which packs were read").message)

    return Proofs.parse(bank.home.derived(name), keep)


def damaged_packs(bank: Bank, repository: Repository) -> frozenset[str]:
    """Packs that the last reading found damaged and that nobody wrote since: what is in them is to be stored again."""
    return proofs(bank, repository).still_damaged(repository.stored_packs())


def last_drill(bank: Bank) -> dict[str, Any]:
    """The last drill: `time`, `ok`, `snapshot`, `seconds`, and `last_good`, when one passed; {} where none was made."""
    found = bank.home.derived(_DRILL)
    try:
        for name in ("time", "last_good"):
            if found.get(name) is not None:
                clock.parse(found[name])
    except (TypeError, ValueError):
        return {}
    return found


def keep_drill(bank: Bank, snapshot: str, ok: bool, seconds: float) -> None:
    """Keep what came of a drill that ends now. Raises OSError."""
    now = clock.now()
    good = now if ok else last_drill(bank).get("last_good")
    found = {"time": now, "ok": ok, "snapshot": snapshot, "seconds": round(seconds, 3), "last_good": good}
    bank.home.keep_derived(_DRILL, found)
