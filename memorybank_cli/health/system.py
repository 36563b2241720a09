"""The machine under the bank: room on the disk, inodes, memory, file handles, and a clock that does not go back."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Sequence

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock, libc
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import LONG, read

LOW_DISK_BYTES = 64 << 20
"""Bytes that must be free on any file system; of a small one a tenth."""
NOTHING_BYTES = 1 << 20
"""With less than this free, writes fail already."""
HANDLES_SHARE = 0.9
"""Of the handles that there are; more than these in use is a finding."""
BEHIND_SECONDS = 60.0
"""So far the clock may be behind what was written already: machines that share a bank differ by as much."""
IN_STEP = "clock_in_step"
DAY = 86_400
PROC = "/proc"
CGROUP = "/sys/fs/cgroup"


def disk(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB502, MB508: bytes and inodes that are free where the bank lies."""
    found = os.statvfs(bank.root.path)
    samples: dict[str, float] = {
        "disk_free_bytes": found.f_bavail * found.f_frsize,
        "disk_size_bytes": found.f_blocks * found.f_frsize,
    }
    if found.f_files:  # some file systems make inodes as they are needed and tell of none
        samples |= {"inodes_free": found.f_favail, "inodes": found.f_files}
    return Reading(samples, tuple(full(found, float(bank.settings["health.disk_percent"]))))


def full(found: os.statvfs_result, percent: float, where: str = "", pointer: str = "") -> Iterator[Finding]:
    """What is short on a file system; `where` says which, where it is not the bank's own."""
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if percent and free < max(size * percent / 100, min(LOW_DISK_BYTES, size / 10)):
        message = f"{free >> 20:,} MiB are free{where}"
        hint = "free some space before the next write fails"
        yield Finding("MB502", message, "", hint, pointer, level="error" if free < NOTHING_BYTES else None)
    if percent and found.f_files and found.f_favail < found.f_files * percent / 100:
        message = f"{found.f_favail:,} of {found.f_files:,} inodes are free{where}"
        hint = "remove or archive small files before no new one can be made"
        yield Finding("MB508", message, "", hint, pointer, level=None if found.f_favail else "error")


def memory(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB509: memory that programs can have, of the machine or of the container that this runs in."""
    found = _memory()
    if found is None:
        return Reading({})  # only Linux tells
    free, size = found
    percent = float(bank.settings["health.memory_percent"])
    samples = {"memory_available_bytes": float(free), "memory_size_bytes": float(size)}
    if not percent or free >= size * percent / 100:
        return Reading(samples)
    hint = "stop what takes most (ps --sort=-rss aux), or give the machine or container more"
    message = f"{free >> 20:,} of {size >> 20:,} MiB of memory are available"
    return Reading(samples, (Finding("MB509", message, "", hint),))


def _memory() -> tuple[int, int] | None:
    """Bytes available and in all; of a container with a limit what is left of that. None where nobody tells."""
    lines = (line.split() for line in _text(f"{PROC}/meminfo").splitlines())
    sizes = {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) > 1 and words[1].isdecimal()}
    if not {"MemAvailable", "MemTotal"} <= sizes.keys():
        return None
    free, size = sizes["MemAvailable"], sizes["MemTotal"]
    limit, used = _text(f"{CGROUP}/memory.max").strip(), _text(f"{CGROUP}/memory.current").strip()
    if limit.isdecimal() and used.isdecimal() and int(limit) < size:
        stat = dict(line.split()[:2] for line in _text(f"{CGROUP}/memory.stat").splitlines() if " " in line)
        cached = int(stat.get("inactive_file", "0"))  # given back when it is needed
        return min(free, int(limit) - max(0, int(used) - cached)), int(limit)
    return free, size


def handles(_bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB530: file handles of this process and of the whole machine."""
    try:
        open_here = len(os.listdir(f"{PROC}/self/fd"))
    except FileNotFoundError:
        return Reading({})  # only Linux tells
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    samples: dict[str, float] = {"open_handles": open_here}
    findings = []
    if limit != resource.RLIM_INFINITY and open_here > limit * HANDLES_SHARE:
        message = f"this process has {open_here:,} of at most {limit:,} files open"
        findings.append(Finding("MB530", message, "", "ulimit -n gives it more; a restart frees them", "/process"))
    words = _text(f"{PROC}/sys/fs/file-nr").split()
    if len(words) == 3:
        used, most = int(words[0]) - int(words[1]), int(words[2])
        samples["machine_handles"] = used
        if used > most * HANDLES_SHARE:
            message = f"programs on this machine have {used:,} of at most {most:,} files open"
            hint = "find who holds them (lsof), or raise fs.file-max"
            findings.append(Finding("MB530", message, "", hint, "/machine"))
    return Reading(samples, tuple(findings))


def clock_behind(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB531: a clock that is behind the last change of the journal."""
    changed = max((entry.mtime_ns for entry in bank.root.listing(layout.JOURNAL)), default=0)
    behind = (changed - clock.now_ns()) / clock.SECOND_NS
    samples = {"clock_behind_seconds": max(0.0, round(behind, 3))}
    if behind <= BEHIND_SECONDS:
        return Reading(samples)
    message = f"the clock is {behind:,.0f} seconds behind the last change of the journal, of {clock.from_ns(changed)}"
    return Reading(samples, (Finding("MB531", message, "", "set the clock (timedatectl), and let NTP keep it"),))


def clock_step(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB531: a clock that was kept in step within the last day, and is not any more.

    Where it never was, nobody may be able to: in a container, or a machine whose host sees to it. Then, and where
    nobody tells, there is no finding.
    """
    found = libc.clock_in_step()
    if found is None:
        return Reading({})
    samples = {IN_STEP: float(found)}
    now = clock.now_ns() / clock.SECOND_NS
    if found or not any(one.values.get(IN_STEP) for one in read(bank.root, LONG, now - DAY, now)):
        return Reading(samples)
    message = "nothing keeps the clock in step any more; within the last day something did"
    hint = "timedatectl status; see whether chronyd, ntpd or systemd-timesyncd runs"
    return Reading(samples, (Finding("MB531", message, "", hint, "/step"),))


def _text(path: str) -> str:
    """What a file of the system says, '' where there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
