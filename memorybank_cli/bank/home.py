"""What is kept outside the bank about it: high-water mark, trusted configs, where it stood, its default repository.

It lies in the home of the bank directory's owner (passwd, not $HOME), so that cron and a shell agree;
`MEMORYBANK_STATE_HOME` overrides that for containers and tests. An agent that may write the bank cannot rewrite it.
"""

from __future__ import annotations

import os
from math import inf
from typing import Any

from memorybank_cli.base import clock, files
from memorybank_cli.base.errors import CopiedBank, NotOurs, OperationFailed
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.base.walk import Root

OVERRIDE = "MEMORYBANK_STATE_HOME"
_LIMIT = 1 << 20
_DERIVED_LIMIT = 64 << 20


class Home:
    """The state directory of one bank.

    Of a bank that is `aside`, still being built somewhere else than where it will stand, nothing is kept before
    `settle`: when that never comes, nobody ever heard of it.
    """

    def __init__(self, bank_id: str, owner: int, aside: bool = False) -> None:
        self.bank_id, self.owner, self.aside = bank_id, owner, aside
        self._mark = (0, "")
        self._base: Root | None = None
        self.damaged: set[str] = set()
        """Files of ours that cannot be read: they count as missing."""

    @property
    def repository(self) -> str:
        """Where snapshots go when nobody says otherwise."""
        return os.path.join(directories(self.owner)["repositories"], self.bank_id)

    @property
    def root(self) -> Root:
        """The state directory, made (0700) when it is first needed."""
        if self._base is None:
            self._base = files.make_root(os.path.join(directories(self.owner)["state"], self.bank_id))
        return self._base

    def close(self) -> None:
        """Give the descriptor back."""
        if self._base is not None:
            self._base.close()
            self._base = None

    def _read(self, name: str, limit: int = _LIMIT) -> dict[str, Any]:
        """A document of ours; a damaged one counts as missing and is named by `damaged`."""
        if self.aside:
            return {}
        try:
            data = self.root.read_if_there(name, limit)
            # A crash of the machine leaves what was not synced empty, or full of NULs.
            value = loads(data) if data is not None and data.strip(b"\0") else {}
        except (FlawedJSON, OSError):
            value = None
        if isinstance(value, dict):
            return value
        self.damaged.add(self.root.absolute(name))
        return {}

    def mark(self) -> tuple[int, str]:
        """The last line known to be durable, (0, '') where none is."""
        if self.aside:
            return self._mark
        found = self._read("mark.json")
        seq, digest = found.get("seq", 0), found.get("hash", "")
        if type(seq) is int and 0 <= seq < 1 << 53 and isinstance(digest, str):
            return seq, digest
        self.damaged.add(self.root.absolute("mark.json"))
        return 0, ""

    def set_mark(self, seq: int, digest: str) -> None:
        """Remember the last durable line; it may lag, so it is not synced itself."""
        if self.aside:
            self._mark = seq, digest
            return
        files.replace(self.root, "mark.json", dumps({"seq": seq, "hash": digest}), durable=False)

    def marked_ago(self) -> float:
        """Seconds since anybody wrote the high-water mark; infinite where nobody did."""
        info = None if self.aside else self.root.stat("mark.json")
        return inf if info is None else max(0.0, (clock.now_ns() - info.st_mtime_ns) / clock.SECOND_NS)

    def derived(self, name: str) -> dict[str, Any]:
        """What `keep_derived` kept under a name; {} where nothing is."""
        return self._read(f"{name}.json", _DERIVED_LIMIT)

    def keep_derived(self, name: str, value: dict[str, Any]) -> None:
        """Keep what can be learnt again at some cost; not synced, so a crash may lose it."""
        if not self.aside:
            files.replace(self.root, f"{name}.json", dumps(value), durable=False)

    def settle(self, root: Root) -> None:
        """The bank that was built aside stands in its place now: what was learnt meanwhile is kept."""
        self.aside = False
        self.remember_place(root)
        self.set_mark(*self._mark)

    def trusted(self) -> dict[str, str]:
        """Digests of config files whose loosening settings hold, by path."""
        return {str(path): str(digest) for path, digest in self._read("trusted.json").items()}

    def trust(self, digests: dict[str, str]) -> None:
        """Let config files of exactly this content loosen policy."""
        files.replace(self.root, "trusted.json", dumps({**self.trusted(), **digests}, indent=True))

    def place(self) -> dict[str, Any]:
        """Where the bank stood when it was last opened for writing: path (escaped), device, inode; {} before that."""
        return self._read("place.json")

    def is_copy(self, root: Root) -> str:
        """The path of the original when the bank at `root` is a copy of one that still stands there, else ''."""
        known = self.place()
        path = unescape(str(known.get("path", ""))).replace("\0", "")
        if not path or path == root.path or _stands_at(root.path, known):
            return ""
        return path if bank_id_at(path) == self.bank_id else ""

    def remember_place(self, root: Root) -> str:
        """Note where the bank stands now; its former path when it was moved, else ''. Raises CopiedBank."""
        if self.aside:
            return ""
        original = self.is_copy(root)
        if original:
            here = escape(root.path)
            raise CopiedBank(f"{here} is a copy of the bank at {escape(original)}", path=root.path)
        info, known = os.fstat(root.fd), self.place()
        now = {"path": escape(root.path), "device": info.st_dev, "inode": info.st_ino}
        if known == now:
            return ""
        files.replace(self.root, "place.json", dumps(now, indent=True))
        former = unescape(str(known.get("path", "")))
        return former if former != root.path else ""


def _stands_at(path: str, known: dict[str, Any]) -> bool:
    info = os.stat(path)
    return bool((info.st_dev, info.st_ino) == (known.get("device"), known.get("inode")))


def bank_id_at(path: str) -> str:
    """The id in the bank.json of a directory, '' where none can be read."""
    try:
        root = Root(path)
    except OperationFailed:
        return ""
    try:
        value = loads(root.read_if_there("bank.json", _LIMIT) or b"")
    except (FlawedJSON, OSError):
        return ""
    finally:
        root.close()
    return str(value.get("bank_id", "")) if isinstance(value, dict) else ""


def directories(owner: int) -> dict[str, str]:
    """The directories of a user's state, repositories and own config, by name. Raises NotOurs for one without home."""
    override = os.environ.get(OVERRIDE)
    if override:
        base = os.path.abspath(override)
        return {"state": f"{base}/state", "repositories": f"{base}/repositories", "config": base}
    import pwd

    try:
        home = pwd.getpwuid(owner).pw_dir
    except KeyError:
        raise NotOurs(
            f"the bank belongs to uid {owner}, which has no home directory",
            hint=f"set {OVERRIDE} to a directory for its state",
        ) from None
    return {
        "state": f"{home}/.local/state/memorybank",
        "repositories": f"{home}/.local/share/memorybank",
        "config": f"{home}/.config/memorybank",
    }


def user_config(owner: int) -> dict[str, Any]:
    """The user's own settings file, {} where there is none. Raises OperationFailed when it is damaged."""
    path = os.path.join(directories(owner)["config"], "config.json")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    with open(fd, "rb") as file:
        data = file.read(_LIMIT)
    try:
        value = loads(data)
    except FlawedJSON as error:
        raise OperationFailed(
            f"{escape(path)} is damaged: {error}", path=path, hint="correct it or move it away"
        ) from None
    return value if isinstance(value, dict) else {}


def user_name() -> str:
    """Who runs this, by the OS; the uid where it has no name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
