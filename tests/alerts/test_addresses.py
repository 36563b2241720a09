from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

import pytest

from memorybank_cli.alerts.channels.addresses import allowed, is_public
from memorybank_cli.alerts.channels.requests import Target
from memorybank_cli.alerts.channels.values import Undelivered


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"])
def test_what_is_everybodys(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - not bound to
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::7f00:1",
        "fec0::1",
        "5f00::1",
        "2001:0:7f00:1::",
    ],
)
def test_what_is_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/",
        "https://",
        "https:///path",
        "//example.org",
        "https://user:pass@example.org/",
        "https://token@example.org/",
        "https://example.org:99999/",
        "https://example.org:port/",
        "https://[::1/",
        "https://example.org/a b",
        "https://example.org/\r\nX: y",
        "https://exämple.org/",
    ],
)
def test_what_is_no_target(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words differ; what they must not hold does not
        Target(url)
    assert "example" not in str(caught.value)
    assert "token" not in str(caught.value).replace("token_file", "")


def test_a_target_in_its_parts() -> None:
    target = Target("https://Hooks.example.org/T0KEN/x?key=s3cret")
    assert (target.host, target.port, target.path) == ("hooks.example.org", 443, "/T0KEN/x?key=s3cret")
    assert target.host_header == "hooks.example.org"
    assert repr(target) == "https://hooks.example.org/..."
    assert Target("http://[::1]:8080").host_header == "[::1]:8080"
    assert Target("http://[::1]:8080").path == "/"


def leads_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Let every name lead to these addresses."""

    def answer(_host: str, port: int, **_: Any) -> list[Any]:
        kinds = {one: socket.AF_INET6 if ":" in one else socket.AF_INET for one in found}
        return [(kinds[one], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def test_private_addresses_need_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "10.0.0.7")
    target = Target("https://intranet.example/")
    with pytest.raises(Undelivered, match="leads to a private address") as caught:
        allowed(target, allow_private=False, seconds=5)
    assert "allow_private" in caught.value.hint
    assert allowed(target, allow_private=True, seconds=5) == [(socket.AF_INET, ("10.0.0.7", 443))]


def test_of_mixed_addresses_the_public_ones_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "127.0.0.1", "93.184.216.34", "::1")
    found = allowed(Target("https://rebound.example/"), allow_private=False, seconds=5)
    assert [where[0] for _, where in found] == ["93.184.216.34"]


def test_plain_http_is_for_private_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "93.184.216.34")
    for allow in (False, True):
        with pytest.raises(Undelivered, match="public, and http://"):
            allowed(Target("http://example.org/"), allow, seconds=5)
    leads_to(monkeypatch, "fd00::1%eth0")
    assert len(allowed(Target("http://box.example/"), allow_private=True, seconds=5)) == 1


def test_a_name_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Undelivered, match="leads nowhere: name or service not known"):
        allowed(Target("https://nowhere.example/"), allow_private=False, seconds=5)
    monkeypatch.undo()
    with pytest.raises(Undelivered, match="leads nowhere: no name"):
        allowed(Target(f"https://{'x' * 70}.example/"), allow_private=False, seconds=5)


def test_a_resolver_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with pytest.raises(Undelivered, match=r"not resolved within 0\.05 seconds"):
            allowed(Target("https://slow.example/"), allow_private=False, seconds=0.05)
    finally:
        over.set()
