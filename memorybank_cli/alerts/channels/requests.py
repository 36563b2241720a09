"""What webhooks and pings send and to whom: known before anything is sent, and cheap to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
CONNECT = 5.0
"""Seconds for the name, and for each address."""
TOTAL = 10.0
"""Seconds for everything, whatever the other side does."""


class Target:
    """A URL in its parts; it shows as its scheme and host only, since paths and queries of webhooks are secrets."""

    def __init__(self, url: str) -> None:
        """Raises ValueError, which doesn't repeat the URL."""
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("the URL has a character that must be written as %NN")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the URL makes no sense") from None
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("the URL does not begin with https:// and a host")
        if "@" in parts.netloc:
            raise ValueError("the URL holds a user or a password; token_file is the place for a secret")
        self.scheme, self.host = parts.scheme, parts.hostname
        self.port = port or PORTS[parts.scheme]
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.secure = parts.scheme == "https"

    def __repr__(self) -> str:
        return f"{self.scheme}://{self.host}/..."

    @property
    def origin(self) -> tuple[str, str, int]:
        """What has to be the same for a secret to be sent along."""
        return self.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """The value of the header Host."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == PORTS[self.scheme] else f"{name}:{self.port}"


@dataclass(frozen=True)
class Request:
    """What is sent, and how far it may go."""

    url: str = field(repr=False)
    method: str = "POST"
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers that only the host that was named gets, no other that it redirects to."""
    allow_private: bool = False
    ca_file: str = ""
    """Certificates that are trusted instead of the system's."""
    connect: float = CONNECT
    total: float = TOTAL
