from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import locks
from memorybank_cli.base.errors import Locked
from memorybank_cli.base.walk import Root

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root(tmp_path)
    yield opened
    opened.close()


def test_one_at_a_time(root: Root) -> None:
    with locks.hold(root, "lock"):
        with pytest.raises(Locked, match=r"another process holds .*/lock \(waited 0 s\)") as caught:
            locks.hold(root, "lock", timeout=0).__enter__()
        assert caught.value.path == root.absolute("lock")
        with pytest.raises(Locked, match=r"waited 0\.02 s"), locks.hold(root, "lock", timeout=0.02, shared=True):
            pass
        with locks.hold(root, "other", timeout=0):
            pass
    with locks.hold(root, "lock", timeout=0):
        pass


def test_readers_share(root: Root) -> None:
    with (
        locks.hold(root, "lock", shared=True),
        locks.hold(root, "lock", shared=True, timeout=0),
        pytest.raises(Locked),
        locks.hold(root, "lock", timeout=0),
    ):
        pass
    with locks.hold(root, "lock", timeout=0):
        pass


def test_it_is_given_back_after_an_error(root: Root) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold(root, "lock"):
        raise ZeroDivisionError
    with locks.hold(root, "lock", timeout=0):
        pass


def test_a_waiter_gets_it_when_it_is_given_back(root: Root) -> None:
    order: list[str] = []

    def wait() -> None:
        with locks.hold(root, "lock"):
            order.append("second")

    with locks.hold(root, "lock"):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.02)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_process_leaves_none(root: Root, tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(Locked), locks.hold(root, "lock", timeout=0):
            pass
        child.kill()
        child.wait()
    with locks.hold(root, "lock", timeout=5):
        pass


def test_a_forked_child_keeps_no_lock_of_its_parent(root: Root) -> None:
    """The child lives on: neither does it give back what its parent holds, nor keep it when that gave it back."""
    held = locks.Lock(root, "lock")
    held.acquire(0)
    forked, ended = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(forked[1], b"%d" % (held.fd < 0))
        os.close(ended[1])
        os.read(ended[0], 1)
        os._exit(0)
    assert os.read(forked[0], 1) == b"1"
    with pytest.raises(Locked), locks.hold(root, "lock", timeout=0):
        pass
    held.close()  # as the kernel does where the parent is killed
    with locks.hold(root, "lock", timeout=0):
        pass
    for fd in (*forked, *ended):
        os.close(fd)
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_no_busy_lock_is_raised(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(OSError, match=os.strerror(errno.ENOLCK)), locks.hold(root, "lock"):
        pass


def test_a_directory_is_held_wherever_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    one, other = Root(tmp_path / "a"), Root(tmp_path / "a")
    locks.hold_root(one)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(Locked):
        locks.hold_root(other, timeout=0)
    one.close()
    locks.hold_root(other, timeout=0)
    other.close()
