"""The probes of a bank's data: functions from a bank to findings, their table, and the one place that runs them all.

What is around the data (the machine, speed, protection) is in `operations.surroundings`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import CONFIG_LIMIT
from memorybank_cli.bank.recount import recount
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.bank.settled import as_row
from memorybank_cli.bank.tally import foreign
from memorybank_cli.base import clock, digests
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import escape, quoted
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.base.settings import BY_NAME, flatten
from memorybank_cli.base.walk import may
from memorybank_cli.health.probing import HEALTH, Look, Probe, Reading

Judge = Callable[[Bank], Iterable[Finding]]
LOOK = "look"
"""The name in the catalog of what the last look at the whole bank came to."""
ALERTS = "config/alerts_config.json"
_TRUST = "memorybank config trust, if you wrote it; else remove it"


def journal(bank: Bank) -> Iterable[Finding]:
    """MB120, MB121: the chain, as far as it was followed; MB123: what cannot vouch for it."""
    yield from (one.finding() for one in bank.breaks())
    for path in sorted(bank.home.damaged):
        yield Finding("MB123", f"{escape(path)} is damaged and counts as missing", "", f"rm {quoted(escape(path))}")


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
            yield Finding("MB401", message, layout.CONFIG, _instead(name), f"/{name}")
    for name in bank.registry.ignored:
        message = f"the schema '{name}' is memorybank's own and cannot be replaced"
        yield Finding("MB401", message, f"{layout.CONFIG_SCHEMAS}/{name}.schema.json", "remove it")


def _instead(name: str) -> str:
    """What to do with a setting without effect in the bank's config: trust holds for those only that loosen a rule."""
    if name not in BY_NAME:
        return "remove it; memorybank config show lists the settings"
    if BY_NAME[name].scope == "user":
        return f"remove it; memorybank config set {name} VALUE --scope user sets your own"
    return _TRUST


def alert_settings(bank: Bank) -> Iterable[Finding]:
    """MB401: what the bank's alerts_config.json may not say, or not until it is trusted."""
    if bank.root.content(ALERTS, CONFIG_LIMIT) is None:
        return
    from memorybank_cli.alerts.settings import inert

    for name, why, may_be_trusted in inert(bank):
        message = f"'{escape(name)[:80]}' has no effect: {why}"
        yield Finding("MB401", message, ALERTS, _TRUST if may_be_trusted else "remove it", f"/{name}")


def _locks(bank: Bank) -> Iterable[Finding]:
    """MB306: something else in the place of a lock, with which nobody can write."""
    for path in (layout.LOCK, layout.SYNC_LOCK, layout.RENDER_LOCK):
        info = bank.root.stat(path)
        if info is not None and not stat.S_ISREG(info.st_mode):
            hint = f"rm -r {quoted(bank.root.absolute(path))}; it is made anew"
            yield Finding("MB306", f"what stands at {path} is no file, so nothing can be written", "", hint, f"/{path}")


def permissions(bank: Bank) -> Iterable[Finding]:
    """MB303, MB306: who else may read or write, and whether we may."""
    if not may(bank.root.path, os.W_OK):
        yield Finding(
            "MB306",
            "the bank's directory cannot be written",
            "",
            "correct its owner and mode, or mount it writable",
        )
    yield from _locks(bank)
    if not _reachable(bank.root.path):
        return
    top = [entry for entry in bank.root.listing() if entry.mode & 0o006 and stat.S_ISDIR(entry.mode)]
    for entry in top:
        what = "written" if entry.mode & 0o002 else "read"
        hint = f"chmod -R o-rwx {quoted(bank.root.absolute(entry.name))}"
        yield Finding(
            "MB303",
            f"may be {what} by any user of this machine (mode {entry.mode & 0o777:04o})",
            entry.name,
            hint,
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


def _meanings() -> tuple[Judge, ...]:
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


def _of(judge: Judge) -> Look:
    def look_at(bank: Bank, _known: Sequence[Finding]) -> Reading:
        return Reading({}, tuple(judge(bank)))

    return look_at


PROBES: tuple[Probe, ...] = (
    Probe("journal", "data", "journal", HEALTH, _of(journal)),
    Probe("settings", "data", "config", HEALTH, _of(settings)),
    Probe("alert_settings", "data", "config", HEALTH, _of(alert_settings)),
    Probe("permissions", "system", "storage", HEALTH, _of(permissions)),
    Probe("histories", "data", "accounts", HEALTH, _of(histories)),
    Probe("contexts", "data", "accounts", HEALTH, _of(contexts)),
    Probe("meaning", "data", "storage", HEALTH, _of(meaning)),
)
"""They run with each look at the whole bank: in a `watch` each `reconcile_seconds`."""


def check_bank(
    bank: Bank,
    paths: Iterable[str] = (),
    progress: Progress = QUIET,
    full: bool = False,
) -> tuple[int, int, list[Finding]]:
    """All findings about the bank, or about some of its paths: files checked, changes pending, findings."""
    scan, findings = look(bank, paths, progress, full)
    return scan.checked, scan.pending, findings


def look(
    bank: Bank,
    paths: Iterable[str] = (),
    progress: Progress = QUIET,
    full: bool = False,
) -> tuple[Scan, list[Finding]]:
    """The look over the bank, and the findings of every probe with it."""
    some = [path for path in paths if path]
    if not some:
        differing = recount(bank) if full else []
        scan = scanned(bank, progress, full)
        return scan, [*differing, *scan.findings, *all_probes(bank)]
    progress.start("checking", bank.catalog.meta("files"))
    scan = Scanner(bank, progress).run_on(some)
    progress.finish()
    return scan, list(scan.findings)


def scanned(bank: Bank, progress: Progress = QUIET, full: bool = False) -> Scan:
    """The look over every file; what it came to in numbers is kept for `last_look`."""
    progress.start("checking", bank.catalog.meta("files"))
    started = time.monotonic()
    scan = Scanner(bank, progress).run(full)
    progress.finish()
    keep_look(bank, scan, time.monotonic() - started)
    return scan


def keep_look(bank: Bank, scan: Scan, seconds: float) -> None:
    """Keep what a look at everything came to in numbers: they are told of as samples and in the status document."""
    found = {
        "at": clock.now(),
        "seconds": round(seconds, 3),
        "checked": scan.checked,
        "read": scan.read,
        "bytes": scan.bytes,
        "records": scan.records,
        "pending": scan.pending,
        "sections": scan.by_section,
        "mtimes": scan.mtimes,
    }
    with bank.catalog.writing():
        bank.catalog.set_meta(LOOK, found)


def last_look(bank: Bank) -> dict[str, Any]:
    """What the last look at the whole bank came to in numbers, {} where there was none."""
    found = bank.catalog.meta(LOOK, {})
    return found if isinstance(found, dict) else {}


def all_probes(bank: Bank) -> Iterable[Finding]:
    """What every probe finds; those that hold files against each other speak of the last look."""
    return [finding for probe in PROBES for finding in probe.look(bank, ()).findings]
