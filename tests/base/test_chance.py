"""Random bytes that are drawn in advance are given once: to one thread, and not to a fork as well."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from memorybank_cli.base.chance import SIZE, random_bytes
from memorybank_cli.base.names import uuid7


def test_each_is_another() -> None:
    found = [random_bytes() for _ in range(1_000)]
    assert {len(one) for one in found} == {SIZE}
    assert len(set(found)) == 1_000


def test_threads_share_none() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: [random_bytes() for _ in range(1_000)], range(8)))
    assert len({one for some in found for one in some}) == 8_000


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_draws_its_own() -> None:
    random_bytes()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"".join(random_bytes() for _ in range(100)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, SIZE * 100)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == SIZE * 100
    assert not {theirs[at : at + SIZE] for at in range(0, len(theirs), SIZE)} & {random_bytes() for _ in range(100)}


def test_ids_sort_by_time_and_are_of_version_7() -> None:
    found = [uuid7() for _ in range(100)]
    assert len(set(found)) == 100
    assert {one[14] for one in found} == {"7"}
    assert {one[19] for one in found} <= set("89ab")
    assert [one[:13] for one in found] == sorted(one[:13] for one in found)
