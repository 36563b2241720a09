"""Which addresses a webhook may reach: where a name leads is decided once, and that very address is connected to.

Else a name that leads to a public address when it is checked could lead to the router's page when it is used.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

from memorybank_cli.alerts.channels.requests import Target
from memorybank_cli.alerts.channels.values import Undelivered
from memorybank_cli.base.names import escape

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address, and the one that it stands for in another network, is everybody's."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    # All that anybody was ever given; Python's `is_global` has others too, which lead to IPv4 addresses of any kind.
    inner = [one for one in (address.sixtofour, *(address.teredo or ())) if one is not None]
    return address in _UNICAST and address.is_global and all(map(is_public, inner))


def allowed(target: Target, allow_private: bool, seconds: float) -> list[tuple[int, tuple[Any, ...]]]:
    """Where a host leads, as (family, socket address), in the system's order.

    Raises Undelivered: for a name that leads nowhere or takes longer, for private addresses unless they are allowed,
    and for http:// to public ones.
    """
    found = _resolved(target.host, target.port, seconds)
    public = {where: is_public(ipaddress.ip_address(str(where[0]).partition("%")[0])) for _, where in found}
    good = [(family, where) for family, where in found if public[where] or allow_private]
    if not good:
        raise Undelivered(
            f"{escape(target.host)} leads to a private address",
            hint='"allow_private": true in alerts.json allows that for this channel',
        )
    if not target.secure and any(public[where] for _, where in good):
        raise Undelivered(
            f"{escape(target.host)} is public, and http:// would show the message to everybody on the way"
        )
    return good


def _resolved(host: str, port: int, seconds: float) -> list[tuple[int, tuple[Any, ...]]]:
    """In a thread: no time-out reaches into the resolver."""
    found: list[tuple[int, tuple[Any, ...]]] = []
    failed: list[str] = []

    def look() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            failed.append(getattr(error, "strerror", None) or "no name")
        else:
            found.extend((row[0], row[4]) for row in rows)

    thread = threading.Thread(target=look, name="memorybank-resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Undelivered(f"the name {escape(host)} was not resolved within {seconds:g} seconds")
    if failed:
        raise Undelivered(f"the name {escape(host)} leads nowhere: {failed[0].lower()}")
    return found
