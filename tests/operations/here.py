"""`run` of the tests' conftest in this process: nothing is started, so a command takes a few ms, and is measured."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest

from memorybank_cli.main import main
from tests.conftest import Ran, Run


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
        with monkeypatch.context() as patch, _reading(stdin), redirect_stdout(out), redirect_stderr(err):
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            if cwd is not None:
                patch.chdir(cwd)
            code = main([os.fspath(one) for one in arguments])
            out.flush()
            err.flush()
        return Ran(code, out.buffer.getvalue(), err.buffer.getvalue())

    return call


@contextmanager
def _reading(stdin: bytes) -> Iterator[None]:
    """Have these bytes on the descriptor 0."""
    before = os.dup(0)
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            os.dup2(given.fileno(), 0)
            yield
    finally:
        os.dup2(before, 0)
        os.close(before)
