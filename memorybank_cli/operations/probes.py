"""The table of probes: functions from a bank to findings, and the one place that runs them all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import CONFIG_LIMIT
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.bank.settled import as_row
from memorybank_cli.bank.tally import foreign
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.base.settings import flatten
from memorybank_cli.base.walk import may

Probe = Callable[[Bank], Iterable[Finding]]


def journal(bank: Bank) -> Iterable[Finding]:
    """MB120, MB121: the chain, as far as it was followed; MB123: what cannot vouch for it."""
    yield from (one.finding() for one in bank.breaks())
    for path in sorted(bank.home.damaged):
        yield Finding("MB123", f"{escape(path)} is damaged and counts as missing", "", f"rm '{escape(path)}'")


def settings(bank: Bank) -> Iterable[Finding]:
    """MB401: settings in the bank's own config that are not taken from there."""
    data = bank.root.content(layout.CONFIG, CONFIG_LIMIT)
    try:
        info = bank.root.stat(layout.CONFIG)
    except OSError:
        return  # of a directory that cannot be read, which its own check reports
    if data is None and info is not None and info.st_size > CONFIG_LIMIT:
        message = f"{info.st_size:,} bytes; a config of more than {CONFIG_LIMIT >> 20} MiB is not read"
        yield Finding("MB301", message, layout.CONFIG, "make it smaller")
    try:
        value = loads(data) if data else {}
    except FlawedJSON:
        return  # the file's own check reports that
    if not isinstance(value, dict):
        return
    inert = set(bank.settings.inert())
    for name in flatten(value):
        if name in inert:
            message = f"'{name}' is not taken from the bank's own config"
            yield Finding(
                "MB401", message, layout.CONFIG, "memorybank config trust, if you wrote it; else remove it", f"/{name}"
            )
    for name in bank.registry.ignored:
        message = f"the schema '{name}' is memorybank's own and cannot be replaced"
        yield Finding("MB401", message, f"{layout.CONFIG_SCHEMAS}/{name}.schema.json", "remove it")


def permissions(bank: Bank) -> Iterable[Finding]:
    """MB303, MB306: who else may read or write, and whether we may."""
    if not may(bank.root.path, os.W_OK):
        yield Finding(
            "MB306", "the bank's directory cannot be written", "", "correct its owner and mode, or mount it writable"
        )
    if not _reachable(bank.root.path):
        return
    top = [entry for entry in bank.root.listing() if entry.mode & 0o006 and stat.S_ISDIR(entry.mode)]
    for entry in top:
        what = "written" if entry.mode & 0o002 else "read"
        hint = f"chmod -R o-rwx '{bank.root.absolute(entry.name)}'"
        yield Finding(
            "MB303", f"may be {what} by any user of this machine (mode {entry.mode & 0o777:04o})", entry.name, hint
        )


def _reachable(path: str) -> bool:
    """Whether others get as far as the inside of a directory: each one above it, and itself, lets them pass."""
    while True:
        if not os.stat(path).st_mode & 0o001:
            return False
        parent = os.path.dirname(path)
        if parent == path:
            return True
        path = parent


def meaning(bank: Bank) -> Iterable[Finding]:
    """MB204 to MB208: what documents say of each other; only where facts changed since it was last asked."""
    with foreign("the bank"):
        facts = bank.catalog.meta("facts", {})
        if not facts.get("refs"):
            facts.pop("lists", None)  # only references lead into lists
        key = [bank.catalog.meta("version"), digests.of(dumps(facts))]
        kept = bank.catalog.meta("meaning")
        if kept is None or kept[0] != key:
            kept = [key, [as_row(one) for probe in _meanings() for one in probe(bank)]]
            with bank.catalog.writing():
                bank.catalog.set_meta("meaning", kept)
        return [Finding(*row) for row in kept[1]]


def _meanings() -> tuple[Probe, ...]:
    """The probes of `meaning`, imported when a fact changed."""
    from memorybank_cli.meaning import aggregates, identities, references, times

    return (
        references.dangling,
        times.without_zone,
        times.disagreeing,
        aggregates.contradicted,
        aggregates.unmatched,
        identities.shared,
    )


def histories(bank: Bank, paths: Iterable[str] = ()) -> Iterable[Finding]:
    """MB114: a history whose head, index and segments do not fit each other; below some paths, or everywhere."""
    from memorybank_cli.accounts.checks import broken

    some = tuple(paths)
    for entry in bank.root.listing():
        account = layout.account_of(entry.name)
        for one in broken(bank, account) if account and stat.S_ISDIR(entry.mode) else ():
            if not some or any(one.path == path or one.path.startswith(f"{path}/") for path in some):
                yield one


def contexts(bank: Bank) -> Iterable[Finding]:
    """MB510: contexts that are due and cannot be made."""
    from memorybank_cli.operations.context_upkeep import contexts as waiting

    return waiting(bank)


PROBES: tuple[Probe, ...] = (journal, settings, permissions, histories, contexts, meaning)


def check_bank(
    bank: Bank, paths: Iterable[str] = (), progress: Progress = QUIET, full: bool = False
) -> tuple[int, int, list[Finding]]:
    """All findings about the bank, or about some of its paths: files checked, changes pending, findings."""
    scan, findings = look(bank, paths, progress, full)
    return scan.checked, scan.pending, findings


def look(
    bank: Bank, paths: Iterable[str] = (), progress: Progress = QUIET, full: bool = False
) -> tuple[Scan, list[Finding]]:
    """The look over the bank, and the findings of every probe with it."""
    some = [path for path in paths if path]
    progress.start("checking", bank.catalog.meta("files"))
    scanner = Scanner(bank, progress)
    scan = scanner.run_on(some) if some else scanner.run(full)
    progress.finish()
    findings = list(scan.findings)
    return scan, findings if some else [*findings, *all_probes(bank)]


def all_probes(bank: Bank) -> Iterable[Finding]:
    """What every probe finds; those that hold files against each other speak of the last look."""
    return [finding for probe in PROBES for finding in probe(bank)]
