"""The pieces that a view for people is made of; `cli.render` draws them, plainly or on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

Style = Literal["", "strong", "good", "warning", "bad", "dim", "strong good", "strong warning", "strong bad"]


class Text(NamedTuple):
    """Lines of text."""

    text: str
    style: Style = ""


class Fields(NamedTuple):
    """Names with their values, one a line."""

    pairs: Sequence[tuple[str, Any]]


class Table(NamedTuple):
    """Rows under headings; numbers stand to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""


class Findings(NamedTuple):
    """Findings as the contract's JSON gives them."""

    findings: Sequence[Mapping[str, Any]]


class Bytes(int):
    """A number of bytes, shown with its unit."""


Block = Text | Fields | Table | Findings
