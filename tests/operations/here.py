"""`run` of the tests' conftest in this process: nothing is started, so a command takes a few ms, and is measured."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout

import pytest

from memorybank_cli.main import main
from tests.conftest import Ran, Run
from tests.stdin import reading


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `memorybank ARGUMENTS` here, with nobody to ask."""

    def call(
        *arguments: str | os.PathLike[str],
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        prefix: Sequence[str] = (),
        user: int | None = None,
    ) -> Ran:
        assert not prefix
        assert user is None
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with monkeypatch.context() as patch, reading(stdin), redirect_stdout(out), redirect_stderr(err):
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            if cwd is not None:
                patch.chdir(cwd)
            code = main([os.fspath(one) for one in arguments])
            out.flush()
            err.flush()
        return Ran(code, out.buffer.getvalue(), err.buffer.getvalue())

    return call
