"""One request over HTTP(S) that cannot hang, be led astray, or be flooded: what webhooks and pings are sent with.

No proxy, not even one that the environment names, and no cookies: the address that was checked is the one that is
connected to. It takes 20 ms to import, so whoever sends imports it then.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urljoin

from memorybank_cli import __version__
from memorybank_cli.alerts.channels import addresses
from memorybank_cli.alerts.channels.requests import Request, Target
from memorybank_cli.alerts.channels.values import Undelivered
from memorybank_cli.base.names import escape

MOST_READ = 1 << 16
"""Bytes of an answer that are read; there is nothing in it for us."""
REDIRECTS = 3
LONGEST_WAIT = 3_600.0
"""Seconds that a receiver may ask for."""
_KEEPS_METHOD = (307, 308)
_MESSAGE_IS_WRONG = (400, 413, 422)


def send(request: Request) -> int:
    """Send a request; the status of the answer, 200 to 299. Raises Undelivered within `total` seconds."""
    deadline = time.monotonic() + request.total
    first = target = _target(request.url)
    for _ in range(REDIRECTS + 1):
        status, headers = _exchange(request, target, target.origin == first.origin, deadline)
        if 200 <= status <= 299:
            return status
        if status not in _KEEPS_METHOD or "location" not in headers:
            raise _refusal(status, target, headers)
        target = _redirected(target, headers["location"])
    raise Undelivered(f"{escape(first.host)} redirects more than {REDIRECTS} times")


def _target(url: str) -> Target:
    try:
        return Target(url)
    except ValueError as error:
        raise Undelivered(str(error)) from None


def _redirected(target: Target, location: str) -> Target:
    try:
        there = Target(urljoin(f"{target.scheme}://{target.host_header}{target.path}", location))
    except ValueError:
        raise Undelivered(f"{escape(target.host)} redirects to what is no address") from None
    if target.secure and not there.secure:
        raise Undelivered(f"{escape(target.host)} redirects from https:// to http://")
    return there


def _refusal(status: int, target: Target, headers: Mapping[str, str]) -> Undelivered:
    wait = headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() else 0.0
    moved = 300 <= status <= 399
    hint = (
        "give the URL that it redirects to" if moved else "check the URL and its secret" if 401 <= status <= 404 else ""
    )
    return Undelivered(
        f"{escape(target.host)} answered {status}",
        wait=min(seconds, LONGEST_WAIT),
        refused=status in _MESSAGE_IS_WRONG,
        hint=hint,
    )


def _exchange(request: Request, target: Target, is_first: bool, deadline: float) -> tuple[int, dict[str, str]]:
    """Status and headers (names in small letters) of one request to one host."""
    where = escape(target.host)
    try:
        with _connected(request, target, deadline) as sock:
            connection = HTTPConnection(target.host, target.port)
            connection.auto_open = 0
            connection.sock = sock
            headers = {"Host": target.host_header, "User-Agent": f"memorybank/{__version__}", "Connection": "close"}
            headers |= {**request.headers, **(request.secret_headers if is_first else {})}
            connection.request(request.method, target.path, request.body or None, headers)
            with connection.getresponse() as response:
                _left(deadline, request.total)  # headers that were broken off look like ones that ended
                _read(response)
                return response.status, {name.lower(): value for name, value in response.getheaders()}
    except ssl.SSLCertVerificationError as error:
        raise Undelivered(f"the certificate of {where} is not trusted: {error.verify_message}") from None
    except (OSError, HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise Undelivered(f"{where} did not answer within {request.total:g} seconds") from None
        raise Undelivered(f"{where}: {_words(error)}") from None


def _read(response: HTTPResponse) -> None:
    """Hear the answer out up to a limit, so that its sender sees no broken connection; the status said it all."""
    left = MOST_READ
    with suppress(OSError, HTTPException):
        while left > 0 and (piece := response.read1(left)):
            left -= len(piece)


@contextmanager
def _connected(request: Request, target: Target, deadline: float) -> Iterator[socket.socket]:
    """A connection to the first of the host's addresses that takes one. Raises OSError, Undelivered."""
    failed: OSError | None = None
    for family, where in addresses.allowed(target, request.allow_private, _left(deadline, request.connect)):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(_left(deadline, request.connect))
            sock.connect(where)
        except OSError as error:
            failed = error
            sock.close()
            continue
        with (
            _secured(sock, request.ca_file, target.host) if target.secure else sock as ready,
            _ended_at(deadline, ready),
        ):
            ready.settimeout(_left(deadline, request.total))
            if isinstance(ready, ssl.SSLSocket):
                ready.do_handshake()
            yield ready
        return
    raise failed or OSError(errno.EHOSTUNREACH, "no address")


def _secured(sock: socket.socket, ca_file: str, host: str) -> ssl.SSLSocket:
    """The same connection for TLS; the handshake is still to come."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        return context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise


@contextmanager
def _ended_at(deadline: float, sock: socket.socket) -> Iterator[None]:
    """Break a connection off at a time: one whose other side sends a byte now and then never times out by itself."""

    def end() -> None:
        with suppress(OSError):  # closed meanwhile
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not that of TLS, which would touch what is being read

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _left(deadline: float, most: float) -> float:
    """Seconds until the deadline, at most `most`. Raises TimeoutError once it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, most)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, ssl.SSLError):
        return "no secure connection could be made"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "the answer is no HTTP"
