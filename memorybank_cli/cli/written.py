"""Files for the shell and the system, written into a directory of the user's choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from memorybank_cli.base import files
from memorybank_cli.base.names import escape
from memorybank_cli.base.words import counted


@dataclass(frozen=True)
class Written:
    """What was written, and where."""

    directory: str
    files: tuple[str, ...]

    def summary(self) -> str:
        """How many, where."""
        return f"{counted(len(self.files), 'file')} written to {escape(self.directory)}"


def write(directory: str, texts: Mapping[str, str]) -> Written:
    """Write files that everybody may read, by path below the directory; it is made where it is missing."""
    root = files.make_root(directory, mode=0o755)
    try:
        for folder in sorted({path.rpartition("/")[0] for path in texts} - {""}):
            files.make_dirs(root, folder, mode=0o755)
        for path, text in texts.items():
            files.replace(root, path, text.encode(), mode=0o644)
        return Written(root.path, tuple(texts))
    finally:
        root.close()
