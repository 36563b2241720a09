"""Carrying out a call: the Context of its common options, the bank it needs, and its result on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from memorybank_cli.base.context import BEGUN, Context, nobody_to_ask, nobody_to_see, nobody_to_tell
from memorybank_cli.base.errors import BankNotFound, MemorybankError, UsageError
from memorybank_cli.base.records import QUIET, Progress
from memorybank_cli.base.workers import Child
from memorybank_cli.cli import terminal
from memorybank_cli.cli.blocks import Style, Text
from memorybank_cli.cli.call import Call
from memorybank_cli.operations import signature

_PLAIN = frozenset((str, int, float, bool, type(None)))


def execute(call: Call, begun: Child | None = None) -> int:
    """Run the operation, show what it gives, return the exit code. Raises what the operation raises.

    `begun` is the process that derives the key of a repository, see `operations.unlocking`.
    """
    json = call.common["json"] or call.options.get("format_") == "json"
    context = make_context(call.common, json=json, keys=call.keys, words=partial(_to_be_typed, call=call))
    if begun is not None:
        context.unlocked[BEGUN] = begun
    view = _live_view(call, context)
    if view is not None:
        context = replace(context, progress=view.progress)
    options = dict(call.options)
    if context.json and "json" in _formats(call):
        options["format_"] = "json"
    try:
        with _injected(call, context) as first:
            result = call.function(*first, *call.positional, **options)
            if view is not None:
                return int(view.follow(result, first[0]))
            if hasattr(result, "__next__"):
                return _show_stream(call.operation.name, result, context)
            if found := getattr(result, "found_bank", ""):
                call = call._replace(common={**call.common, "bank": found})
            return _show_report(result, context, call)
    except MemorybankError as error:
        error.hint = _to_be_typed(error.hint, call)
        raise
    finally:  # of a failure and Ctrl-C too: what is said of them stands on a line of its own
        context.progress.finish()


def _live_view(call: Call, context: Context) -> Any:
    """The view of `watch` on a terminal with somebody at its keys; None where lines are written."""
    if call.operation.name != "watch" or call.options["once"] or call.options.get("sync"):
        return None
    if context.json or context.quiet or call.common["no_input"]:
        return None
    if not (terminal.is_terminal("stdout") and sys.stdin.isatty()):
        return None
    from memorybank_cli.cli.live.screen import is_before_us
    from memorybank_cli.cli.live.view import View

    if not is_before_us():
        return None
    colour = terminal.is_colourful("stdout", call.common["no_color"])
    return View(context, partial(_to_be_typed, call=call), colour=colour)


def _to_be_typed(text: str, call: Call) -> str:
    if not (call.bank or call.options.get("repo")):
        return text
    from memorybank_cli.cli.hints import to_be_typed

    return to_be_typed(text, call)


def _hints_to_be_typed(report: Any, call: Call) -> Any:
    if not (call.bank or call.options.get("repo")):
        return report
    from memorybank_cli.cli.hints import hints_to_be_typed

    return hints_to_be_typed(report, call)


def make_context(
    common: dict[str, Any],
    *,
    json: bool,
    keys: dict[str, str | None] | None = None,
    words: Callable[[str], str] = str,
) -> Context:
    """The Context for the common options and those of keys as given, the streams as they are. Raises UsageError.

    `words` makes of a note what is written.
    """
    named = keys or {}
    if (common["lock_timeout"] or 0.0) < 0:
        raise UsageError("--lock-timeout must not be negative")
    interactive = sys.stdin.isatty() and sys.stderr.isatty() and not common["no_input"]
    return Context(
        bank=common["bank"],
        json=json,
        quiet=common["quiet"],
        verbose=common["verbose"],
        interactive=interactive,
        live=terminal.is_colourful("stdout", common["no_color"]) and not json,
        lock_timeout=common["lock_timeout"],
        actor=common["actor"],
        password_file=named.get("password_file"),
        key_file=named.get("key_file"),
        password_command=named.get("password_command"),
        progress=QUIET if common["quiet"] else _progress(words, bar=not json),
        confirm=_confirm if interactive else nobody_to_ask,
        ask_secret=_ask_secret if interactive else nobody_to_tell,
        preview=_preview(common["no_color"]) if interactive else nobody_to_see,
    )


def _progress(words: Callable[[str], str], *, bar: bool) -> Progress:
    from memorybank_cli.cli.progress import Bar, Notes

    return Bar(words) if bar and terminal.is_terminal("stderr") else Notes(words)


def _confirm(question: str) -> bool:
    from memorybank_cli.cli.prompts import confirm

    return confirm(question)


def _preview(no_color: bool) -> Callable[[object], None]:
    """Shows a report on stderr, where the question about it follows."""

    def show_it(report: object) -> None:
        from memorybank_cli.cli.render import show
        from memorybank_cli.cli.views.table import view

        blocks = view(type(report).__name__)(as_dict(report))
        show(blocks, live=terminal.is_colourful("stderr", no_color), to="stderr")

    return show_it


def _ask_secret(question: str) -> str:
    from memorybank_cli.cli.prompts import secret

    return secret(question)


def _formats(call: Call) -> tuple[str, ...]:
    return next((found.choices for found in signature.parameters(call.function) if found.name == "format_"), ())


@contextmanager
def _injected(call: Call, context: Context) -> Iterator[list[Any]]:
    names = signature.injected(call.function)
    bank = None if call.operation.needs == "none" else _open(context, call.operation.needs == "optional")
    hidden: tuple[type[Exception], ...] = ()
    try:
        yield [bank if name == "bank" else context for name in names]
    except Exception as error:
        hidden = (OSError, MemorybankError)  # that closing fails, too, would hide what failed first
        if bank is not None:
            bank.explain(error)
        raise
    finally:
        if bank is not None:
            with suppress(*hidden):
                bank.close()


def _open(context: Context, optional: bool) -> Any:
    from memorybank_cli.operations.finding import VARIABLE, find_bank

    try:
        path = find_bank(context)
    except BankNotFound:
        if optional and context.bank is None and not os.environ.get(VARIABLE):
            return None
        raise
    from memorybank_cli.operations.opening import open_bank  # a bank's modules cost as much as Python's own start

    return open_bank(context, path=path)


def _show_report(report: Any, context: Context, call: Call) -> int:
    text = getattr(report, "text", None)
    raw = text() if callable(text) and not context.json else None
    pieces = getattr(report, "pieces", None)
    if callable(pieces) and (not context.json or getattr(report, "is_json", False)):
        context.progress.finish()
        terminal.write_pieces(pieces())
    elif context.json:
        from memorybank_cli.base.groups import with_groups

        _write_json(with_groups(as_dict(report)))
    elif raw is not None:
        terminal.write_raw(raw if isinstance(raw, bytes) else raw.encode(errors="backslashreplace"))
    else:
        _show_view(report, context, call)
    return _code(report)


def _show_view(report: Any, context: Context, call: Call) -> None:
    from memorybank_cli.cli.render import show
    from memorybank_cli.cli.views.table import view

    warnings = getattr(report, "warnings", None)
    if context.quiet and callable(warnings):
        context.progress.finish()
        for line in warnings():
            terminal.write_line("stderr", _to_be_typed(line, call))
        return
    blocks = view(type(report).__name__)(_hints_to_be_typed(as_dict(report), call))
    summary = getattr(report, "summary", None)
    if callable(summary) and not context.quiet:
        blocks = [*blocks, Text(_to_be_typed(summary(), call), _tone(report))]
    context.progress.finish()
    show(blocks, live=context.live, verbose=context.verbose)


def _tone(report: Any) -> Style:
    """How the closing line looks: as the report's `tone` says, else bad where the exit code is not 0."""
    tones: dict[str, Style] = {"good": "strong good", "warning": "strong warning", "bad": "strong bad"}
    return tones.get(getattr(report, "tone", "bad" if _code(report) else ""), "strong")


def _code(report: Any) -> int:
    code = getattr(report, "exit_code", None)
    return int(code()) if callable(code) else int(getattr(report, "ok", True) is False)


def _show_stream(name: str, lines: Any, context: Context) -> int:
    from memorybank_cli.cli.views.table import line as layout

    shown = None if context.json else layout(name)
    try:
        while True:
            try:
                found = next(lines)
            except StopIteration as end:
                return int(end.value or 0)
            if shown is None:
                _write_json(found)
            elif text := shown(found):
                terminal.write_line("stdout", text)
    finally:
        close = getattr(lines, "close", None)
        if close is not None:
            close()


def _write_json(value: Any) -> None:
    from memorybank_cli.base.exact_json import dumps

    terminal.write_json(dumps(value))


def as_dict(value: Any) -> Any:
    """A report as JSON knows it: `as_dict` of objects that have one, dataclasses by their fields, tuples as lists."""
    if hasattr(value, "as_dict"):
        return as_dict(value.as_dict())
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_dict(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):  # a long list is many values, and a call for each plain one would cost most
        return {key: item if type(item) in _PLAIN else as_dict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else as_dict(item) for item in value]
    return value
