from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed, Refused, UsageError
from memorybank_cli.base.records import QUIET


def test_library_use_is_quiet_and_asks_nobody() -> None:
    context = Context()
    assert context.options == {}
    assert context.progress is QUIET
    with pytest.raises(UsageError, match="nobody to ask: Sure") as caught:
        context.ensure("Sure?", yes=False)
    assert "--yes" in caught.value.hint
    context.ensure("Sure?", yes=True)


def test_options_are_those_that_were_given() -> None:
    assert Context(lock_timeout=0.0, actor="me").options == {"lock_timeout": 0.0, "actor": "me"}


def test_a_question_is_asked_once_and_a_no_is_respected() -> None:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) == 1

    context = Context(confirm=answer)
    context.ensure("One?", yes=False)
    with pytest.raises(Refused, match="the answer was no"):
        context.ensure("Two?", yes=False)
    context.ensure("Three?", yes=True)
    assert asked == ["One?", "Two?"]


def test_input_is_a_file_or_stdin(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"data")
    with Context().open_input(str(path)) as file:
        assert file.read() == b"data"
    with pytest.raises(OperationFailed, match=r"cannot read: .*missing"):
        Context().open_input(str(tmp_path / "missing"))
    saved, fd = os.dup(0), os.open(path, os.O_RDONLY)
    os.dup2(fd, 0)
    try:
        with Context().open_input("-") as file:
            assert file.read() == b"data"
        os.fstat(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(fd)
    assert isinstance(file, io.BufferedReader)
