"""A message: who said what and when, its identity, and its place in the account's history."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import LONGEST_MESSAGE_ID, LONGEST_ROLE, escape_text, uuid7

_KNOWN = ("id", "role", "content", "timestamp", "metadata")


@dataclass(frozen=True)
class Message:
    """One message as a caller gives it."""

    role: str
    """Who speaks: user, assistant, tool, system, or another word."""
    content: str
    """What was said."""
    id: str = ""
    """The caller's own id; '' for none."""
    timestamp: str = ""
    """When, RFC 3339; '' for now."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Anything else, kept as it is."""

    def record(self, identity_key: bytes, now: str) -> dict[str, Any]:
        """The record to be stored: id and timestamp settled. The id is what makes two messages the same."""
        moment = clock.show(clock.parse(self.timestamp)) if self.timestamp else now
        return {
            "id": self.id or (self._digest(identity_key, moment) if self.timestamp else uuid7()),
            "role": self.role,
            "content": self.content,
            "timestamp": moment,
            "metadata": self.metadata,
        }

    def _digest(self, key: bytes, moment: str) -> str:
        """Identity of a message without an id but with a time: a keyed digest over role, content and that time."""
        return hmac.new(key, dumps([self.role, self.content, moment]), "sha256").hexdigest()[:32]


def parse(value: Any, where: str) -> Message:
    """A message from JSON of unknown origin. Raises UsageError that says where and what is wrong."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{where} is no JSON object", hint='a message is {"role": "user", "content": "…"}')
    texts = {name: value.get(name, "") for name in ("role", "content", "id", "timestamp")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{where}: '{name}' must be a text, not {escape_text(repr(text)[:40])}")
    metadata = value.get("metadata", {})
    if not isinstance(metadata, dict):
        raise UsageError(f"{where}: 'metadata' must be an object")
    told = {"type", "seq", *(("late",) if value.get("late") is True else ())}  # what a list of messages says of them
    unknown = {name: item for name, item in value.items() if name not in _KNOWN and name not in told}
    message = checked(Message(**texts, metadata={**unknown, **metadata}), where)
    if "content" not in value:  # perhaps it stands under another name
        raise UsageError(f"{where} has no content", hint='"content": "" stores an empty message')
    return message


def checked(message: Message, where: str = "the message") -> Message:
    """The message if it can be stored. Raises UsageError."""
    if not message.role:
        raise UsageError(f"{where} has no role", hint="give --role user, assistant, tool or system")
    if len(message.role) > LONGEST_ROLE:
        raise UsageError(f"{where}: the role has {len(message.role)} characters; at most {LONGEST_ROLE} are taken")
    if len(message.id) > LONGEST_MESSAGE_ID:
        raise UsageError(f"{where}: the id has {len(message.id)} characters; at most {LONGEST_MESSAGE_ID} are taken")
    try:
        dumps([message.content, message.role, message.id, message.metadata])
        if message.timestamp:
            clock.show(clock.parse(message.timestamp))
    except UnicodeEncodeError:
        raise UsageError(f"{where} holds half a character (a lone surrogate)") from None
    except (ValueError, OverflowError):
        raise UsageError(
            f"{where}: '{escape_text(message.timestamp[:40])}' is not a time",
            hint="RFC 3339, e.g. 2026-11-20T14:00:00Z",
        ) from None
    return message
