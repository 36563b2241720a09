"""The channel `webhook`: each message is posted as JSON, signed where a secret is named."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from memorybank_cli.alerts import signing
from memorybank_cli.alerts.channels.requests import Request
from memorybank_cli.alerts.channels.values import Message, Undelivered
from memorybank_cli.base.errors import MemorybankError


@dataclass(frozen=True)
class WebhookChannel:
    """Posts to the URL of `request`; the secret's and the token's files are read each time, so they can be changed."""

    request: Request
    secret_file: str = ""
    token_file: str = ""
    clock: Callable[[], float] = field(default=time.time, repr=False)

    @property
    def limit(self) -> float:
        """Seconds within which it ends."""
        return self.request.total + 1.0

    def send(self, message: Message) -> None:
        """Post a message. Raises Undelivered."""
        from memorybank_cli.alerts.channels import http

        body = message.body()
        headers = {"Content-Type": "application/json", "Memorybank-Id": message.id}
        secret_headers = {}
        try:
            if self.secret_file:
                secret = signing.read_secret(self.secret_file)
                headers[signing.HEADER] = signing.sign(secret, int(self.clock()), body)
            if self.token_file:
                token = signing.read_secret(self.token_file).value.decode("latin-1")
                secret_headers["Authorization"] = f"Bearer {token}"
        except MemorybankError as error:
            raise Undelivered(error.message, hint=error.hint) from None
        http.send(replace(self.request, body=body, headers=headers, secret_headers=secret_headers))

    def close(self) -> None:
        """Nothing to do: a request ends by itself in time."""
