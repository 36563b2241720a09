"""The whole look: a bank's data and what is around it, once; and the status document that is written of it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base import clock, files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import HEALTH, Probe, Reading, Result, fact_of, findings_of, run_all, samples_of
from memorybank_cli.health.status import Counts, status_document
from memorybank_cli.operations import probes, surroundings
from memorybank_cli.operations.last_saved import Saved
from memorybank_cli.operations.memory_health import Part


class Examined(NamedTuple):
    """What a whole look came to."""

    scan: Scan
    findings: list[Finding]
    """Of the data and of all probes, each once."""
    results: list[Result]
    checked_at: str

    @property
    def samples(self) -> dict[str, float]:
        """Numbers by name, units in the name."""
        return samples_of(self.results)

    @property
    def saved(self) -> Saved:
        """When the bank was last saved."""
        found = fact_of(self.results, "saved")
        return found if isinstance(found, Saved) else Saved(trouble="it could not be looked at")

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each memory component of each account (spec 002, 7)."""
        found: tuple[Part, ...] | None = fact_of(self.results, "accounts")
        return found or ()


def examine(bank: Bank, *, writing: bool = True) -> Examined:
    """Look over the bank and all that is around it. Every finding of it, of whatever severity.

    Unless `writing`, probes that write are left out.
    """
    started = time.monotonic()
    scan = probes.scanned(bank, bank.context.progress)
    ended = time.monotonic()
    files_result = Result(FILES, ended, ended - started, Reading({}, tuple(scan.findings)))
    data = run_all(probes.PROBES, bank, scan.findings)
    findings = [*scan.findings, *(one for result in data for one in result.reading.findings)]
    around = run_all((one for one in surroundings.PROBES if writing or not one.writes), bank, findings)
    known = {one.fingerprint for one in findings}
    findings += [one for one in findings_of(around) if one.fingerprint not in known]
    every = float(bank.settings["reconcile_seconds"])
    looked = [one._replace(probe=one.probe._replace(cadence=every)) for one in (files_result, *data)]
    return Examined(scan, findings, [*looked, *around], clock.now())


FILES = Probe("files", "data", "storage", HEALTH, lambda _bank, _known: Reading({}))
"""The look at every file, as a row of the table: it is no probe, because it is what all of them stand on."""


def write_status(bank: Bank, found: Examined) -> dict[str, Any]:
    """The status document of a look; it is kept in status.json too, where the bank can be written."""
    seen = Counts(found.scan.by_section, found.scan.mtimes, found.saved.time)
    document = status_document(found.findings, seen, found.checked_at)
    try:
        put_status(bank, document)
    except OSError as error:
        bank.context.progress.note(not_written(error))
    return document


def put_status(bank: Bank, document: dict[str, Any]) -> None:
    """Keep a status document in status.json. Raises OSError; none is better then than one that tells of other times."""
    try:
        files.make_dirs(bank.root, layout.PRIVATE)
        files.replace(bank.root, layout.STATUS, dumps(document, indent=True) + b"\n", durable=False)
    except OSError:
        with suppress(OSError):
            files.remove(bank.root, layout.STATUS)
        raise


def not_written(error: OSError) -> str:
    """What is said where it could not be kept."""
    return f"status.json could not be written: {(error.strerror or '').lower()}"
