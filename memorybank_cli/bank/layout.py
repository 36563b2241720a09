"""Which path means what: section, kind, policy and limit of every file in a bank. Nobody else builds a path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from memorybank_cli.base.names import check_id, is_id
from memorybank_cli.base.settings import Settings
from memorybank_cli.base.walk import Entry, Listing

FORMAT = 1
Policy = Literal["open", "append", "managed"]

BANK = "bank.json"
README = "README.md"
CONFIG = "config/memorybank.json"
CONFIG_LIMIT = 1 << 20  # bytes of a config file or schema
CONFIG_SCHEMAS = "config/schemas"
AGGREGATES = "config/aggregates.json"
PRIVATE = ".memorybank"
JOURNAL = f"{PRIVATE}/journal"
QUARANTINE = f"{PRIVATE}/quarantine"
SCRATCH = f"{PRIVATE}/tmp"  # noqa: S108 - a directory of the bank
LOCK, SYNC_LOCK, RENDER_LOCK = (f"{PRIVATE}/{name}" for name in ("lock", "sync.lock", "render.lock"))
STATUS = f"{PRIVATE}/status.json"
FINDINGS = f"{PRIVATE}/findings.sqlite"
RESERVE = f"{PRIVATE}/reserve"  # room for findings.sqlite on a full disk
SAMPLES = f"{PRIVATE}/samples.sqlite"
HEARTBEATS = f"{PRIVATE}/heartbeats"
WATCH = f"{PRIVATE}/watch"
PROBE = f"{PRIVATE}/probe"  # what health writes to see how long the disk takes
ALERTS_LOG = f"{PRIVATE}/alerts.log"
CATALOG = "catalog"  # the stem of catalog.sqlite; a rebuilt one gets a new name
SECTIONS = ("trades", "metrics", "state")
HISTORICAL = "metrics/historical"
AGENTS = frozenset({"agents", "shared"})
PLACEHOLDERS = {"metrics": "metrics/metrics.json", "state": "state/state.json"}

ARCHIVED_KIND = "archived_segment"
_ACCOUNT = "account_"
_ARCHIVED = ".json.zst"
_CONFIG_KINDS = ("memorybank", "security_config", "predictive_config", "alerts_config", "aggregates")
TIERS = ("short_term", "mid_term", "whole_history", "history_context")
_MIB = 1 << 20
_SECRET_ENDINGS = (".pem", ".key", ".p12", ".pfx", ".keystore", ".env")
_SECRET_BEGINNINGS = ("id_rsa", "id_ed25519", "id_ecdsa")


class Place(NamedTuple):
    """What a path means: its section, the kind of its document ('' where none is known), who may write it."""

    section: str
    kind: str
    policy: Policy
    is_json: bool = True

    @property
    def bound(self) -> bool:
        """Whether the kind's schema must fit in any case, not only once it has."""
        return self.policy == "managed"


DOCUMENT = Place("documents", "", "open", is_json=False)
STRAY = Place("stray", "", "open", is_json=False)


def place(path: str) -> Place:
    """What an escaped path below the bank's root means."""
    directory, _, name = path.rpartition("/")
    return place_in(directory)(name)


@cache
def place_in(directory: str) -> _Directory:
    """A function from a file's name in `directory` to its place; one is made for each directory of a walk."""
    return _Directory(directory)


class _Directory:
    def __init__(self, directory: str) -> None:
        self.top, _, self.rest = directory.partition("/")

    def __call__(self, name: str) -> Place:
        if not name.endswith(".json") or self.top == "docs":
            archived = self.rest == "history" and name.endswith(_ARCHIVED) and account_of(self.top)
            return Place(self.top, ARCHIVED_KIND, "managed", is_json=False) if archived else DOCUMENT
        return self._json(name)

    def _json(self, name: str) -> Place:
        top = self.top
        if top == "trades":
            return _TRADE
        if top == "state":
            return _STATE
        if top == "metrics":
            return _HISTORICAL if self.rest.split("/")[0] == "historical" else _METRICS
        if top in AGENTS:
            return Place(top, "", "open")
        if top == "config":
            return Place("config", _config_kind(self.rest, name), "managed")
        if account_of(top):
            return Place(top, _account_kind(self.rest, name), "managed")
        return Place("bank", "bank", "managed") if not top and name == BANK else STRAY


_TRADE = Place("trades", "trade", "append")
_STATE = Place("state", "state", "open")
_METRICS = Place("metrics", "metrics", "open")
_HISTORICAL = Place("metrics", "historical_metrics", "append")


def _config_kind(rest: str, name: str) -> str:
    stem = name.removesuffix(".json")
    if rest == "schemas" and stem.endswith(".schema"):
        return "schema"
    return stem if not rest and stem in _CONFIG_KINDS else ""


def _account_kind(rest: str, name: str) -> str:
    stem = name.removesuffix(".json")
    if rest == "history":
        return "history_index" if stem == "index" else "history_segment"
    return stem if not rest and stem in (*TIERS, "account") else ""


# Records of agents by the members that tell them; of several the first, so a decision may name a signal.
_BY_MEMBER = (
    ("decision_type", "decision"),
    ("signal_type", "signal"),
    ("predicted_event", "predictive_alert"),
    ("decision_id", "decision"),
    ("signal_id", "signal"),
    ("pattern_id", "pattern"),
    ("prediction_id", "prediction"),
    ("corruption_id", "corruption_event"),
    ("event_id", "security_event"),
    ("state_type", "agent_state"),
    ("current_cycle", "agent_state"),
    ("entities", "entity_list"),
    ("relations", "relation_list"),
)

RECORDS = frozenset(kind for _, kind in _BY_MEMBER)


def kind_of(where: Place, value: Any) -> str:
    """The kind of a document by its content: a trades file may hold one trade or a list, agents' files any record."""
    if where.section in AGENTS and isinstance(value, dict):
        return next((kind for member, kind in _BY_MEMBER if member in value), "")
    if (
        where.section == "trades"
        and where.kind == "trade"
        and (isinstance(value, list) or (isinstance(value, dict) and isinstance(value.get("trades"), list)))
    ):
        return "trade_list"
    return where.kind


def policy_of(path: str, where: Place, kind: str, open_patterns: tuple[str, ...] = ()) -> Policy:
    """Who may write a file whose last well-formed version was of `kind`."""
    if where.section == "trades" and (kind == "trade_list" or any(fnmatchcase(path, one) for one in open_patterns)):
        return "open"
    return where.policy


def limits(settings: Settings) -> dict[str, int]:
    """Bytes that a file of a section may have, by section."""
    return {name: settings[f"limits.{name}_mib"] * _MIB for name in SECTIONS}


def without(listing: Listing, patterns: tuple[str, ...]) -> Listing:
    """A listing without the files and directories that a pattern fits; patterns are held against paths of the bank."""
    prefix = f"{listing.path}/" if listing.path else ""

    def stays(entry: Entry) -> bool:
        return not any(fnmatchcase(prefix + entry.name, one) for one in patterns)

    return listing._replace(
        files=list(filter(stays, listing.files)), directories=list(filter(stays, listing.directories))
    )


def shaping(patterns: tuple[str, ...], inner: list[str] | None = None) -> Callable[[Listing], Listing | None]:
    """What a walk over a bank leaves out: what a pattern fits, and banks inside it, which are put into `inner`."""

    def shape(listing: Listing) -> Listing | None:
        if listing.path and BANK in map(itemgetter(0), listing.files):
            if inner is not None:
                inner.append(listing.path)
            return None
        return without(listing, patterns) if patterns else listing

    return shape


def is_excluded(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern fits a path, or a directory above it."""
    parts = path.split("/") if patterns else ()
    heads = ("/".join(parts[: number + 1]) for number in range(len(parts)))
    return any(fnmatchcase(head, one) for head in heads for one in patterns)


def is_secret(name: str) -> bool:
    """Whether a file's name says that it holds a key or a password; such files are in no snapshot."""
    return bool(secrets([name]))


def secrets(names: Iterable[str]) -> list[str]:
    """Those of many files' names that are secret."""
    return [name for name in names if name.endswith(_SECRET_ENDINGS) or name.startswith(_SECRET_BEGINNINGS)]


def account_of(section: str) -> str:
    """The account's id that a section belongs to, '' for other sections."""
    name = section.removeprefix(_ACCOUNT)
    return name if section.startswith(_ACCOUNT) and is_id(name) else ""


def account_section(account: str) -> str:
    """The section of an account. Raises UsageError for an id that cannot be one."""
    return _ACCOUNT + check_id(account, "account")


def account_file(account: str, kind: str) -> str:
    """The path of one of an account's files: `account`, a tier, or `history_context`."""
    return f"{account_section(account)}/{kind}.json"


def history_index(account: str) -> str:
    """The path of the index of an account's sealed segments."""
    return f"{account_section(account)}/history/index.json"


def history_segment(account: str, first: int) -> str:
    """The path of the sealed segment whose first message has the position `first`."""
    return f"{account_section(account)}/history/{first:012d}.json"


def history_archive(account: str, first: int) -> str:
    """The path of a sealed segment that was archived: the same bytes, compressed with zstd."""
    return f"{account_section(account)}/history/{first:012d}{_ARCHIVED}"


def history_first(path: str) -> int | None:
    """The position of the first message of a sealed segment by its file's path, None for other files."""
    directory, _, name = path.rpartition("/")
    stem, _, suffix = name.partition(".")
    is_file = suffix in ("json", _ARCHIVED[1:])
    is_segment = directory.endswith("/history") and is_file and stem.isdecimal() and len(stem) == 12
    return int(stem) if is_segment else None


def segment_file(first: int) -> str:
    """The journal segment that begins with line `first`."""
    return f"{JOURNAL}/{first:012d}.jsonl"


def packed_segment(first: int) -> str:
    """The same segment once it is closed and compressed."""
    return f"{segment_file(first)}.zst"


def segment_first(name: str) -> int | None:
    """The first seq of a segment by its file name, None for other files."""
    stem, _, suffix = name.partition(".")
    return int(stem) if suffix in ("jsonl", "jsonl.zst") and stem.isdecimal() and len(stem) == 12 else None


def historical_file(moment: str) -> str:
    """Where a snapshot of the metrics goes, by its RFC 3339 time; a directory a month."""
    stamp = moment[:19].replace("-", "").replace(":", "")
    return f"{HISTORICAL}/{moment[:7]}/{stamp}Z.json"


def quarantine_file(moment: str, digest: str) -> str:
    """Where replaced or refused bytes wait; the same bytes in the same second are kept once."""
    stamp = moment[:19].replace("-", "").replace(":", "")
    return f"{QUARANTINE}/{stamp}Z-{digest[:16]}"
