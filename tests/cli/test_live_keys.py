"""Keys out of bytes, however they are cut."""

from __future__ import annotations

import pytest

from memorybank_cli.cli.live.keys import Keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"fq?", ["f", "q", "?"]),
        (b"\x1b[A\x1bOB\x1b[5~\x1b[6~", ["up", "down", "page up", "page down"]),
        (b"\x1b[H\x1b[1~\x1bOH\x1b[F\x1b[4~\x1bOF", ["home", "home", "home", "end", "end", "end"]),
        (b"\r\n\x7f\x08\x15\x0c", ["enter", "enter", "backspace", "backspace", "erase", "redraw"]),
        ("é界".encode(), ["é", "界"]),
        (b"\x1b[1;5C\x1b[200~a\x1b[201~", ["a"]),
        (b"\x1bf", ["escape", "f"]),
        (b"\x01\x00\xff\xfe", []),
        (b"\x1b[<0;1;1M", []),
    ],
)
def test_keys(data: bytes, keys: list[str]) -> None:
    assert Keys().feed(data) == keys
    one = Keys()
    found = [key for byte in data for key in one.feed(bytes([byte]))]
    assert found + one.idle() == keys


def test_escape_alone_is_a_key_when_nothing_follows() -> None:
    keys = Keys()
    assert (keys.feed(b"a\x1b"), keys.waits) == (["a"], True)
    assert (keys.idle(), keys.waits) == (["escape"], False)
    assert keys.feed(b"\x1b") == []
    assert keys.feed(b"[A") == ["up"]


def test_half_a_sequence_is_no_key() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b[1;") == []
    assert keys.idle() == []
    assert keys.feed(b"q") == ["q"]
