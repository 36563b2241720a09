"""What one run was asked for besides its own parameters: the bank, the kind of output, who acts, who may be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from memorybank_cli.base.errors import Refused, UsageError, from_os_error
from memorybank_cli.base.records import QUIET, Progress


def nobody_to_ask(question: str) -> bool:
    """The `confirm` of runs without a person. Raises UsageError that names the way to answer beforehand."""
    raise UsageError(
        f"this needs a yes and there is nobody to ask: {question}",
        hint="give --yes to do it, or --dry-run to rehearse it",
    )


def nobody_to_tell(question: str) -> str:
    """The `ask_secret` of runs without a person. Raises UsageError that names the other ways."""
    raise UsageError(
        f"there is nobody to ask for a passphrase: {question}",
        hint="give --password-file FILE, --key-file FILE or --password-command CMD, or the setting of that name",
    )


def nobody_to_see(_report: object) -> None:
    """The `preview` of runs without a person."""


@contextmanager
def when_interrupted(text: str) -> Iterator[None]:
    """Say what an interruption in here left, behind the word that it was one."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(text)
        raise


BEGUN = "begun"


@dataclass(frozen=True)
class Context:
    """The common options of one run; `Context()` suits library use: quiet, and nobody to ask."""

    bank: str | None = None
    """The bank's path as given, None to look for it."""
    json: bool = False
    """Results are for programs."""
    quiet: bool = False
    """Results and errors only."""
    verbose: bool = False
    """Everything that is known, the unimportant too."""
    interactive: bool = False
    """A person can be asked."""
    live: bool = False
    """Results go to a terminal with colours and a cursor that moves."""
    lock_timeout: float | None = None
    """Seconds to wait for another process; None: the setting decides."""
    actor: str | None = None
    """Who is written into the journal as the author; None: the setting decides."""
    password_file: str | None = None
    """Holds the passphrase of an encrypted repository; None: the setting decides, and so for the next two."""
    key_file: str | None = None
    """Holds a raw key of it."""
    password_command: str | None = None
    """Prints its passphrase."""
    progress: Progress = QUIET
    confirm: Callable[[str], bool] = nobody_to_ask
    """Ask a yes-or-no question. Use `ensure`."""
    ask_secret: Callable[[str], str] = nobody_to_tell
    """Ask for a passphrase; what is typed is not shown."""
    preview: Callable[[object], None] = nobody_to_see
    """Show what a report says before somebody is asked about it."""
    unlocked: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What opened encrypted repositories in this run, by their ids, so that nobody is asked twice; under `BEGUN`
    the process that derives such a key, until somebody took its answer."""

    @property
    def options(self) -> dict[str, Any]:
        """The settings given as options of this run, by name; the uppermost layer of `base.settings`."""
        names = ("lock_timeout", "actor", "password_file", "key_file", "password_command")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def ensure(self, question: str, *, yes: bool, preview: object = None) -> None:
        """Return once somebody said yes, to what `preview` (a report) shows where that is given.

        Raises UsageError where nobody can be asked, Refused after a no.
        """
        if not yes and preview is not None:
            self.preview(preview)
        if not yes and not self.confirm(question):
            raise Refused("nothing was changed: the answer was no", hint="--dry-run shows what would be done")

    def open_input(self, name: str) -> BinaryIO:
        """The file that a command was told to read, `-` being stdin; the caller closes it. Raises OperationFailed."""
        try:
            return open(0 if name == "-" else name, "rb", closefd=name != "-")
        except OSError as error:
            raise from_os_error(error, "cannot read") from error
