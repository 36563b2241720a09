"""How long the disk under a bank takes: a durable write as memorybank makes them, and reading it back."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock, files
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import SHORT, read

SIZE = 4096
DIGEST = sha256().digest_size
WRITE = "disk_write_seconds"
LATELY = 900
"""Seconds for which a sample says something of now."""


class _Measured(NamedTuple):
    write: float
    read: float
    whole: bool
    """Whether what was read back is what somebody wrote."""


def disk_latency(bank: Bank, known: Sequence[Finding] = ()) -> Reading:
    """MB532, MB306: the seconds of one durable replace of 4 KiB, and of reading them."""
    try:
        found = _measure(bank)
        is_slow = _is_slow(bank, found.write)
    except OSError as error:
        return Reading({}, _failed(error, known))
    samples = {WRITE: round(found.write, 6), "disk_read_seconds": round(found.read, 6)}
    if not found.whole:
        message = "what was written could not be read back as it was"
        hint = "check the disk and its cable, and make a backup elsewhere: memorybank backup --repo DIR"
        return Reading(samples, (Finding("MB306", message, "", hint, "/write"),))
    if not is_slow:
        return Reading(samples)
    message = f"a durable write of 4 KiB took {found.write:.2f} s, and the one before was slow too"
    hint = "see what else uses the disk (iostat -x 1), and whether it is failing (smartctl -a)"
    return Reading(samples, (Finding("MB532", message, "", hint),))


def _measure(bank: Bank) -> _Measured:
    data = _sealed(os.urandom(SIZE - DIGEST))
    files.make_dirs(bank.root, layout.PRIVATE)
    started = time.perf_counter()
    files.replace(bank.root, layout.PROBE, data)
    written = time.perf_counter()
    found = bank.root.read(layout.PROBE, SIZE)
    ended = time.perf_counter()
    # Another process may have put its own there meanwhile.
    return _Measured(written - started, ended - written, found == _sealed(found[:-DIGEST]))


def _is_slow(bank: Bank, seconds: float) -> bool:
    """Whether two writes in a row were slow, by the last sample or by a second write: one alone happens on any disk."""
    limit = float(bank.settings["health.write_ms"]) / 1_000
    if not limit or seconds <= limit:
        return False
    now = clock.now_ns() / clock.SECOND_NS
    before = [one.values[WRITE] for one in read(bank.root, SHORT, now - LATELY, now) if WRITE in one.values]
    return (before[-1] if before else _measure(bank).write) > limit


def _sealed(data: bytes) -> bytes:
    """Bytes that tell themselves whether they are whole."""
    return data + sha256(data).digest()


def _failed(error: OSError, known: Sequence[Finding]) -> tuple[Finding, ...]:
    """That nothing can be written here, unless that is known."""
    if any(one.rule == "MB306" for one in known):
        return ()
    words = from_os_error(error, "a write failed")
    return (Finding("MB306", words.message, "", words.hint or "correct its owner and mode, or free space", "/write"),)
