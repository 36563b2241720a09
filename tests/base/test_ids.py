"""Programs that a bank's owner named run under that owner's ids alone, also where root works for the owner."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator

import pytest

from memorybank_cli.alerts.channels.command import CommandChannel
from memorybank_cli.alerts.channels.values import Message
from memorybank_cli.base.ids import for_programs
from memorybank_cli.operations.secret_reading import _output

OWNER = 65_534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for others")


@pytest.fixture
def acting() -> Iterator[None]:
    """Root acts for somebody, as when a bank of theirs is opened."""
    os.setegid(OWNER)
    os.seteuid(OWNER)
    yield
    os.seteuid(0)
    os.setegid(0)


def test_for_oneself_nothing_changes() -> None:
    assert for_programs({"SECRET": "x"}) == {"env": {"SECRET": "x"}}


@root_only
def test_root_gives_neither_its_ids_nor_its_environment(acting: None) -> None:
    del acting
    found = for_programs({"SECRET": "x", "PATH": "/bin", "LC_ALL": "C", "HOME": "/root"})
    own = pwd.getpwuid(OWNER)
    assert found["env"] == {
        "PATH": "/bin", "LC_ALL": "C", "HOME": own.pw_dir, "USER": own.pw_name, "LOGNAME": own.pw_name
    }  # fmt: skip
    said = subprocess.run(["/bin/sh", "-c", IDS], stdout=subprocess.PIPE, check=True, **found).stdout
    assert said.decode().split() == OWNERS


@root_only
def test_who_has_no_name_has_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999)
    assert for_programs({"HOME": "/root"})["env"] == {}


@root_only
def test_a_command_of_the_owner_does_not_become_root(acting: None) -> None:
    del acting
    notice = {"id": "x", "group": "test", "bank": "", "alerts": [], "firing": 0, "resolved": 0}
    CommandChannel(["/bin/sh", "-c", f"test \"$({IDS})\" = '{' '.join(OWNERS)}'"]).send(Message(notice, 0.0, 1))
    assert _output(f'/bin/sh -c "{IDS}"').decode().split() == OWNERS


IDS = "echo $(sed -n '/^[UG]id:/s/^....//p' /proc/self/status)"
OWNERS = [str(OWNER)] * 8
