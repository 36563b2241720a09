"""What people decide about alerts: the user's own `alerts.json`, and what the bank's config may add to it.

Channels run programs and name URLs and secrets: they come from the user's file alone. Routes and times of the bank's
`config/alerts_config.json` could also lead alerts into nothing, so they hold once that file was trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from memorybank_cli.alerts import routing
from memorybank_cli.alerts.routing import Route, Routing
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.home import directories
from memorybank_cli.base import digests
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import escape, quoted
from memorybank_cli.base.records import Finding

FILE = "alerts.json"
CONFIG = "config/alerts_config.json"
SPANS = ("for", "refractory", *routing.Timing._fields)
MOST_MESSAGES = 1_000
_LIMIT = 1 << 20
_SHARED = frozenset({"description", "routes", "default", "messages", *SPANS})
"""What both files may say."""
_OWN = _SHARED | {"channels", "heartbeats"}


@dataclass(frozen=True)
class Own:
    """One file, read. `channels` are definitions as they stand there; nobody has looked into them yet."""

    channels: Mapping[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    routes: tuple[Route, ...] = ()
    default: tuple[str, ...] = ()
    spans: Mapping[str, float] = field(default_factory=dict)
    """Seconds, by the names of `SPANS`."""
    messages: int | None = None
    heartbeats: Mapping[str, Any] = field(default_factory=dict, repr=False)
    findings: tuple[Finding, ...] = ()
    path: str = ""


@dataclass(frozen=True)
class Policy:
    """What holds for the alerts of one bank."""

    routing: Routing = field(default_factory=Routing)
    channels: Mapping[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    wait: float = 60.0
    """Seconds for which a rule that flaps must be seen before it fires."""
    refractory: float = 300.0
    """Seconds after it was resolved in which it is not told again."""
    messages: int = 5
    """So many messages a channel may get at once; then one a minute."""
    findings: tuple[Finding, ...] = ()
    signature: tuple[Any, ...] = ()


def own_path(owner: int) -> str:
    """Where a user's own file is."""
    return os.path.join(directories(owner)["config"], FILE)


def read_own(owner: int) -> Own:
    """The user's own file; one that is damaged, or that somebody else may write, says nothing but an MB550."""
    path = own_path(owner)
    try:
        info, data = _content(path)
    except FileNotFoundError:
        return Own(path=path)
    except OSError as error:
        return _unusable(path, (error.strerror or "it cannot be read").lower())
    if not stat.S_ISREG(info.st_mode) or info.st_uid not in (owner, os.geteuid(), 0) or info.st_mode & 0o022:
        return _unusable(path, "somebody else may write it", f"chmod 600 {quoted(escape(path))}, and own it")
    try:
        found = _parsed(data, path, FILE, _OWN)
    except UsageError as error:
        return _unusable(path, error.message, error.hint)
    if info.st_mode & 0o044:
        told = Finding(
            "MB550",
            "alerts.json may be read by others, and it names secrets",
            "",
            f"chmod 600 {quoted(escape(path))}",
            "/mode",
        )
        found = replace(found, findings=(*found.findings, told))
    return found


def _content(path: str) -> tuple[os.stat_result, bytes]:
    """What stands there, and of a plain file the beginning of its content."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        info = os.fstat(fd)
        data = b""
        while stat.S_ISREG(info.st_mode) and len(data) <= _LIMIT and (part := os.read(fd, 1 << 16)):
            data += part
        return info, data
    finally:
        os.close(fd)


def read(bank: Bank) -> Policy:
    """What holds for a bank. The user's routes come first; its times win."""
    own, theirs = read_own(bank.owner), _of_bank(bank)
    spans = {**theirs.spans, **own.spans}
    messages = own.messages if own.messages is not None else theirs.messages
    default = own.default or theirs.default or tuple(dict.fromkeys((*Routing().default, *own.channels)))
    found = Routing(
        (*own.routes, *theirs.routes), default, {name: spans[name] for name in routing.Timing._fields if name in spans}
    )
    return Policy(
        found,
        own.channels,
        spans.get("for", Policy.wait),
        spans.get("refractory", Policy.refractory),
        Policy.messages if messages is None else messages,
        (*own.findings, *theirs.findings),
        signature(bank),
    )


def signature(bank: Bank) -> tuple[Any, ...]:
    """What moves when either file does."""
    try:
        info = os.stat(own_path(bank.owner))
        mine = (info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_mode)
    except OSError:
        mine = None
    theirs = bank.root.content(CONFIG, _LIMIT)
    return mine, theirs, bank.home.trusted().get(CONFIG)


def inert(bank: Bank) -> list[tuple[str, str, bool]]:
    """Keys of the bank's config that have no effect, each with the reason, and whether trust would change it."""
    data, value = _read_bank(bank)
    if not isinstance(value, dict):
        return []
    holds = _is_trusted(bank, data)
    return [
        (
            name,
            "it leads alerts elsewhere, so it holds once the file is trusted"
            if name in _SHARED
            else "it is not taken from there",
            name in _SHARED,
        )
        for name in value
        if name != "description" and (name not in _SHARED or not holds)
    ]


def _of_bank(bank: Bank) -> Own:
    data, value = _read_bank(bank)
    if not isinstance(value, dict) or not _is_trusted(bank, data):
        return Own()
    try:
        return _checked({name: value[name] for name in value if name in _SHARED}, CONFIG)
    except UsageError as error:
        return Own(findings=(Finding("MB550", f"it is not used: {error.message}", CONFIG, error.hint or "correct it"),))


def _read_bank(bank: Bank) -> tuple[bytes | None, Any]:
    data = bank.root.content(CONFIG, layout.CONFIG_LIMIT)
    try:
        return data, loads(data) if data else None
    except FlawedJSON:
        return data, None  # the file's own check reports that


def _is_trusted(bank: Bank, data: bytes | None) -> bool:
    return data is not None and bank.home.trusted().get(CONFIG) == digests.of(data)


def _parsed(data: bytes, path: str, name: str, keys: frozenset[str]) -> Own:
    if len(data) > _LIMIT:
        raise UsageError("it is larger than 1 MiB")
    try:
        value = loads(data)
    except FlawedJSON as error:
        raise UsageError(f"it is damaged: {error}") from None
    if not isinstance(value, dict):
        raise UsageError("it must be an object")
    unknown = sorted(set(value) - keys)
    if unknown:
        raise UsageError(f"there is no '{unknown[0]:.40}' in it", hint=f"it may have {', '.join(sorted(keys))}")
    return replace(_checked(value, name), path=path)


def _checked(value: Mapping[str, Any], name: str) -> Own:
    channels, heartbeats, routes = value.get("channels", {}), value.get("heartbeats", {}), value.get("routes", [])
    if not isinstance(channels, dict) or not all(isinstance(one, dict) for one in channels.values()):
        raise UsageError("'channels' must be an object of objects")
    if not isinstance(heartbeats, dict):
        raise UsageError("'heartbeats' must be an object")
    if not isinstance(routes, list):
        raise UsageError("'routes' must be a list")
    messages = value.get("messages")
    if messages is not None and (type(messages) is not int or not 1 <= messages <= MOST_MESSAGES):
        raise UsageError(f"'messages' must be a whole number from 1 to {MOST_MESSAGES:,}")
    return Own(
        channels,
        tuple(routing.route(f"{name} routes/{number}", one) for number, one in enumerate(routes)),
        routing.names(value["default"]) if "default" in value else (),
        {one: routing.span(value[one]) for one in SPANS if one in value},
        messages,
        heartbeats,
    )


def _unusable(path: str, why: str, hint: str = "") -> Own:
    message = f"alerts.json is not used, so alerts go to the log alone: {why}"
    return Own(findings=(Finding("MB550", message, "", hint or f"correct '{escape(path)}'"),), path=path)
