"""Accepting and rolling back while watching goes on: in a thread and a bank of their own, asking through the view."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MemorybankError, Refused, from_os_error
from memorybank_cli.base.names import escape, escape_text
from memorybank_cli.cli.live.controls import Row
from memorybank_cli.cli.render import rows
from memorybank_cli.cli.views.table import view

REASON = "accepted in the live view"
BREATH = 0.2
Line = dict[str, Any]
_HINTED = re.compile(r"memorybank rollback((?: --(?:at|seq|path|account) (?:'[^']*'|[^\s';]+))+)")
_WORDS = {"at": str, "seq": int, "account": str}


class Actions:
    """One action at a time. `post` hands lines to the view: `page`, `asked`, `told secret`, `note` and `done`."""

    def __init__(self, context: Context, path: str, post: Callable[[Line], None], notes: Any) -> None:
        self.path, self.post = path, post
        self.context = replace(
            context,
            interactive=True,
            confirm=self._confirm,
            ask_secret=self._secret,
            preview=self._preview,
            progress=notes,
        )
        self.replies: SimpleQueue[Any] = SimpleQueue()
        self.closed = Event()
        self.declined = False
        self.what = ""
        self.thread: Thread | None = None

    @property
    def running(self) -> bool:
        """Whether one is being carried out."""
        return self.thread is not None and self.thread.is_alive()

    def accept(self, finding: Line) -> None:
        """Record what a finding is about as wanted, after a yes. Raises Refused for one that is about no path."""
        path = str(finding["path"])
        if not path:
            raise Refused("this finding is about the whole bank", hint=str(finding.get("hint", "")))

        def act(bank: Any) -> Any:
            from memorybank_cli.operations.accept import accept

            self.context.ensure(f"Accept {path} as it is now?", yes=False)
            return accept(bank, self._whole(path), reason=REASON)

        self._start("accepting", act)

    def roll_back(self, finding: Line) -> None:
        """Put back what a finding is about, after a look at what would change and a yes. Raises Refused."""
        options = rollback_options(finding)
        options["path"] = tuple(map(self._whole, options.get("path", ())))

        def act(bank: Any) -> Any:
            from memorybank_cli.operations.rollback import rollback

            return rollback(bank, **options)

        self._start("rolling back", act)

    def answer(self, given: Any) -> None:
        """The answer to the question that was asked."""
        self.replies.put(given)

    def close(self) -> None:
        """Questions are answered with no from now on; returns when what is being done is done."""
        self.closed.set()
        if self.thread is not None:
            self.thread.join()

    def _whole(self, path: str) -> str:
        """Arguments are taken relative to the current directory, findings name what lies below the root."""
        return os.path.join(escape(self.path), path) if path else self.path

    def _start(self, what: str, act: Callable[[Any], Any]) -> None:
        self.what = what
        self.thread = Thread(target=self._carry_out, args=(act,), name=what, daemon=True)
        self.thread.start()

    def _carry_out(self, act: Callable[[Any], Any]) -> None:
        from memorybank_cli.operations.opening import open_bank

        text, trouble, self.declined = "", False, False
        try:
            with closing(open_bank(self.context, path=self.path)) as bank:
                report = act(bank)
            text = report.summary()
        except MemorybankError as error:
            text, trouble = ("nothing was changed", False) if self.declined else (_told(error), True)
        except OSError as error:
            text, trouble = _told(from_os_error(error)), True
        except Exception as error:  # noqa: BLE001  # watching goes on; the report says where it happened
            from memorybank_cli.cli.crash import write_report

            text, trouble = f"an internal error; a report is in {write_report(error, sys.argv[1:])}", True
        self.post({"type": "done", "text": text, "trouble": trouble})

    def _confirm(self, question: str) -> bool:
        self.declined = not self._asked({"type": "asked", "text": question})
        return not self.declined

    def _secret(self, question: str) -> str:
        given = str(self._asked({"type": "asked", "text": question, "secret": True}) or "")
        if not given:
            raise Refused("nothing was changed: no passphrase was given")
        return given

    def _asked(self, line: Line) -> Any:
        self.post(line)
        while not self.closed.is_set():
            try:
                return self.replies.get(timeout=BREATH)
            except Empty:
                continue
        return None

    def _preview(self, report: Any) -> None:
        page: list[Row] = rows(view(type(report).__name__)(report.as_dict()))
        self.post({"type": "page", "title": "What would change", "rows": page})


def rollback_options(finding: Line) -> dict[str, Any]:
    """What `rollback` is called with for a finding: as its hint says, else its path. Raises Refused for neither."""
    found = _HINTED.search(str(finding.get("hint", "")))
    if found is None and not finding["path"]:
        raise Refused("this finding names no file and no time to go back to", hint=str(finding.get("hint", "")))
    words = shlex.split(found[1]) if found else []
    options: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name != "--path":  # the hint's is written for who types it where the bank is
            options[name.lstrip("-")] = _WORDS[name.lstrip("-")](value)
    if finding["path"] and "account" not in options:
        options["path"] = (str(finding["path"]),)
    return options


def _told(error: MemorybankError) -> str:
    return escape_text("; ".join(one for one in (error.message, error.hint) if one))
