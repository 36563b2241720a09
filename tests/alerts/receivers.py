"""Real servers that take messages, or hang, drip, fail, redirect, flood; and notices to send them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from memorybank_cli.alerts.values import Alert, Notice
from memorybank_cli.base import clock
from memorybank_cli.base.names import uuid7

Answer = Callable[[socket.socket, bytes], None]
"""What a server does with a connection once it has read the request."""
LONG = 30.0
"""Seconds that nothing in a test takes."""


@dataclass
class Receiver:
    """Listens on a port of this machine; `answers` are used up one a connection, the last one again and again."""

    answers: list[Answer]
    requests: list[bytes] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}/hooks/T0KEN?key=s3cret"

    @property
    def bodies(self) -> list[bytes]:
        return [one.partition(b"\r\n\r\n")[2] for one in self.requests]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with connection if self.tls is None else self.tls.wrap_socket(connection, server_side=True) as ready:
                request = read_request(ready)
                answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
                self.requests.append(request)
                answer(ready, request)
        except OSError:
            return  # the other side went away, which is what some tests are for

    def header(self, name: str, number: int = -1) -> str:
        head = self.requests[number].partition(b"\r\n\r\n")[0].decode("latin-1")
        found = [
            line.partition(": ")[2] for line in head.split("\r\n")[1:] if line.lower().startswith(name.lower() + ":")
        ]
        return found[0] if found else ""

    def close(self) -> None:
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@contextmanager
def receiver(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with closing(Receiver(list(answers) or [status(204)], tls=tls)) as one:
        yield one


def read_request(connection: socket.socket) -> bytes:
    """A whole request. Raises ConnectionError for one that breaks off."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _piece(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += _piece(connection)
    return head + b"\r\n\r\n" + body


def _piece(connection: socket.socket) -> bytes:
    piece = connection.recv(65_536)
    if not piece:
        raise ConnectionError
    return piece


def status(code: int, *headers: str, body: bytes = b"") -> Answer:
    """Answers with a status."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {code} Word", *headers, f"Content-Length: {len(body)}"))

    def answer(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(head.encode() + b"\r\n" + body)

    return answer


def raw(data: bytes) -> Answer:
    """Answers with these bytes."""
    return lambda connection, _request: connection.sendall(data)


def hang(connection: socket.socket, _request: bytes) -> None:
    """Never answers; returns once the other side went away."""
    connection.settimeout(LONG)
    while connection.recv(1024):
        pass


def drip(connection: socket.socket, _request: bytes) -> None:
    """Sends one byte of a header at a time, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        connection.sendall(b"x")
        time.sleep(0.02)


def flood(connection: socket.socket, _request: bytes) -> None:
    """Answers well, with a body that does not end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        connection.sendall(bytes(65_536))


def certificate(directory: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS context for 127.0.0.1 and public.example, and the file of the certificate that vouches for it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("public.example")]
    )
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = directory / "certificate.pem", directory / "private.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, str(certificate)


def alert(number: int = 0, severity: str = "error", state: str = "firing", message: str = "bytes follow") -> Alert:
    return Alert(
        fingerprint=f"{number:016x}",
        rule="MB102",
        severity=severity,  # type: ignore[arg-type]
        path=f"trades/{number}.json",
        message=message,
        hint="memorybank repair",
        state=state,  # type: ignore[arg-type]
        first_seen=clock.now(),
        last_seen=clock.now(),
    )


def notice(channel: str = "desk", *alerts: Alert, group: str = "data error trades", created_at: str = "") -> Notice:
    told = alerts or (alert(),)
    firing = sum(one.state == "firing" for one in told)
    return Notice(uuid7(), channel, group, "/srv/memory", created_at or clock.now(), told, firing, len(told) - firing)
