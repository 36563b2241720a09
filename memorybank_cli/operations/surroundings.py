"""The probes of what is around a bank's data, with their cadences: machine, speed, protection, monitoring itself."""

from __future__ import annotations

from collections.abc import Sequence

from memorybank_cli.alerts import standing
from memorybank_cli.alerts.settings import read_own
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.tally import foreign
from memorybank_cli.base.records import Finding
from memorybank_cli.health import cadences, speed, system
from memorybank_cli.health.probing import METRICS, SAMPLES, STATE, Probe, Reading
from memorybank_cli.operations import memory_health, protection, schedule_state
from memorybank_cli.operations.probes import last_look

_COUNTS = {"files": "checked", "bytes": "bytes", "records": "records", "pending_changes": "pending"}


def counts(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """Numbers of the last look at the whole bank, and of the journal."""
    samples: dict[str, float] = {
        "journal_lines": bank.end.seq,
        "journal_bytes": sum(entry.size for entry in bank.root.listing(layout.JOURNAL)),
    }
    look = last_look(bank)
    if not look:
        return Reading(samples)
    with foreign("the last look"):
        seconds = look["seconds"]
        found = {name: look[key] for name, key in _COUNTS.items()}
        found |= {"look_seconds": seconds, "look_files_per_second": round(look["checked"] / max(seconds, 1e-3))}
    return Reading({**found, **samples})


def monitoring(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB55 and MB560 to MB562: what keeps watch over the bank, looked at itself: channels, jobs by the clock."""
    channels = standing.findings(bank.root, read_own(bank.owner))
    return Reading({}, (*channels, *schedule_state.findings(bank)))


PROBES: tuple[Probe, ...] = (
    Probe("counts", "data", "storage", METRICS, counts),
    Probe("disk", "system", "storage", METRICS, system.disk),
    Probe("memory", "system", "system", METRICS, system.memory),
    Probe("handles", "system", "system", METRICS, system.handles),
    Probe("clock", "system", "system", METRICS, system.clock_behind),
    Probe("clock_step", "system", "system", STATE, system.clock_step),
    Probe("cadences", "data", "metrics", METRICS, cadences.cadences),
    Probe("latency", "performance", "performance", STATE, speed.disk_latency, writes=True),
    Probe("accounts", "performance", "accounts", STATE, memory_health.accounts),
    Probe("saved", "protection", "snapshots", SAMPLES, protection.saved),
    Probe("repository", "protection", "snapshots", SAMPLES, protection.repository),
    Probe("elsewhere", "protection", "snapshots", SAMPLES, protection.elsewhere),
    Probe("monitoring", "protection", "monitoring", STATE, monitoring),
)
