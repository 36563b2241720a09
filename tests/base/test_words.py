from __future__ import annotations

import pytest

from memorybank_cli.base.words import counted, size


def test_one_is_not_many() -> None:
    assert [counted(number, "file") for number in (0, 1, 2_000)] == ["0 files", "1 file", "2,000 files"]
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4_393_823, "4.2 MiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_bytes_have_a_unit(number: int, text: str) -> None:
    assert size(number) == text
