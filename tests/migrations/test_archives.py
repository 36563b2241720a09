from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.migrations import archives
from memorybank_cli.migrations.archives import Unreadable, is_archive, unpacked


def packed(members: dict[str, bytes], method: int = ZIP_DEFLATED) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("method", [0, ZIP_DEFLATED])
def test_a_member_comes_in_pieces(method: int) -> None:
    content = bytes(range(256)) * 1000
    data = packed({"a.json": content, "b.json": b"{}"}, method)
    assert is_archive(data)
    found = list(unpacked(data, "a.json"))
    assert b"".join(found) == content
    assert len(found) > 1


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", packed({"b.json": b"{}"}), packed({"a.json": b"{}"})[:-30]],
    ids=["empty", "begun", "other", "cut"],  # an archive holds the time, and workers must name the same tests
)
def test_what_is_no_archive_or_lacks_the_member_is_told(data: bytes) -> None:
    with pytest.raises(Unreadable):
        list(unpacked(data, "a.json"))


@pytest.mark.parametrize("method", [ZIP_BZIP2, ZIP_LZMA])
def test_methods_that_unpack_without_bounds_are_left(method: int) -> None:
    data = packed({"a.json": b"{}"}, method)
    with pytest.raises(Unreadable, match="unpack it, and import the folder"):
        list(unpacked(data, "a.json"))


def test_a_document_that_unpacks_to_too_much_is_left() -> None:
    bomb = packed({"a.json": bytes(30 << 20)})
    assert len(bomb) < 40_000
    with pytest.raises(Unreadable, match="unpack it, and import the folder"):
        list(unpacked(bomb, "a.json"))


def test_a_size_that_the_archive_lies_about_does_not_count() -> None:
    bomb = bytearray(packed({"a.json": bytes(30 << 20)}))
    at = bomb.index(b"PK\x01\x02") + 24
    bomb[at : at + 4] = struct.pack("<I", 100)
    with pytest.raises(Unreadable):
        list(unpacked(bytes(bomb), "a.json"))


def test_an_archive_of_very_many_files_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    with pytest.raises(Unreadable, match="more than 3 files"):
        list(unpacked(packed({f"{number}.json": b"{}" for number in range(4)}), "1.json"))


def test_an_encrypted_member_is_told() -> None:
    data = bytearray(packed({"a.json": b"{}"}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    with pytest.raises(Unreadable, match="password"):
        list(unpacked(bytes(data), "a.json"))


DATA = packed({"a.json": b'{"a": 1}' * 100})


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_a_changed_byte_never_is_another_error(at: int, byte: int) -> None:
    changed = bytearray(DATA)
    changed[at] = byte
    with suppress(Unreadable):
        assert b"".join(unpacked(bytes(changed), "a.json")) == b'{"a": 1}' * 100
