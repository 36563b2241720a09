"""What holds for any blobs and any bytes: what goes in comes out, and what is read is right or named as damage."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.snapshots import index, keys
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.packs import (
    BLOB_LIMIT,
    FRAME_SIZE,
    HEAD_SIZE,
    Frame,
    decompress,
    footer_list,
    parse_footer,
)
from memorybank_cli.snapshots.repository import Repository, unlocking
from memorybank_cli.snapshots.sealing import Damaged
from tests.snapshots import making

SECRET = keys.Secret("raw", b"k" * 32)
blobs = st.lists(st.binary(max_size=300) | st.integers(0, 300_000).map(lambda size: b"ab" * (size // 2)), max_size=12)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=15,
)
frames = st.lists(
    st.builds(
        lambda offset, length, rows: Frame(offset, length, *map(tuple, zip(*rows, strict=True))),
        st.integers(HEAD_SIZE, 500),
        st.integers(1, 500),
        st.lists(st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(0, 1 << 20)), min_size=1),
    ),
    max_size=5,
)


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
@settings(max_examples=25)
@given(blobs)
def test_blobs_come_back(secret: keys.Secret | None, datas: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as place, Repository.create(place, reserve=0, secret=secret) as repo:
        writer = PackWriter(repo, {})
        ids = [writer.add(data) for data in datas]
        writer.finish()
        with Repository.open(place, unlock=unlocking(SECRET)) as again:
            read = Blobs(again)
            assert [b"".join(map(read.get, names)) for names in ids] == datas


@given(frames)
def test_a_footer_is_read_as_it_was_written(found: list[Frame]) -> None:
    total = [sum(frame.sizes) for frame in found]
    if all(size <= BLOB_LIMIT + FRAME_SIZE for size in total):
        assert parse_footer(footer_list(found), 1000) == tuple(found)


@given(json)
def test_any_json_is_a_footer_or_damage(value: Any) -> None:
    with suppress(Damaged):
        for frame in parse_footer(value, 1000):
            assert HEAD_SIZE <= frame.offset < frame.offset + frame.length <= 1000


@given(st.binary(max_size=200), st.integers(0, 1000))
def test_any_bytes_unpack_within_the_limit_or_are_damage(data: bytes, limit: int) -> None:
    with suppress(Damaged):
        assert len(decompress(data, limit)) <= limit


@pytest.mark.parametrize("secret", [None, SECRET], ids=["plain", "encrypted"])
@settings(max_examples=40)
@given(st.data())
def test_any_bytes_in_a_packs_place_are_exact_or_damage(secret: keys.Secret | None, draw: st.DataObject) -> None:
    """Overwritten, cut, lengthened or replaced at any place."""
    contents = {"a": b"one" * 50, "b": b"two" * 50}
    with tempfile.TemporaryDirectory() as place, Repository.create(place, reserve=0, secret=secret) as repo:
        document = making.save_files(repo, contents).document
        (path,) = making.packs_of(repo)
        data = path.read_bytes()
        start = draw.draw(st.integers(0, len(data)))
        other = draw.draw(st.binary(max_size=60))
        keep = draw.draw(st.booleans())
        path.write_bytes(data[:start] + other + (data[start + len(other) :] if keep else b""))
        if draw.draw(st.booleans()):
            making.drop_index(repo)
        with suppress(Damaged):
            assert making.read_back(repo, document) == contents
        assert set(index.load(repo).packs) <= {path.name}
