"""Opening banks in tests, and looking at them from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.backup import backup
from memorybank_cli.operations.backup_report import BackupReport
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.probes import check_bank
from memorybank_cli.operations.repair import RepairReport, repair


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Bank]:
    bank = open_bank(Context(bank=str(path), **options))
    try:
        yield bank
    finally:
        bank.close()


def adopt(path: Path) -> list[str]:
    """Record what agents changed; the paths."""
    with opened(path) as bank:
        return baseline.establish(bank)[1]


def rules(path: Path, prefix: str = "MB1") -> dict[str, str]:
    """What a check finds now: the first rule of each path."""
    with opened(path) as bank:
        return {one.path: one.rule for one in reversed(check_bank(bank)[2]) if one.rule.startswith(prefix)}


def repaired(path: Path, *paths: str, **options: Any) -> RepairReport:
    with opened(path) as bank:
        return repair(bank, *paths, **options)


def backed_up(path: Path, **options: Any) -> BackupReport:
    with opened(path) as bank:
        return backup(bank, **options)


def put(path: Path, value: Any, age: float = 0) -> bytes:
    """A file as an agent writes it, `age` seconds ago; its bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value, indent=2).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if age:
        then = path.stat().st_mtime_ns - int(age * 1e9)
        os.utime(path, ns=(then, then))
    return data


def contents(path: Path, private: bool = False) -> dict[str, bytes]:
    """Every file of a bank by its path, without what is memorybank's own unless `private`."""
    found = {str(one.relative_to(path)): one for one in path.rglob("*") if one.is_file() and not one.is_symlink()}
    return {name: one.read_bytes() for name, one in found.items() if private or not name.startswith(".memorybank/")}


def journal_file(path: Path) -> Path:
    """The newest segment."""
    return max((path / ".memorybank/journal").iterdir())


def journal(path: Path) -> list[dict[str, Any]]:
    """The cores of every line."""
    segments = sorted((path / ".memorybank/journal").iterdir())
    return [json.loads(line)["core"] for one in segments for line in one.read_bytes().rstrip(b"\0").splitlines()]
