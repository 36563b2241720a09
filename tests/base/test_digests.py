from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base import digests


@given(st.binary(max_size=300))
def test_it_is_sha256(data: bytes) -> None:
    assert digests.of(data) == sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, digests.CHUNK - 1, digests.CHUNK, digests.CHUNK + 1, 3 * digests.CHUNK + 7])
def test_what_is_left_of_a_file(tmp_path: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + data)
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, 7, os.SEEK_SET)
    assert digests.of_fd(fd) == (sha256(data).hexdigest(), size)
    assert digests.of_fd(fd) == (sha256(b"").hexdigest(), 0)
    os.close(fd)
