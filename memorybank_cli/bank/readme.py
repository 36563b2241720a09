"""The bank's README: what this directory is, for whoever finds it. The block between the marks is ours to keep true."""

from __future__ import annotations

BEGIN = "<!-- memorybank: generated; edit outside these marks -->"
END = "<!-- memorybank: end -->"
_TEXT = """\
This directory is a memory bank: JSON files that agents write, kept by `memorybank`.

| where | what | who writes |
|---|---|---|
| `trades/` | one trade a file; recorded files are not changed any more | agents add files |
| `metrics/`, `metrics/historical/` | metrics; one sample set a file | agents |
| `state/` | state of the agents | agents |
| `account_<id>/` | conversations: short_term, mid_term, whole_history | `memorybank` only |
| `config/` | settings and schemas; a change is reported until it is accepted | you |
| `.memorybank/` | journal, catalog, quarantine: leave it alone | `memorybank` only |

`memorybank status` says how it is, `memorybank validate` checks every file, `memorybank repair` cures damage,
`memorybank backup` and `memorybank rollback` go back in time.
"""


def render() -> bytes:
    """A README for a bank that has none."""
    return f"# Memory bank\n\n{BEGIN}\n{_TEXT}{END}\n".encode()
