"""The exit codes of every command: their names here, their meanings, and nowhere else.

Nothing is imported, so that `memorybank --version` stays cheap.
"""

from __future__ import annotations

DONE = 0
FINDINGS = 1
USAGE = 2
FAILED = 3
NOT_FOUND = 10
LOCKED = 11
WRONG_KEY = 12
REFUSED = 13
FORMAT = 14
INTERNAL = 70
INTERRUPTED = 130
BROKEN_PIPE = 141

MEANINGS: dict[int, str] = {
    DONE: "Done, nothing found. `watch` also ends so after SIGINT or SIGTERM.",
    FINDINGS: "Something was found: findings at or above --fail-on, or what the command's own help says.",
    USAGE: "Wrong usage. Nothing was done.",
    FAILED: "The operation failed: I/O, full disk, permission, damaged journal.",
    NOT_FOUND: "There is no bank, snapshot, account or record by that name.",
    LOCKED: "Another process held the bank's lock for longer than --lock-timeout.",
    WRONG_KEY: "The key, the passphrase or the signature does not fit.",
    REFUSED: "Refused: it would have lost data, or the bank is a copy of one that still stands elsewhere.",
    FORMAT: "The bank's format is not the one that this program writes.",
    INTERNAL: "An internal error. A crash report without data was written, and its path printed.",
    INTERRUPTED: "Interrupted by Ctrl-C.",
    BROKEN_PIPE: "Whoever read the output went away.",
}
"""By code what it says; docs/reference/exit-codes.md and the man pages are printed from this."""
