"""What links out of a bank point at: never anything of the machine's own, for tests run as root and code has faults."""

from __future__ import annotations

from pathlib import Path

CONTENT = b"root:x:0:0:root:/root:/bin/bash\n"
_OF_ALL, _NAME = ("pytest-", "popen-"), "outside-of-all"


def outside(near: Path) -> Path:
    """The directory beside everything else in a test's own directory; `passwd` stands in it."""
    both = zip([near, *near.parents], near.parents, strict=False)
    found = next(one for one, above in both if above.name.startswith(_OF_ALL)) / _NAME
    if not found.is_dir():
        found.mkdir()
        (found / "passwd").write_bytes(CONTENT)
    return found


def passwd(near: Path) -> Path:
    """A file there that looks as if it mattered."""
    return outside(near) / "passwd"


def assert_untouched(own: Path) -> None:
    """Nobody wrote there, in a test's own directory."""
    found = own / _NAME
    if found.is_dir():
        assert {one.name: one.read_bytes() for one in found.iterdir()} == {"passwd": CONTENT}
