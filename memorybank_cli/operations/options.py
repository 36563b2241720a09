"""How an operation's parameter is spelled where its name and type do not say enough."""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """A marker in `Annotated[type, Option(...)]`; a plain string there is the same as `Option(help)`."""

    help: str
    short: str = ""
    """`-n`"""
    name: str = ""
    """`--other-spelling`; by default the parameter's own name."""
    metavar: str = ""
    """How its value is called in the help: `FILE`."""
    hidden: bool = False
