"""Requests to the watch that runs, and whether one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.base.locks import Lock
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity import requests
from memorybank_cli.integrity.watcher import Watcher


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with closing(Root(tmp_path)) as found:
        yield found


def test_asking_and_answering(root: Root) -> None:
    assert requests.waiting(root) == []
    one, other = requests.ask(root), requests.ask(root)
    assert requests.waiting(root) == sorted([one, other])
    requests.answer(root, one)
    requests.answer(root, one)
    assert requests.is_answered(root, one)
    assert not requests.is_answered(root, other)
    assert requests.waiting(root) == [other]


def test_a_place_that_cannot_be_read_has_no_requests(root: Root, tmp_path: Path) -> None:
    (tmp_path / ".memorybank").mkdir()
    (tmp_path / ".memorybank/watch").symlink_to(tmp_path)
    assert requests.waiting(root) == []


def test_the_lock_says_whether_a_watch_leads(root: Root) -> None:
    assert not requests.is_watched(root)
    requests.prepare(root)
    lock = Lock(root, requests.LOCK)
    assert lock.try_once()
    assert requests.is_watched(root)
    lock.release()
    assert not requests.is_watched(root)
    lock.close()


def test_a_request_makes_everything_be_looked_at_at_once(root: Root, tmp_path: Path) -> None:
    requests.prepare(root)
    watcher = Watcher(root, reconcile=3_600, requests=".memorybank/watch", backend="inotify")
    watcher.arm()
    assert watcher.next(0.05) is None
    requests.ask(root)
    batch = watcher.next(30)
    assert batch is not None
    assert (batch.full, batch.gap, batch.paths) == (True, None, frozenset())
    (tmp_path / "a.json").write_text("{}")
    found = watcher.next(30)
    assert found is not None
    assert found.paths == {"a.json"}
    watcher.close()
