"""What is said of things in a bank that are no plain files of it."""

from __future__ import annotations

import stat

from memorybank_cli.base.names import quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Entry, Listing


def inner_bank(path: str) -> Finding:
    """MB112: a bank inside the bank."""
    message = "a bank inside this bank; it is checked and backed up on its own"
    return Finding("MB112", message, path, f"memorybank status --bank {quoted(path)}")


def beside_files(listing: Listing) -> list[Finding]:
    """MB112, MB305, MB307: what stands in a directory and is no file, and directories that look like one."""
    prefix = f"{listing.path}/" if listing.path else ""
    named = [one.name for one in listing.directories if one.name.endswith(".json")]
    return [
        *(Finding("MB112", "a directory named like a JSON file", prefix + name) for name in named),
        *(_no_file(prefix + entry.name, entry) for entry in listing.others),
    ]


def _no_file(path: str, entry: Entry) -> Finding:
    """MB307 or MB305: a directory that cannot be gone into, a link, a pipe, a socket, a device."""
    if stat.S_ISDIR(entry.mode):
        what = "the directory cannot be read, or is nested too deep"
        return Finding("MB307", what, path, "correct its owner and mode, or move it up")
    if stat.S_ISLNK(entry.mode):
        return Finding("MB305", "a symbolic link; it is not followed", path, "replace it with the file itself")
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    what = kinds.get(stat.S_IFMT(entry.mode), "a device")
    return Finding("MB305", f"{what}, no file", path, "remove it")
