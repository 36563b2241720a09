"""Looking for a text in everything that a bank keeps, packed or not, and accounts with segments of few messages."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import zstandard

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import journal as journal_module
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations.messages import list_, store
from tests.operations.banks import opened


def unpacked(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()


def places_of(path: Path, text: str) -> list[str]:
    """Where in the bank a text stands: files, journal data in every form, quarantine, databases."""
    needle, found = text.encode(), []
    for one in sorted(path.rglob("*")):
        if not one.is_file():
            continue
        data = one.read_bytes()
        packed = one.suffix == ".zst" or data.startswith(b"\x5d\x2a\x4d\x18")
        if packed or data.startswith(b"\x28\xb5\x2f\xfd"):
            data = unpacked(data)
        if needle in data or any(needle in part for part in _kept(one, data)):
            found.append(str(one.relative_to(path)))
    return found


def _kept(path: Path, data: bytes) -> list[bytes]:
    """Versions of files that stand compressed in the data of journal lines."""
    if "jsonl" not in path.name:
        return []
    values = [json.loads(line).get("data") for line in data.splitlines() if line.endswith(b"}") and line[:1] == b"{"]
    return [unpacked(b64decode(one["zstd"])) for one in values if isinstance(one, dict) and "zstd" in one]


def journal_lines(path: Path) -> list[dict[str, Any]]:
    """Every line, whole, also of compressed segments."""
    files = sorted((path / ".memorybank/journal").glob("[!.]*"))
    texts = (unpacked(one.read_bytes()) if one.suffix == ".zst" else one.read_bytes() for one in files)
    return [json.loads(line) for text in texts for line in text.splitlines()]


def short_segments(patch: pytest.MonkeyPatch, lines: int = 12) -> None:
    """Let the journal go on in a new segment after a few lines."""
    patch.setattr(journal_module, "SEGMENT_LINES", lines)


def said(account: str, *numbers: int) -> list[Message]:
    return [Message("user", f"{account} says secret-{number}.", id=f"m{number}") for number in range(*numbers)]


def say(path: Path, account: str, *numbers: int) -> None:
    """Store messages, three at a time."""
    with opened(path) as bank:
        messages = said(account, *numbers)
        for start in range(0, len(messages), 3):
            store(bank, account, messages[start : start + 3])


def listed(path: Path, account: str) -> list[str]:
    with opened(path) as bank:
        return ids(bank, account)


def ids(bank: Bank, account: str) -> list[str]:
    found = list(list_(bank, account=account))
    seqs = [one["seq"] for one in found]
    assert seqs == sorted({*seqs})
    assert all(f"secret-{one['id'][1:]}." in one["content"] for one in found)
    return [one["id"] for one in found]


def named(*numbers: int, without: tuple[int, ...] = ()) -> list[str]:
    return [f"m{number}" for number in range(*numbers) if number not in without]
