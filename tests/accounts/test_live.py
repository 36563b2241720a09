"""Histories that stay in memory from one message to the next: rendered without reading them again, and never wrong."""

from __future__ import annotations

import errno
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import applier, sources
from memorybank_cli.accounts.history import History
from memorybank_cli.bank import rendering
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
from tests.accounts.sealed import STEPS, check, leave, named, say, texts
from tests.operations.banks import opened


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accounts that were read for a rendering, in order."""
    found: list[str] = []
    real = sources.renderings

    def renderings(bank: Bank, account: str, upto: int) -> Generator[Any, None, History]:
        found.append(account)
        return (yield from real(bank, account, upto))

    monkeypatch.setattr(applier, "renderings", renderings)
    return found


def test_what_was_stored_here_is_rendered_without_reading_it(path: Path, read: list[str]) -> None:
    with opened(path) as bank:
        for start in range(0, 45, 3):
            store(bank, "a", texts(start, start + 3))
            bank.render()
    assert read == []
    check(path, named(45))


@pytest.mark.parametrize("step", STEPS[:6])
def test_a_rendering_that_fails_on_the_way_is_made_again(
    path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, puts = rendering.put, 0

    def put(*given: Any) -> Any:
        nonlocal puts
        puts += 1
        if puts == step + 1:
            raise OSError(errno.ENOSPC, "no room")
        return real(*given)

    say(path, 8)
    with opened(path) as bank:
        with monkeypatch.context() as patch:
            patch.setattr(rendering, "put", put)
            store(bank, "a", texts(8, 17))
            with pytest.raises(OSError, match="no room"):
                bank.render()
        assert puts == step + 1
        store(bank, "a", texts(17, 40))
    check(path, named(40))


def test_what_others_stored_meanwhile_is_rendered_too(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        store(one, "a", texts(5))
        store(other, "a", texts(5, 12))
        store(one, "a", texts(12, 14))
        one.render()
        store(other, "a", texts(14, 15))
        other.render()
        store(one, "a", texts(15, 30))
    check(path, named(30))


def test_who_renders_what_others_write_reads_it_once(path: Path, read: list[str]) -> None:
    renderer = open_bank(Context(bank=str(path)))
    with opened(path) as writer:
        writer.nudge = lambda: None  # it leaves that to the other
        for start in range(0, 40, 4):
            store(writer, "a", texts(start, start + 4))
            renderer.render()
        assert read == ["a"]
        check(path, named(40))
        leave(renderer)
    check(path, named(40))


def test_what_nobody_can_render_is_not_kept_in_memory(
    path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applier, "MOST_OPEN", 6)
    with opened(path) as bank, opened(path) as other:
        with other.rendering():
            for start in range(0, 20, 2):
                store(bank, "a", texts(start, start + 2))
                bank.render()
        assert applier.applier_of(bank).known(bank, "a").history is None
    assert read == ["a"]
    check(path, named(20))
