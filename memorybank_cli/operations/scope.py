"""Which part of a bank is meant: files and directories by their escaped paths, everything without any."""

from __future__ import annotations

from collections.abc import Iterable


class Scope:
    """A part of the bank. `paths` is empty for all of it."""

    def __init__(self, paths: Iterable[str]) -> None:
        named = list(dict.fromkeys(paths))
        self.paths = [] if "" in named else named
        self._above = {head for path in self.paths for head in _heads(path)}

    def has(self, path: str) -> bool:
        """Whether a file or directory belongs to it, itself or by a directory above."""
        return not self.paths or any(path == one or path.startswith(f"{one}/") for one in self.paths)

    def leads(self, path: str) -> bool:
        """Whether something that belongs to it may stand at or below a directory."""
        return path in self._above or self.has(path)


def _heads(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:number]) for number in range(len(parts)))
