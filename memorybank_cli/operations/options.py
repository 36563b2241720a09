"""How an operation's parameter is spelled where its name and type do not say enough."""

from __future__ import annotations

from typing import Annotated, NamedTuple


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
    empty: bool = False
    """An empty text is a value as any other; elsewhere it is refused as what a variable gives that was never set."""


RepoOption = Annotated[str | None, Option("the repository; default: in the owner's data directory", metavar="DIR")]
"""Of every command that opens a repository, as its parameter `repo`; the options of keys come with it."""
