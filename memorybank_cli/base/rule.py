"""What a rule of the findings is: one row of the tables in `rules` and `rules_service`."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """One row of the table of findings."""

    name: str
    severity: Literal["info", "warning", "error", "critical"]
    what: str
    why: str
    cure: str
