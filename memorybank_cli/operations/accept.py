"""Accepting: an outside change is recorded as wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated

from memorybank_cli.accounts.archiving import is_right
from memorybank_cli.accounts.replay import CONFIGURED
from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.examine import MISFIT
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.scan import Change, Scanner
from memorybank_cli.base.errors import Refused, UsageError
from memorybank_cli.base.names import quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.operations.loss import told_losses
from memorybank_cli.operations.paths import bank_paths
from memorybank_cli.operations.probes import histories


@dataclass(frozen=True)
class AcceptReport:
    """What is expected from now on."""

    accepted: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Accepted files of the config that do not fit their schema, so that they are without effect."""

    def summary(self) -> str:
        """How many."""
        damaged = f"; {len(self.skipped)} damaged ones stay findings: memorybank repair" if self.skipped else ""
        if not self.accepted:
            return f"Nothing had changed{damaged}."
        unfit = ", ".join(sorted({one.path for one in self.findings}))
        misfits = f"; {unfit} does not fit its schema, so correct it and accept it again" if unfit else ""
        return f"{counted(len(self.accepted), 'change')} accepted{damaged}{misfits}"


def accept(
    bank: Bank,
    *paths: Annotated[str, "files or directories whose changes are wanted"],
    reason: Annotated[str, "why, for the journal"] = "",
) -> AcceptReport:
    """Record changes made outside memorybank as wanted.

    For files that only memorybank writes, append-only files that were changed, and files that were
    removed. Where the last snapshot is suspect, what it misses below PATH counts as wanted from then on;
    the loss of an account that was begun anew (MB116) counts as known.
    Damaged files are not accepted: repair them.

    Exit codes:
        0   recorded
        13  the file is damaged

    Examples:
        memorybank accept trades/trade_1743394526.json --reason "corrected the fee"
    """
    if not paths:
        raise UsageError("which files?", hint="memorybank accept PATH; . stands for the whole bank")
    if bank.is_empty:
        baseline.establish(bank, bank.context.progress)
    chosen = bank_paths(bank, paths)
    scanner = Scanner(bank, bank.context.progress)
    scan = scanner.run() if "" in chosen else scanner.run_on(chosen)
    unfit = {one.path for one in scan.outside if _is_unfit(bank, one.path)}
    damaged = (*(one.path for one in scan.damaged if one not in scan.outside), *sorted(unfit))
    if set(chosen) & set(damaged):
        path = next(one for one in damaged if one in chosen)
        raise Refused(
            f"{path} is damaged, so it cannot be what is wanted", path=path, hint=f"memorybank repair {quoted(path)}"
        )
    wanted = [
        *(one for one in scan.outside if one.path not in unfit),
        *(one for one in scan.changes if one.pending != "found"),
        *_modes(bank, chosen),
    ]
    fields = {"reason": reason} if reason else {}
    accepted = Adopter(bank).adopt(wanted, "file.accepted", **fields)
    _accept_groups(bank, chosen)
    baseline.establish(bank, bank.context.progress)
    accepted += Adopter(bank).adopt(list(told_losses(bank, chosen)), "file.accepted", **fields)
    accepted += _known_losses(bank, chosen, fields)
    _trust_own_hand(bank, accepted)
    return AcceptReport(tuple(sorted(accepted)), damaged, _misfits(bank, accepted))


def _modes(bank: Bank, chosen: list[str]) -> Iterator[Change]:
    """Files that hold what was recorded and have other permissions: the mode is recorded anew."""
    for path, _, _ in bank.catalog.modes_apart():
        if "" in chosen or any(path == one or path.startswith(f"{one}/") for one in chosen):
            expected, seen = bank.catalog.row(path)
            yield Change(path, "changed", layout.place(path), expected, seen)


def _accept_groups(bank: Bank, chosen: list[str]) -> None:
    """The groups of these files are what is usual from now on."""
    if bank.root.stat(layout.FINDINGS) is not None:
        with closing(EventStore(bank.root)) as store:
            Permissions(bank, store).accept(chosen)


def _is_unfit(bank: Bank, path: str) -> bool:
    """Whether a changed file is an archived segment that is none: nobody but `account check` would find that later."""
    is_there = path.endswith(".zst") and layout.history_first(path) is not None and bank.root.stat(path) is not None
    return is_there and not is_right(bank, path)


def _known_losses(bank: Bank, chosen: list[str], fields: dict[str, str]) -> list[str]:
    """Accounts that were begun anew with a part of their messages: the loss is known from now on."""
    lost = [one.path for one in histories(bank, [] if "" in chosen else chosen) if one.rule == "MB116"]
    for path in lost:
        account = layout.account_of(path.partition("/")[0])
        bank.commit([Entry(CONFIGURED, {"account": account, "accepted": True, **fields})])
    if lost:
        bank.render()
    return lost


def _misfits(bank: Bank, accepted: list[str]) -> tuple[Finding, ...]:
    config = [path for path in accepted if path.startswith("config/") and bank.root.stat(path) is not None]
    found = Scanner(bank).run_on(config).findings if config else []
    return tuple(one for one in found if one.rule == MISFIT)


def _trust_own_hand(bank: Bank, accepted: list[str]) -> None:
    """A config that was accepted is expected; that it may loosen policy needs `config trust`."""
    if layout.CONFIG in accepted and bank.settings.inert():
        bank.context.progress.note("some settings in the config stay without effect until: memorybank config trust")
