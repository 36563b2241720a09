"""Webhooks against real servers of this machine: what arrives, and what never may."""

from __future__ import annotations

import json
import socket
import ssl
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts.channels import addresses, http
from memorybank_cli.alerts.channels.http import send
from memorybank_cli.alerts.channels.requests import Request
from memorybank_cli.alerts.channels.values import Message, Undelivered
from memorybank_cli.alerts.channels.webhook import WebhookChannel
from memorybank_cli.alerts.signing import Secret, verify
from tests.alerts.receivers import (
    Receiver,
    alert,
    certificate,
    drip,
    flood,
    hang,
    notice,
    raw,
    receiver,
    status,
)

SECRETS = ("T0KEN", "s3cret", "horse", "battery")


def request(url: str, **fields: Any) -> Request:
    return Request(url, **{"allow_private": True, "body": b"{}", "connect": 5.0, "total": 10.0, **fields})


def refused(url: str, **fields: Any) -> Undelivered:
    """How sending fails; never with a secret in its words."""
    with pytest.raises(Undelivered) as caught:
        send(request(url, **fields))
    shown = f"{caught.value} {caught.value.reason} {caught.value.hint} {caught.value!r}"
    assert not any(one in shown for one in SECRETS)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    for name, text in (("secret", "correct horse\n"), ("token", "battery\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return {"secret_file": str(tmp_path / "secret"), "token_file": str(tmp_path / "token")}


def test_a_message_arrives_signed(files: dict[str, Any]) -> None:
    with receiver() as there:
        channel = WebhookChannel(request(there.url), **files)
        told = notice("desk", alert(7, message="gefährlich \x1b[31m \u202e"))
        channel.send(Message(told.as_dict(), late=90.0, tries=3, stands_for=2))
    [body] = there.bodies
    assert body.isascii()
    document = json.loads(body)
    assert document["delivery"] == {"try": 3, "late_seconds": 90.0, "stands_for": 2}
    assert {key: document[key] for key in told.as_dict()} == json.loads(json.dumps(told.as_dict()))
    assert verify(Secret(b"correct horse"), there.header("Memorybank-Signature"), body, time.time())
    assert there.header("Memorybank-Id") == told.id
    assert there.header("Content-Type") == "application/json"
    assert there.header("Authorization") == "Bearer battery"
    assert there.requests[0].startswith(b"POST /hooks/T0KEN?key=s3cret HTTP/1.1\r\n")
    assert channel.limit > channel.request.total
    channel.close()


def test_nothing_secret_shows(files: dict[str, Any]) -> None:
    channel = WebhookChannel(request("https://example.org/T0KEN?key=s3cret", body=b"horse"), **files)
    assert not any(one in repr(channel) for one in SECRETS)


def test_without_secrets_there_are_no_headers_for_them() -> None:
    with receiver() as there:
        WebhookChannel(request(there.url)).send(Message(notice().as_dict()))
    assert there.header("Memorybank-Signature") == there.header("Authorization") == ""


def test_a_secret_is_read_each_time_and_its_loss_is_said(files: dict[str, Any]) -> None:
    with receiver() as there:
        channel = WebhookChannel(request(there.url), **files)
        Path(files["secret_file"]).write_text("another horse")
        channel.send(Message(notice().as_dict()))
        assert verify(Secret(b"another horse"), there.header("Memorybank-Signature"), there.bodies[0], time.time())
        Path(files["secret_file"]).chmod(0o644)
        with pytest.raises(Undelivered, match="others may read") as caught:
            channel.send(Message(notice().as_dict()))
        assert "chmod 600" in caught.value.hint
        Path(files["secret_file"]).unlink()
        with pytest.raises(Undelivered, match="cannot read the secret"):
            channel.send(Message(notice().as_dict()))
    assert len(there.requests) == 1


def test_a_token_that_would_split_the_headers_is_not_sent(files: dict[str, Any]) -> None:
    Path(files["token_file"]).write_text("battery\r\nX-Injected: yes")
    with receiver() as there:
        channel = WebhookChannel(request(there.url), **files)
        with pytest.raises(Undelivered) as caught:
            channel.send(Message(notice().as_dict()))
    assert "battery" not in caught.value.reason
    assert there.requests == [] or b"Injected" not in there.requests[0]


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_each_good_status_is_good(code: int) -> None:
    with receiver(status(code)) as there:
        assert send(request(there.url)) == code


@pytest.mark.parametrize(
    ("code", "headers", "is_refused", "wait"),
    [
        (400, (), True, 0),
        (413, (), True, 0),
        (401, (), False, 0),
        (404, (), False, 0),
        (429, ("Retry-After: 17",), False, 17),
        (503, ("Retry-After: 999999999",), False, http.LONGEST_WAIT),
        (503, ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT",), False, 0),
        (500, (), False, 0),
        (301, ("Location: https://example.org/",), False, 0),
        (304, (), False, 0),
        (307, (), False, 0),
    ],
)
def test_each_bad_status_is_told(code: int, headers: tuple[str, ...], is_refused: bool, wait: float) -> None:
    with receiver(status(code, *headers)) as there:
        error = refused(there.url)
    assert f"answered {code}" in error.reason
    assert (error.refused, error.wait) == (is_refused, wait)
    assert len(there.requests) == 1


@pytest.mark.parametrize("answer", [hang, drip], ids=["hangs", "drips"])
def test_a_server_that_never_ends_is_left(answer: Any) -> None:
    with receiver(answer) as there:
        assert "did not answer within 0.3 seconds" in refused(there.url, total=0.3).reason


def test_a_body_without_end_is_cut() -> None:
    with receiver(flood) as there:
        assert send(request(there.url)) == 200


def test_a_body_that_breaks_off_is_no_failure() -> None:
    with receiver(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nx")) as there:
        assert send(request(there.url)) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
    ids=["nothing", "nuls", "ssh", "no status", "many headers", "long header"],
)
def test_what_is_no_http_is_no_delivery(data: bytes) -> None:
    with receiver(raw(data)) as there:
        assert "127.0.0.1: " in refused(there.url).reason


def test_informational_answers_without_end_are_left() -> None:
    def informs(connection: socket.socket, _request: bytes) -> None:
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.01)

    with receiver(informs) as there:
        assert "did not answer" in refused(there.url, total=0.3).reason


def test_nobody_listens() -> None:
    with receiver() as there:
        url = there.url
    assert "127.0.0.1: connection refused" in refused(url).reason


def test_a_host_that_takes_no_connection() -> None:
    with socket.socket() as busy, ExitStack() as waiting:
        busy.bind(("127.0.0.1", 0))
        busy.listen(0)
        for _ in range(8):  # what waits to be accepted fills the queue
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(busy.getsockname())
        url = f"http://127.0.0.1:{busy.getsockname()[1]}/"
        assert refused(url, connect=0.2).reason == "127.0.0.1: no connection in time"


def test_private_addresses_are_not_reached_unless_that_is_allowed() -> None:
    with receiver() as there:
        for name in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1"):
            error = refused(f"http://{name}:{there.port}/", allow_private=False)
            assert "private address" in error.reason or "leads nowhere" in error.reason
    assert there.requests == []


def test_a_redirect_that_keeps_the_method_is_followed() -> None:
    with receiver() as there, receiver(status(307, f"Location: http://localhost:{there.port}/new?x=1")) as first:
        assert send(request(first.url, headers={"A": "b"}, secret_headers={"Authorization": "battery"})) == 204
    assert there.requests[0].startswith(b"POST /new?x=1 ")
    assert there.bodies == first.bodies == [b"{}"]
    assert first.header("Authorization") == "battery"
    assert there.header("Authorization") == ""
    assert there.header("A") == "b"


def test_a_redirect_on_the_same_host_keeps_the_token() -> None:
    with receiver(status(308, "Location: /elsewhere"), status(200)) as there:
        assert send(request(there.url, secret_headers={"Authorization": "battery"})) == 200
    assert there.requests[1].startswith(b"POST /elsewhere ")
    assert there.header("Authorization", 1) == "battery"


def test_redirects_end() -> None:
    with receiver(status(307, "Location: /again")) as there:
        assert "redirects more than 3 times" in refused(there.url).reason
    assert len(there.requests) == http.REDIRECTS + 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "https://", "https://user:s3cret@example.org/", "http://a b/"]
)
def test_a_redirect_to_what_is_no_address(location: str) -> None:
    with receiver(status(307, f"Location: {location}")) as there:
        assert "redirects to what is no address" in refused(there.url).reason


@pytest.fixture
def secured(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    return certificate(tmp_path)


def test_a_redirect_to_a_private_address_is_not_followed(
    secured: tuple[ssl.SSLContext, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a public host; a test has none, so the name public.example leads here and counts as one."""
    context, file = secured
    real = socket.getaddrinfo
    seen: list[str] = []

    def first_only(address: Any) -> bool:
        seen.append(str(address))
        return len(seen) == 1

    with receiver(tls=context) as inner, receiver(status(307, f"Location: {inner.url}"), tls=context) as first:
        monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **more: real("127.0.0.1", *rest, **more))
        monkeypatch.setattr("memorybank_cli.alerts.channels.addresses.is_public", first_only)
        error = refused(f"https://public.example:{first.port}/", ca_file=file, allow_private=False)
    assert "127.0.0.1 leads to a private address" in error.reason
    assert len(first.requests) == 1
    assert inner.requests == []


def test_a_certificate_is_checked(secured: tuple[ssl.SSLContext, str]) -> None:
    context, file = secured
    with receiver(tls=context) as there:
        assert "certificate of 127.0.0.1 is not trusted" in refused(there.url).reason
        assert there.requests == []
        assert send(request(there.url, ca_file=file)) == 204
        assert "not trusted" in refused(there.url.replace("127.0.0.1", "localhost"), ca_file=file).reason


def test_a_redirect_never_leaves_tls(secured: tuple[ssl.SSLContext, str]) -> None:
    context, file = secured
    with receiver() as plain, receiver(status(307, f"Location: {plain.url}"), tls=context) as first:
        assert "redirects from https:// to http://" in refused(first.url, ca_file=file).reason
    assert plain.requests == []


def test_tls_with_a_server_that_hangs(secured: tuple[ssl.SSLContext, str]) -> None:
    context, file = secured
    with receiver(hang, tls=context) as there:
        assert "did not answer within 0.5 seconds" in refused(there.url, ca_file=file, total=0.5).reason


class Greeting(Receiver):
    """Speaks first, and not TLS; then goes on byte by byte."""

    greeting = b""

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self.greeting)
                while not self.ended.wait(0.02):
                    connection.sendall(b"\x02")
            except OSError:
                return


def test_a_handshake_that_drips_ends() -> None:
    with closing(Greeting([])) as there:
        there.greeting = b"\x16\x03\x03\x40\x00"  # the beginning of a long record
        assert "did not answer within 0.3 seconds" in refused(f"https://127.0.0.1:{there.port}/", total=0.3).reason


def test_a_server_without_tls() -> None:
    with closing(Greeting([])) as there:
        there.greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
        assert refused(f"https://127.0.0.1:{there.port}/").reason == "127.0.0.1: no secure connection could be made"


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    with receiver() as there:
        url = there.url.replace("http://", "https://")
        assert refused(url, ca_file=str(tmp_path / "missing")).reason == "127.0.0.1: no such file or directory"


def test_the_second_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as there:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead = unused.getsockname()
        ways = [(socket.AF_INET, dead), (socket.AF_INET, ("127.0.0.1", there.port))]
        monkeypatch.setattr(addresses, "allowed", lambda *_: ways)
        assert send(request(there.url)) == 204
        monkeypatch.setattr(addresses, "allowed", lambda *_: [])
        assert "no address" in refused(there.url).reason


def test_no_time_is_left() -> None:
    with receiver() as there:
        assert "did not answer within 0 seconds" in refused(there.url, total=0.0).reason
