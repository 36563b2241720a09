"""Accounts for people and conversations that were called otherwise elsewhere: allowed ids, none given twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memorybank_cli.base.names import escape, is_id
from memorybank_cli.migrations.items import Assumption

LONGEST = 64
MOST_TOLD = 20
_ODD = re.compile(r"[^A-Za-z0-9._-]")


class AccountNames:
    """One id for each name that is asked for; the same name has the same one. Names in `kept` keep theirs."""

    def __init__(self, kept: set[str] | None = None) -> None:
        self._by_name = {name: name for name in kept or () if is_id(name)}
        self._given = set(self._by_name)
        self._changed: list[str] = []
        self._untold = 0

    def id_of(self, name: str) -> str:
        """The account's id for a name."""
        if name not in self._by_name:
            self._by_name[name] = self._fresh(name)
        return self._by_name[name]

    def fresh(self, name: str) -> str:
        """An id that no other has, also where the name was given before."""
        if name not in self._by_name:
            return self.id_of(name)
        return self._fresh(name)

    def _fresh(self, name: str) -> str:
        allowed = _ODD.sub("-", name.strip())[:LONGEST]
        allowed = "-" + allowed[1:] if allowed.startswith(".") else allowed or "unnamed"
        id, number = allowed, 1
        while id in self._given:
            number += 1
            id = f"{allowed[: LONGEST - len(str(number)) - 1]}-{number}"
        self._given.add(id)
        if id != name:
            self._note(f"the account '{escape(name)[:80]}' is called {id} here")
        return id

    def _note(self, text: str) -> None:
        if len(self._changed) < MOST_TOLD:
            self._changed.append(text)
        else:
            self._untold += 1

    def assumptions(self) -> Iterator[Assumption]:
        """What was changed; of many the first ones by name."""
        for text in self._changed:
            yield Assumption(text)
        if self._untold:
            yield Assumption("further accounts are called otherwise here", self._untold)
