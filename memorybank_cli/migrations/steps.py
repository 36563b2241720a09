"""The numbered steps from one format of a bank to the next, in order.

There is one format so far, so there is no step yet. How steps are carried out, and undone, stands in
`operations.upgrading`; each brings a bank of every format that there was one format further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import UsageError

BEGIN = "migrate.begin"
END = "migrate.end"


class Step(NamedTuple):
    """From format `number` to the one after it."""

    number: int
    description: str
    """What it changes, in a few words for people."""
    check: Callable[[Bank], Sequence[str]]
    """Why it cannot be done in this bank, in sentences; nothing where it can. It changes nothing."""
    apply: Callable[[Bank], None]
    """Change the bank's files, under its lock, by `bank.replacing` so that the journal tells of it. What it raises, or
    leaves damaged, undoes it. `bank.json` gets its new format from whoever runs the step."""


STEPS: tuple[Step, ...] = ()


def newest(steps: Sequence[Step]) -> int:
    """The format that a program with these steps writes."""
    return steps[-1].number + 1 if steps else layout.FORMAT


def chosen(steps: Sequence[Step], have: int, to: int | None) -> Sequence[Step]:
    """The steps from the format `have` to the format `to`, None for the newest. Raises UsageError for one too far."""
    last = newest(steps)
    wanted = last if to is None else to
    if not have <= wanted <= last:
        raise UsageError(
            f"a bank of format {have} cannot be brought to format {wanted}",
            hint=f"this program knows formats up to {last}; going back is a matter of memorybank snapshot restore",
        )
    return [step for step in steps if have <= step.number < wanted]
