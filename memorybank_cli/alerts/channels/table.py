"""Every kind of channel by its name in alerts.json, and how one is made from its definition."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from memorybank_cli.alerts.channels.appending import AppendingChannel
from memorybank_cli.alerts.channels.command import SECONDS, CommandChannel
from memorybank_cli.alerts.channels.requests import CONNECT, TOTAL, Request, Target
from memorybank_cli.alerts.channels.values import Channel
from memorybank_cli.alerts.channels.webhook import WebhookChannel
from memorybank_cli.bank import layout
from memorybank_cli.base.names import escape, is_id
from memorybank_cli.base.walk import Root

LOG = "log"
TERMINAL = "terminal"
BUILT_IN = (LOG, TERMINAL)
"""Names that are there without a definition."""
MOST_MIB = 1
LONGEST = 60.0
"""Seconds that a message may take on its way."""


class Unfit(ValueError):
    """A definition makes no sense; the text says why without repeating what may be secret."""


def log(root: Root) -> Channel:
    """The channel `log`: `.memorybank/alerts.log`."""
    directory, _, name = layout.ALERTS_LOG.rpartition("/")
    return AppendingChannel(root.absolute(directory), name, MOST_MIB << 20)


def make(name: str, definition: Any, root: Root, *, own: bool) -> Channel:
    """The channel that a definition in alerts.json means. Raises Unfit.

    `own` is whether the file belongs to the user that this process runs as: programs of others are not run.
    """
    if name in BUILT_IN:
        raise Unfit(f"the name '{name}' is taken: that channel is always there")
    if not is_id(name):
        raise Unfit("a channel's name has 1 to 64 of A-Z a-z 0-9 . _ - and does not start with a dot")
    if not isinstance(definition, Mapping):
        raise Unfit("it is no object")
    kind = definition.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise Unfit(f"its kind is not one of {', '.join(KINDS)}")
    known, maker = KINDS[kind]
    unknown = [escape(str(key)) for key in definition if key not in {"kind", "description", *known}]
    if unknown:
        raise Unfit(f"a {kind} channel has no '{unknown[0]}'; it may have {', '.join(sorted(known))}")
    if kind == "command" and not own:
        raise Unfit("it is of another user, whose programs are not run for anybody else")
    return maker(definition, root)


def built(definitions: Mapping[str, Any], root: Root, *, own: bool) -> tuple[dict[str, Channel], dict[str, str]]:
    """The channels that alerts.json defines, and `log`, by name; and why others cannot be."""
    channels: dict[str, Channel] = {LOG: log(root)}
    unfit: dict[str, str] = {}
    for name, definition in definitions.items():
        try:
            channels[name] = make(name, definition, root, own=own)
        except Unfit as error:
            unfit[name] = str(error)
    return channels, unfit


def _file(definition: Mapping[str, Any], root: Root) -> Channel:
    path = _path(definition, "path")
    directory, name = os.path.split(path)
    directory = os.path.realpath(directory)
    if not name or not os.path.isabs(path):
        raise Unfit("its path is no absolute path of a file")
    if os.path.commonpath([directory, root.path]) == root.path:
        raise Unfit("its path lies in the bank, where agents write")
    return AppendingChannel(directory, name, _number(definition, "max_mib", MOST_MIB, 1024) << 20)


def _command(definition: Mapping[str, Any], _root: Root) -> Channel:
    argv = definition.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(one, str) and "\0" not in one for one in argv):
        raise Unfit("its argv is no list of a program and its arguments")
    if shutil.which(argv[0]) is None:
        program, *more = argv[0].split() or [""]  # a whole command line may hold a secret
        hint = "; each argument stands in a text of its own" if more else ""
        raise Unfit(f"there is no program {escape(program)}{hint}")
    form = definition.get("format", "json")
    if form not in ("json", "text"):
        raise Unfit("its format is neither json nor text")
    return CommandChannel(argv, _seconds(definition, "timeout", SECONDS), words=form == "text")


def _webhook(definition: Mapping[str, Any], _root: Root) -> Channel:
    url = _text(definition, "url")
    try:
        Target(url)
    except ValueError as error:
        raise Unfit(str(error)) from None
    return WebhookChannel(
        request_of(definition, url), _path(definition, "secret_file"), _path(definition, "token_file")
    )


def request_of(definition: Mapping[str, Any], url: str, method: str = "POST") -> Request:
    """The request that a definition allows for, without a body. Raises Unfit."""
    return Request(
        url,
        method,
        allow_private=_flag(definition, "allow_private"),
        ca_file=_path(definition, "ca_file"),
        connect=_seconds(definition, "connect_timeout", CONNECT),
        total=_seconds(definition, "timeout", TOTAL),
    )


KINDS: dict[str, tuple[frozenset[str], Callable[[Mapping[str, Any], Root], Channel]]] = {
    "file": (frozenset({"path", "max_mib"}), _file),
    "command": (frozenset({"argv", "timeout", "format"}), _command),
    "webhook": (
        frozenset({"url", "secret_file", "token_file", "ca_file", "allow_private", "timeout", "connect_timeout"}),
        _webhook,
    ),
}
"""By kind: what its definition may have besides `kind` and `description`, and what makes a channel of it."""


def _text(definition: Mapping[str, Any], key: str) -> str:
    value = definition.get(key)
    if not isinstance(value, str) or not value or "\0" in value:
        raise Unfit(f"its {key} is no text")
    return value


def _path(definition: Mapping[str, Any], key: str) -> str:
    """An absolute path, '' where none is given: cron starts elsewhere, and with another home."""
    if key not in definition:
        return ""
    path = _text(definition, key)
    if not os.path.isabs(path):
        raise Unfit(f"its {key} is no absolute path")
    return path


def _flag(definition: Mapping[str, Any], key: str) -> bool:
    value = definition.get(key, False)
    if not isinstance(value, bool):
        raise Unfit(f"its {key} is neither true nor false")
    return value


def _number(definition: Mapping[str, Any], key: str, default: int, most: int) -> int:
    value = definition.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise Unfit(f"its {key} is no whole number from 1 to {most:,}")
    return value


def _seconds(definition: Mapping[str, Any], key: str, default: float) -> float:
    value = definition.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value) or not 0 < value <= LONGEST:
        raise Unfit(f"its {key} is no number of seconds up to {LONGEST:g}")
    return float(value)
