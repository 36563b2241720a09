"""What the three programs are called for the same work: an encrypted repository, a passphrase, the same directory."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass

from benchmarks.pairs import Command, Failed, once, output

PASSPHRASE = "correct horse battery staple"  # noqa: S105 - of repositories that are thrown away
SYNC = "sync -f ."  # the peers leave what they restored to the kernel; ours is durable by itself


@dataclass
class Place(ABC):
    """Where one program works: its repositories stand below `path`, and what it saves is `bank`."""

    program: str
    path: str
    bank: str
    env: dict[str, str]

    def __post_init__(self) -> None:
        self.number = 0
        os.makedirs(self.path, exist_ok=True)

    @property
    def repository(self) -> str:
        """The repository of now."""
        return f"{self.path}/repository-{self.number}"

    def another(self) -> None:
        """Go on with a repository that is not there yet."""
        self.number += 1

    def size(self) -> int:
        """Bytes of the repository, without the space that ours keeps back for a full disk (16 MiB)."""
        walk = os.walk(self.repository)
        names = (f"{base}/{name}" for base, _, names in walk for name in names)
        return sum(os.lstat(name).st_size for name in names if name != f"{self.repository}/reserve")

    def command(self, *words: str, cwd: str = "", codes: tuple[int, ...] = (0,)) -> Command:
        """A command of this program, in the bank."""
        return Command(words, cwd or self.bank, self.env, codes)

    @abstractmethod
    def version(self) -> str:
        """What it says of itself."""

    @abstractmethod
    def make(self) -> None:
        """Make a new repository."""

    @abstractmethod
    def backup(self) -> Command:
        """Save the bank."""

    @abstractmethod
    def verify(self) -> Command:
        """Read and prove everything."""

    @abstractmethod
    def restore(self) -> Command:
        """Restore the newest to an empty directory, durable."""

    def target(self) -> str:
        """A directory to restore to, empty."""
        path = f"{self.path}/restored"
        if os.path.exists(path):  # removed at the end: ext4 is slow where many files were deleted a moment ago
            os.rename(path, f"{self.path}/restored-{len(os.listdir(self.path))}")
        os.makedirs(path)
        return path


class Ours(Place):
    """memorybank; `key` is how it is told the key."""

    key: tuple[str, ...] = ()

    def version(self) -> str:
        """What it says of itself."""
        return output(self.command(self.program, "--version")).strip()

    def make(self) -> None:
        """Nothing: the first backup makes the repository, and pays for that."""

    def backup(self) -> Command:
        """Save the bank, every frame decoded before it is written, every pack read back."""
        words = (self.program, "backup", "--encrypt", "--repo", self.repository, *self.key)
        return self.command(*words, codes=(0, 1))

    def verify(self) -> Command:
        """Read and prove everything."""
        return self.command(self.program, "snapshot", "verify", "--read-data", "--repo", self.repository, *self.key)

    def restore(self) -> Command:
        """Restore the newest to an empty directory, durable."""
        words = (self.program, "snapshot", "restore", "latest", "--repo", self.repository, *self.key)
        return self.command(*words, "--to", self.target())


class Restic(Place):
    """restic: it decodes what it writes, too."""

    def version(self) -> str:
        """What it says of itself."""
        return output(self.command(self.program, "version")).split(" compiled")[0]

    def make(self) -> None:
        """A new repository."""
        once(self.command(self.program, "-q", "-r", self.repository, "init"))

    def backup(self) -> Command:
        """Save the bank."""
        return self.command(self.program, "-q", "-r", self.repository, "backup", "--exclude", ".memorybank", ".")

    def verify(self) -> Command:
        """Read and prove everything."""
        return self.command(self.program, "-q", "-r", self.repository, "check", "--read-data")

    def restore(self) -> Command:
        """Restore the newest to an empty directory, durable."""
        words = f'"{self.program}" -q -r "{self.repository}" restore latest --target . && {SYNC}'
        return self.command("sh", "-c", words, cwd=self.target())


class Borg(Place):
    """borg, with the compression of the others."""

    def version(self) -> str:
        """What it says of itself."""
        return output(self.command(self.program, "--version")).strip()

    def make(self) -> None:
        """A new repository."""
        once(self.command(self.program, "init", "--encryption", "repokey", self.repository))

    def backup(self) -> Command:
        """Save the bank."""
        words = ("create", "--compression", "zstd,3", "--exclude", "*/.memorybank")
        return self.command(self.program, *words, f"{self.repository}::{{now:%Y%m%d%H%M%S%f}}", ".")

    def verify(self) -> Command:
        """Read and prove everything."""
        return self.command(self.program, "check", "--verify-data", self.repository)

    def restore(self) -> Command:
        """Restore the newest to an empty directory, durable."""
        newest = f'$("{self.program}" list --short --last 1 "{self.repository}")'
        words = f'"{self.program}" extract "{self.repository}::{newest}" && {SYNC}'
        return self.command("sh", "-c", words, cwd=self.target())


def environment(work: str) -> dict[str, str]:
    """What all three run with: their caches below `work`, the passphrase, nothing of the caller's settings."""
    foreign = ("MEMORYBANK_", "PYTHON", "RESTIC_", "BORG_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env |= {"PYTHONPYCACHEPREFIX": f"{work}/pycache", "MEMORYBANK_STATE_HOME": f"{work}/home", "TERM": "dumb"}
    env |= {"RESTIC_PASSWORD": PASSPHRASE, "RESTIC_CACHE_DIR": f"{work}/restic-cache"}
    return env | {"BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": f"{work}/borg"}


def find(name: str, given: str | None) -> str:
    """Where a program is. Raises Failed when it is nowhere."""
    found = shutil.which(given or name)
    if found is None:
        raise Failed(f"{given or name} was not found; name it with --{name} PATH")
    return os.path.abspath(found)


def same(one: str, other: str) -> bool:
    """Whether two directories hold the same files with the same bytes, but for what is memorybank's own."""
    words = ("diff", "--recursive", "--brief", "--exclude=.memorybank", one, other)
    return subprocess.run(words, check=False, stdout=subprocess.DEVNULL).returncode == 0
