from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest

from memorybank_cli.alerts import signing
from memorybank_cli.alerts.signing import Secret, read_secret, sign, verify
from memorybank_cli.base.errors import OperationFailed

SECRET = Secret(b"correct horse")
BODY = b'{"firing": 1}'
NOW = 1_800_000_000


def kept(path: Path, data: bytes = b"correct horse\n", mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def test_the_header_is_what_others_can_compute() -> None:
    expected = hmac.new(b"correct horse", b"1800000000." + BODY, hashlib.sha256).hexdigest()
    assert sign(SECRET, NOW, BODY) == f"t=1800000000,v1={expected}"


@pytest.mark.parametrize("away", [0, -signing.TOLERANCE, signing.TOLERANCE])
def test_a_signature_holds_for_its_body_for_some_minutes(away: float) -> None:
    assert verify(SECRET, sign(SECRET, NOW, BODY), BODY, NOW + away)


def test_nothing_of_it_can_be_changed() -> None:
    header = sign(SECRET, NOW, BODY)
    assert not verify(SECRET, header, BODY + b" ", NOW)
    assert not verify(Secret(b"another"), header, BODY, NOW)
    assert not verify(SECRET, header.replace(str(NOW), str(NOW + 1)), BODY, NOW)
    assert not verify(SECRET, header, BODY, NOW + signing.TOLERANCE + 1)


@pytest.mark.parametrize("header", ["", "v1=00", "t=,v1=00", "t=-5,v1=00", "t=²,v1=00", "t=1800000000", "t=9" * 20])
def test_what_is_no_signature_is_none(header: str) -> None:
    assert not verify(SECRET, header, BODY, NOW)


def test_a_secret_shows_nowhere() -> None:
    assert "horse" not in repr(SECRET)
    assert "horse" not in f"{SECRET} {[SECRET]}"


@pytest.mark.parametrize("data", [b"correct horse", b"correct horse\n", b"correct horse\r\n"])
def test_the_line_feed_of_an_editor_is_no_part_of_it(tmp_path: Path, data: bytes) -> None:
    assert read_secret(kept(tmp_path / "secret", data)).value == b"correct horse"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_none(tmp_path: Path, mode: int) -> None:
    with pytest.raises(OperationFailed, match="others may read") as caught:
        read_secret(kept(tmp_path / "secret", mode=mode))
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(("data", "words"), [(b"\n", "no secret in"), (bytes(70_000), "cannot read")])
def test_what_holds_no_secret_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(OperationFailed, match=words):
        read_secret(kept(tmp_path / "secret", data))


def test_only_a_regular_file_holds_a_secret(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(OperationFailed, match="no regular file"):
        read_secret(str(tmp_path / "pipe"))
    with pytest.raises(OperationFailed, match="cannot read the secret"):
        read_secret(str(tmp_path / "missing"))
