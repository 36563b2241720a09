"""Sources in the shapes of other programs, made here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.migrations.source import Source

Make = Callable[[dict[str, Any]], Source]


@pytest.fixture
def make_source(tmp_path: Path) -> Iterator[Make]:
    """A directory of the given files: bytes and texts as they are, lists of lines as JSON Lines, objects as JSON."""
    made: list[Source] = []

    def make(files: dict[str, Any]) -> Source:
        directory = tmp_path / f"source-{len(made)}"
        directory.mkdir()
        write_files(directory, files)
        made.append(Source(directory))
        return made[-1]

    yield make
    for source in made:
        source.close()


def write_files(directory: Path, files: dict[str, Any]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_bytes(content))


def as_bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()
