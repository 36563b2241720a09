"""The long campaign: crash states of all scenarios, drawn until there are as many as were asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.simulated.exploring import Explorer
from tests.faults.simulated.scenarios import SCENARIOS

MEMORY = "/dev/shm"
DRAWS = 400  # rounds of drawing at each moment; more than any share of a campaign needs


def fast_place() -> str | None:
    """A directory in memory where there is one, None for the usual place of temporary files."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def campaign(states: int, seed: int) -> Iterator[str]:
    """Look at `states` different crash states in all, each of another recording of its scenario every 1,000 or so.

    Gives a line for each scenario and pass. Raises AssertionError at the first violation.
    """
    done = passes = 0
    while done < states:
        for number, (name, make) in enumerate(SCENARIOS.items()):
            share = min(1_000, -(-(states - done) // (len(SCENARIOS) - number)))
            if share <= 0:
                return
            with tempfile.TemporaryDirectory(dir=fast_place()) as place:
                outcome = Explorer(make(), Path(place), seed + passes).explore(share, DRAWS)
            assert not outcome.violations, f"{name}, seed {seed + passes}: {outcome.violations[0]}"
            done += outcome.states
            yield f"{name:18} {outcome.states:6,} states, no promise broken; {done:,} of {states:,}"
        passes += 1
