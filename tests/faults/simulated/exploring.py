"""Exploring: an operation is recorded once, then crash states of its trace are put on disk, recovered and checked."""

from __future__ import annotations

import os
import random
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol
from unittest import mock

from tests.faults.simulated.disk import Disk, Tree
from tests.faults.simulated.events import Event
from tests.faults.simulated.recording import is_derived, recording
from tests.faults.simulated.states import State, states

DEEP = 40  # in one of so many states the recovery itself is crashed
DEEP_STATES = 12
TWICE = 3  # one of so many states is recovered twice before it is checked
THOROUGH = 4  # in one of so many states the next write is tried, too
OLD_DERIVED = 4  # one of so many states has the databases from before the operation, the others have none


class Lab:
    """The directory in which a bank, its home and its repository stand; crash states are put there, too.

    The place stays the same: a bank that is found elsewhere than before would be another one.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bank, self.home, self.target = place / "bank", place / "home", place / "restored"
        self.derived: dict[str, bytes] = {}
        self.thorough = True
        """Whether checks also write: that costs, so only some states are."""
        place.mkdir(parents=True, exist_ok=True)

    def keep_derived(self) -> None:
        """Remember the databases as they are now."""
        found = (path for path in self.place.rglob("*") if is_derived(path.name))
        self.derived = {str(path.relative_to(self.place)): path.read_bytes() for path in found}

    def put(self, tree: Tree, derived: bool) -> None:
        """Have exactly what a crash left, with the databases from before the operation or with none."""
        clear(self.place)
        for path, node in tree.items():
            target = f"{self.place}/{path}"
            if node.content is None:
                os.mkdir(target)
            else:
                fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, node.mode)
                os.write(fd, node.content)
                os.close(fd)
        for path, node in reversed(tree.items()):
            if node.content is None or node.mode & ~0o700:
                os.chmod(f"{self.place}/{path}", node.mode)
            os.utime(f"{self.place}/{path}", ns=(node.mtime_ns, node.mtime_ns))
        for name, data in self.derived.items() if derived else ():
            if (self.place / name).parent.is_dir():
                (self.place / name).write_bytes(data)

    def files(self, below: str = "") -> dict[str, bytes]:
        """What stands below a directory, databases left out."""
        found, waiting = {}, [""]
        while waiting:
            here = waiting.pop()
            with os.scandir(self.place / below / here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{here}{entry.name}/")
                    elif not is_derived(entry.name):
                        with open(entry.path, "rb") as file:
                            found[here + entry.name] = file.read()
        return found


def clear(place: Path) -> None:
    """Empty a directory."""
    with os.scandir(place) as found:
        for entry in found:
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


class Scenario(Protocol):
    """One operation under crashes."""

    name: str

    def setting(self) -> AbstractContextManager[object]:
        """What holds while the operation and each recovery run, such as short journal segments."""

    def prepare(self, lab: Lab) -> None:
        """What stands there before; it is durable."""

    def act(self, lab: Lab, say: Callable[[str], None]) -> None:
        """The operation; it says what is acknowledged when it is."""

    def recover(self, lab: Lab, said: Sequence[str]) -> None:
        """What the next start does."""

    def check(self, lab: Lab, said: Sequence[str]) -> None:
        """Recover, and raise where something is not as it must be after these acknowledgements."""


class Violation(NamedTuple):
    """A crash state that broke a promise."""

    state: State
    error: BaseException
    depth: int

    def __str__(self) -> str:
        text = "".join(traceback.format_exception(self.error)[-4:])
        where = "in the recovery " if self.depth else ""
        return f"crash {where}after event {self.state.moment}, {self.state.how}, said {self.state.said}:\n{text}"


@dataclass
class Outcome:
    """What an exploration came to."""

    states: int = 0
    violations: list[Violation] = field(default_factory=list)


class Explorer:
    """One scenario, recorded; `explore` goes through its crash states."""

    def __init__(self, scenario: Scenario, place: Path, seed: int) -> None:
        self.scenario, self.lab, self.seed = scenario, Lab(place), seed
        clear(self.lab.place)
        with self._at_home(), scenario.setting():
            scenario.prepare(self.lab)
            self.lab.keep_derived()
            with recording(self.lab.place) as recorder:
                scenario.act(self.lab, recorder.say)
        self.before, self.events = recorder.disk, recorder.events

    def _at_home(self) -> AbstractContextManager[object]:
        return mock.patch.dict(os.environ, {"MEMORYBANK_STATE_HOME": str(self.lab.home)})

    def states(self, events: Sequence[Event], draws: int) -> Iterator[State]:
        """The crash states of a trace; the same ones for the same seed."""
        return states(self.before, events, random.Random(self.seed), draws)

    def explore(
        self,
        limit: int,
        draws: int = 0,
        events: Sequence[Event] | None = None,
        known: set[bytes] | None = None,
        most: int = 1,
    ) -> Outcome:
        """Check up to `limit` different states that are not `known`; stops at violation number `most`."""
        outcome, seen = Outcome(), set() if known is None else set(known)
        with self._at_home(), self.scenario.setting():
            for state in self.states(self.events if events is None else events, draws):
                key = state.key
                if key in seen:
                    continue
                seen.add(key)
                outcome.states += 1
                self._check(state, outcome, seen)
                if len(outcome.violations) >= most or outcome.states >= limit:
                    break
        return outcome

    def _check(self, state: State, outcome: Outcome, seen: set[bytes]) -> None:
        derived = outcome.states % OLD_DERIVED == 0
        try:
            self.lab.put(state.tree, derived)
            if outcome.states % DEEP == 0:
                with recording(self.lab.place) as recorder:
                    self.scenario.recover(self.lab, state.said)
                self._crash_again(state, recorder.disk, recorder.events, outcome, seen)
                self.lab.put(state.tree, derived)
            self._recovered(state.said, outcome.states)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is looked for
            outcome.violations.append(Violation(state, error, 0))

    def _crash_again(
        self, state: State, disk: Disk, events: Sequence[Event], outcome: Outcome, seen: set[bytes]
    ) -> None:
        chance = random.Random(self.seed + outcome.states)
        after = (one._replace(said=state.said) for one in states(disk, events, chance, 1))
        found = list({one.key: one for one in after if one.key not in seen}.values())
        for again in chance.sample(found, min(DEEP_STATES, len(found))):
            seen.add(again.key)
            outcome.states += 1
            try:
                self.lab.put(again.tree, derived=False)
                self._recovered(state.said, outcome.states)
            except Exception as error:  # noqa: BLE001
                outcome.violations.append(Violation(again, error, 1))
                return

    def _recovered(self, said: Sequence[str], number: int) -> None:
        """Recover, in some states twice and the second time without any change; then what must hold."""
        self.lab.thorough = number % THOROUGH == 0
        if number % TWICE == 0:
            self.scenario.recover(self.lab, said)
            found = self.lab.files()
            self.scenario.recover(self.lab, said)
            again = self.lab.files()
            differing = sorted(path for path in {*found, *again} if found.get(path) != again.get(path))
            assert not differing, f"recovered once more, these differ: {differing}"
        self.scenario.check(self.lab, said)
