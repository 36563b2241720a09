from __future__ import annotations

import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.snapshots import sealing
from memorybank_cli.snapshots.sealing import FOOTER_NUMBER, INDEX, PACK, SNAPSHOT, Damaged, Plain, Sealed

MASTER, ID = bytes(range(32)), "0123456789abcdef" * 2
SALT = b"s" * 32
labels = st.sampled_from([PACK, INDEX, SNAPSHOT])
numbers = st.one_of(st.integers(0, 1 << 20), st.just(FOOTER_NUMBER))
salts = st.binary(min_size=32, max_size=32)


@given(labels, salts, numbers, st.binary(max_size=500))
def test_what_was_sealed_opens(label: str, salt: bytes, number: int, data: bytes) -> None:
    sealed = Sealed(MASTER, ID).seal(label, salt, number, data)
    assert len(sealed) == len(data) + 16
    assert Sealed(MASTER, ID).open(label, salt, number, sealed) == data
    assert Plain().open(label, salt, number, Plain().seal(label, salt, number, data)) == data


@given(labels, st.binary(max_size=500))
def test_a_file_that_was_sealed_opens(label: str, data: bytes) -> None:
    seal = Sealed(MASTER, ID)
    one, two = seal.seal_file(label, data), seal.seal_file(label, data)
    assert one != two
    assert len(one) == len(data) + 48
    assert seal.open_file(label, one) == seal.open_file(label, two) == data
    assert Plain().open_file(label, Plain().seal_file(label, data)) == data


def test_the_bytes_are_those_of_the_format() -> None:
    """As written down: HKDF-SHA-256 over salt and label, the number big-endian, bound to the repository."""
    key = HKDF(hashes.SHA256(), 32, SALT, b"mb-pack-1").derive(MASTER)
    bound = b"mb1" + ID.encode()
    assert Sealed(MASTER, ID).seal(PACK, SALT, 5, b"data") == AESGCM(key).encrypt(
        (5).to_bytes(12, "big"), b"data", bound
    )
    footer = AESGCM(key).encrypt(b"\xff" * 12, b"data", bound)
    assert Sealed(MASTER, ID).open(PACK, SALT, FOOTER_NUMBER, footer) == b"data"
    key = HKDF(hashes.SHA256(), 32, SALT, b"mb-snap-1").derive(MASTER)
    assert Sealed(MASTER, ID).open_file(SNAPSHOT, SALT + AESGCM(key).encrypt(bytes(12), b"data", bound)) == b"data"


@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_change_is_noticed(data: bytes, draw: st.DataObject) -> None:
    seal = Sealed(MASTER, ID)
    sealed = bytearray(seal.seal(PACK, SALT, 1, data))
    sealed[draw.draw(st.integers(0, len(sealed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(Damaged):
        seal.open(PACK, SALT, 1, bytes(sealed))


@given(st.integers(0, 60))
def test_what_was_cut_short_is_noticed(length: int) -> None:
    seal = Sealed(MASTER, ID)
    with pytest.raises(Damaged):
        seal.open(PACK, SALT, 1, seal.seal(PACK, SALT, 1, bytes(60))[:length])
    with pytest.raises(Damaged):
        seal.open_file(SNAPSHOT, seal.seal_file(SNAPSHOT, bytes(60))[:length])


@pytest.mark.parametrize(
    ("master", "repo", "label", "salt", "number"),
    [
        (bytes(32), ID, PACK, SALT, 1),
        (MASTER, "f" * 32, PACK, SALT, 1),
        (MASTER, ID, INDEX, SALT, 1),
        (MASTER, ID, PACK, b"t" * 32, 1),
        (MASTER, ID, PACK, SALT, 2),
        (MASTER, ID, PACK, SALT, FOOTER_NUMBER),
    ],
    ids=["master", "repository", "label", "salt", "number", "footer"],
)
def test_nothing_opens_elsewhere(master: bytes, repo: str, label: str, salt: bytes, number: int) -> None:
    sealed = Sealed(MASTER, ID).seal(PACK, SALT, 1, b"data")
    with pytest.raises(Damaged):
        Sealed(master, repo).open(label, salt, number, sealed)


def test_ciphers_are_kept_for_a_pack_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_CIPHERS", 4)
    seal = Sealed(MASTER, ID)
    parts = [(os.urandom(32), number) for number in range(10)]
    stored = [seal.seal(PACK, salt, number, b"x") for salt, number in parts]
    assert len(seal._ciphers) <= 4
    assert [seal.open(PACK, salt, number, one) for (salt, number), one in zip(parts, stored, strict=True)] == [
        b"x"
    ] * 10
    for _ in range(3):
        seal.open_file(INDEX, seal.seal_file(INDEX, b"file"))
    assert len(seal._ciphers) <= 4


def test_the_key_derivation_is_that_of_rfc_5869() -> None:
    prk = hmac.digest(SALT, MASTER, "sha256")
    assert Sealed(MASTER, ID)._key(PACK, SALT) == hmac.new(prk, b"mb-pack-1\x01", hashlib.sha256).digest()
