"""The proof that the explorer finds what it is there for: with a promise broken on purpose it must see a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.simulated.events import Event
from tests.faults.simulated.exploring import Explorer, Violation
from tests.faults.simulated.scenarios import SCENARIOS
from tests.faults.simulated.sites import Order

LIMITS = (10, 60, 700)
"""States of each scenario that are looked at in turn: most violations show in the plainest states."""

ORDERS = (
    Order(("bank/replacing.py", "_write"), ("bank/bank.py", "commit_group"), "an act begins when all of it is staged"),
    Order(("bank/bank.py", "commit_group"), ("bank/replacing.py", "swap"), "nothing is swapped before the act began"),
    Order(("bank/replacing.py", "swap"), ("bank/bank.py", "commit_group"), "an act ends when all of it is in place"),
    Order(("bank/bank.py", "commit_group"), ("base/files.py", "remove_tree"), "the stage goes when the act has ended"),
    Order(("snapshots/backends.py", "put"), ("snapshots/documents.py", "write"), "packs are there before a snapshot"),
    Order(
        ("snapshots/backends.py", "put"), ("snapshots/trash.py", "throw"), "merged packs are there before the old go"
    ),
    Order(
        ("operations/present.py", "finish"), ("bank/bank.py", "commit_group"), "refused bytes are kept before the act"
    ),
    Order(("bank/rendering.py", "quarantine"), ("base/files.py", "replace"), "foreign bytes are kept before ours"),
)
"""Steps whose order the program promises, in functions through which their changes go."""


Change = Callable[[Sequence[Event]], list[Event]]
"""What is done to a trace."""


class Case(NamedTuple):
    """A scenario whose trace was changed, and the states that its own trace leads to."""

    explorer: Explorer
    events: list[Event]
    known: set[bytes]


class Bench:
    """All scenarios, each recorded once, with the states that are known to be good."""

    def __init__(self, place: Path, seed: int) -> None:
        self._place, self._seed = place, seed
        self._made: dict[str, tuple[Explorer, set[bytes]]] = {}

    def _explorer(self, name: str) -> tuple[Explorer, set[bytes]]:
        if name not in self._made:
            explorer = Explorer(SCENARIOS[name](), self._place / name.replace(" ", "-"), self._seed)
            self._made[name] = explorer, {state.key for state in explorer.states(explorer.events, 1)}
        return self._made[name]

    def broken(self, change: Change) -> Iterator[Case]:
        """Scenarios in whose trace a change makes a difference, and the trace that comes of it."""
        for name in SCENARIOS:
            explorer, known = self._explorer(name)
            events = change(explorer.events)
            if events != explorer.events:
                yield Case(explorer, events, known)

    def violation(self, change: Change) -> Violation | None:
        """The first violation that is found where traces are changed so; None where none is."""
        cases: list[Case] = []
        for limit in LIMITS:
            for case in cases or self._gathered(change, cases):
                outcome = case.explorer.explore(limit, 1, case.events, case.known)
                if outcome.violations:
                    return outcome.violations[0]
        return None

    def _gathered(self, change: Change, cases: list[Case]) -> Iterator[Case]:
        """Scenarios one by one, which are kept: later ones are not even recorded when an earlier one is enough."""
        for case in self.broken(change):
            cases.append(case)
            yield case
