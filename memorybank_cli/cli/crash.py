"""What is kept of an unexpected failure: where it happened, never with which values."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback

from memorybank_cli import __version__
from memorybank_cli.base import clock, files


def write_report(error: BaseException, arguments: list[str]) -> str:
    """Write a report (0600) into the state home, else into the temporary directory; its path, '' if neither works."""
    text = report(error, arguments).encode(errors="backslashreplace")
    name = f"crash-{clock.now().replace(':', '')}-{os.getpid()}.txt"
    for place in (_state_home, tempfile.gettempdir):
        try:
            root = files.make_root(place())
            try:
                if files.create(root, name, text):
                    return root.absolute(name)
            finally:
                root.close()
        except Exception:  # noqa: BLE001, S112  # whatever fails here must not hide the crash itself
            continue
    return ""


def report(error: BaseException, arguments: list[str]) -> str:
    """The report: versions, the command's words, and for each error of the chain its type and frames.

    Messages, local variables and arguments are left out; any of them may hold an agent's data or a secret.
    """
    lines = [
        f"memorybank {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"at {clock.now()}",
        f"command: {_command(arguments)}",
    ]
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        lines += ["", f"{type(link).__module__}.{type(link).__qualname__}"]
        frames = traceback.extract_tb(link.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        link = link.__cause__ or link.__context__
    return "\n".join(lines) + "\n"


def _command(arguments: list[str]) -> str:
    from memorybank_cli.operations.table import OPERATIONS

    for count in (3, 2, 1):
        if " ".join(arguments[:count]) in OPERATIONS:
            return " ".join(arguments[:count])
    return "none of the table"


def _state_home() -> str:
    from memorybank_cli.bank.home import directories

    return os.path.join(directories(os.geteuid())["state"], "crash")
