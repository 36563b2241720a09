"""Who leads of several watches, and what is asked of the one that does."""

from __future__ import annotations

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.rendering import make_room
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.locks import Lock
from memorybank_cli.integrity import requests


class Lead:
    """The lock of the watch that leads, and the requests to it that are not answered yet."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._lock = Lock(bank.root, requests.LOCK)
        self._owed: dict[str, frozenset[str]] = {}
        """Requests by name, with the files that had not settled when everything was looked at for them."""
        self._stuck: set[str] = set()
        """Requests that were answered and could not be removed."""

    def take(self) -> bool:
        """Lead, or go on leading, if no other watch does; whether this one does now.

        Whoever removes the lock's file makes room for another watch: so it is asked for again and again.
        """
        try:
            return self._taken()
        except OSError:
            return True  # where nothing can be written there is nothing to be at odds about

    def _taken(self) -> bool:
        try:
            requests.prepare(self.bank.root)
            return self._lock.try_once()
        except OSError:
            kept = make_room(self.bank.root, requests.LOCK)
            if not kept:
                raise
        self.bank.context.progress.note(f"what stood in the place of {requests.LOCK} was no file; it is in {kept}")
        return self._taken()

    def asked(self) -> list[str]:
        """Requests for which everything is still to be looked at."""
        known = self._owed.keys() | self._stuck
        return [one for one in requests.waiting(self.bank.root) if one not in known]

    def looked(self, names: list[str], unsettled: frozenset[str]) -> None:
        """Everything was looked at after these requests came, but for files that were being written."""
        self._owed |= dict.fromkeys(names, unsettled)
        self.answer(unsettled)

    def answer(self, unsettled: frozenset[str]) -> None:
        """Answer those whose files have settled since."""
        for name in [name for name, files in self._owed.items() if not files & unsettled]:
            del self._owed[name]
            try:
                requests.answer(self.bank.root, name)
            except OSError as error:
                self._stuck.add(name)
                self.bank.context.progress.note(f"a request was not answered: {from_os_error(error).message}")

    def close(self) -> None:
        """Let another one lead."""
        self._lock.close()
