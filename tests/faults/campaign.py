"""The long campaigns of faults: `scripts/faults` runs them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple


class Campaign(NamedTuple):
    """One kind of fault: where its generator of report lines stands, and how much is usual."""

    target: str
    """`module:function`; the function takes rounds and a seed, and raises AssertionError at the first violation."""
    rounds: int
    summary: str

    def run(self, rounds: int, seed: int) -> Iterator[str]:
        """Carry it out; a line for each part."""
        module, _, name = self.target.partition(":")
        campaign: Callable[[int, int], Iterator[str]] = getattr(import_module(module), name)
        return campaign(rounds, seed)


CAMPAIGNS = {
    "kills": Campaign("tests.faults.kills:at_random", 200, "ROUNDS kills of each operation at random moments"),
    "points": Campaign("tests.faults.kills:at_system_calls", 200, "ROUNDS kills of each operation at system calls"),
    "errors": Campaign("tests.faults.errors:campaign", 1, "14 errors of the system at every change of each operation"),
    "full": Campaign("tests.faults.disks:campaign", 64, "ROUNDS amounts of room on a full disk (as root)"),
    "stops": Campaign("tests.faults.stops:campaign", 1, "stopped before every change while another one comes"),
    "flips": Campaign("tests.faults.flips:campaign", 50_000, "ROUNDS alterations of files of a repository"),
    "records": Campaign("tests.faults.journals:campaign", 5_000, "ROUNDS alterations of a bank's journal and catalog"),
    "accounts": Campaign("tests.faults.rot:campaign", 10_000, "ROUNDS alterations of an account's files and journal"),
    "crowds": Campaign("tests.faults.crowds:campaign", 10_000, "ROUNDS messages by 32 processes, killed at random"),
    "hostile": Campaign("tests.faults.attacks:campaign", 1, "every hostile repository, plain and encrypted"),
    "watch": Campaign("tests.faults.storms:campaign", 2, "ROUNDS storms of changes of each kind beside a watch"),
    "simulated": Campaign(
        "tests.faults.simulated.campaign:campaign", 100_000, "ROUNDS crash states of a simulated file system"
    ),
}


def main(words: list[str]) -> None:
    """Run one campaign. Raises AssertionError at the first violation, SystemExit for a name that is none."""
    name, numbers = (words[0], words[1:]) if words and not words[0].isdigit() else ("kills", words)
    if name not in CAMPAIGNS:
        sys.exit("\n".join(f"scripts/faults {name:10} {row.summary}" for name, row in CAMPAIGNS.items()))
    chosen = CAMPAIGNS[name]
    rounds = int(numbers[0]) if numbers else chosen.rounds
    seed = int(numbers[1]) if len(numbers) > 1 else random.randrange(1 << 30)
    print(f"{name}: {rounds} rounds, seed {seed}", flush=True)
    for line in chosen.run(rounds, seed):
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
