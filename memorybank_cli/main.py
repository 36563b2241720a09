"""The console script: finds the command that argv names, carries it out, and turns every failure into an exit code.

Nothing heavy is imported here: `--version` answers before typer is.
"""

from __future__ import annotations

import gc
import os
import sys

from memorybank_cli.base.exits import BROKEN_PIPE, FAILED, INTERRUPTED

TYPE_CHECKING = False  # as in __init__
if TYPE_CHECKING:
    from typing import NoReturn

    from memorybank_cli.base.errors import MemorybankError
    from memorybank_cli.base.workers import Child
    from memorybank_cli.cli.call import Call
    from memorybank_cli.cli.commands import Meant


def run() -> NoReturn:
    """The process of the command: `main`, then out at once.

    Taking the interpreter apart would cost 7 ms, a tenth of a light command; whatever must be durable or
    closed is so when `main` returns.
    """
    # Millions of short-lived rows hold no cycles: looking for some took a fifth of a verify's time.
    gc.set_threshold(200_000, 20, 100)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or FAILED
    os._exit(code)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises."""
    _open_streams()
    try:
        return _guarded(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as interrupt:
        sys.stderr.write(f"memorybank: {'; '.join(('interrupted', *getattr(interrupt, '__notes__', ())))}\n")
        return INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except OSError:  # of stderr: nobody can be told
        return FAILED


def _open_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by who started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # A name that the locale cannot show must not end the command.
        getattr(sys, name).reconfigure(errors="backslashreplace")


def _guarded(given: list[str]) -> int:
    try:
        code = _run(given)
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001  # the one place that turns exceptions into exits
        return _report(error, given)


def _run(given: list[str]) -> int:
    if given[:1] in (["--version"], ["-V"]):
        from memorybank_cli import __version__

        sys.stdout.write(f"memorybank {__version__}\n")
        return 0
    if "_MEMORYBANK_COMPLETE" in os.environ:
        from memorybank_cli.cli.completion import complete

        return complete(given)
    from memorybank_cli.cli.commands import find, load

    if not given:
        from memorybank_cli.cli.welcome import greet, words

        given = words()
        if not given:
            return greet()
    meant = find(given)
    begun = _begun(meant)
    try:
        call: Call | int | None = None
        if meant.operation is not None:
            from memorybank_cli.cli.plain import parse

            call = parse(meant.operation, load(meant.operation), meant.rest)
        if call is None:
            from memorybank_cli.cli.app import answer

            call = answer(meant)
        if isinstance(call, int):
            return call
        from memorybank_cli.cli.run import execute

        return execute(call, begun)
    finally:
        if begun is not None:
            begun.end()


def _begun(meant: Meant) -> Child | None:
    """The process that derives the key of the repository that the command will open."""
    if meant.operation is None or not meant.operation.opens:
        return None
    from memorybank_cli.operations.unlocking import begin

    return begin(meant.rest)


def _report(error: Exception, given: list[str]) -> int:
    from memorybank_cli.base.errors import MemorybankError, from_os_error

    if isinstance(error, MemorybankError):
        known = error
    elif isinstance(error, OSError):
        known = from_os_error(error)
    else:
        known = _translated(error, given)
    _print(known, given)
    if _has_format(given, "nagios"):  # a plugin that cannot look says so where its caller reads, by its caller's codes
        from memorybank_cli.health.exposition import NAGIOS, nagios_failure

        sys.stdout.write(nagios_failure(known.message))
        return NAGIOS["unknown"][0]
    return known.exit_code


def _translated(error: Exception, given: list[str]) -> MemorybankError:
    """An error of the parser as ours, and one of nobody's as a crash with its report."""
    from memorybank_cli.base.errors import MemorybankError, OperationFailed

    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("memorybank_cli"):
        return OperationFailed(
            f"the Python package '{error.name}' is missing", hint="install memorybank-cli again, with its dependencies"
        )
    if "typer" in sys.modules:
        from memorybank_cli.cli.usage import from_parser

        usage = from_parser(error)
        if usage is not None:
            return usage
    from memorybank_cli.cli.crash import write_report

    path = write_report(error, given)
    where = f"; a report is in {path}" if path else "; a report could not be written"
    return MemorybankError(
        f"an internal error ({type(error).__name__}){where}",
        hint="nothing acknowledged was lost; please send the report to the developers",
        path=path,
    )


def _print(error: MemorybankError, given: list[str]) -> None:
    from contextlib import suppress

    from memorybank_cli.base.names import printable

    lines = [f"memorybank: {error.message}"]
    if error.path and error.path not in error.message:
        lines[0] += f" ({error.path})"
    if error.hint:
        lines.append(f"  {error.hint}")
    with suppress(OSError):  # then that is what is being reported
        sys.stdout.flush()
    sys.stderr.write(printable("\n".join(lines)) + "\n")
    if wants_json(given):
        import json

        # ASCII only: a name may hold what no encoding can carry. DEL is ASCII, and a terminal obeys it.
        sys.stderr.write(json.dumps({"error": error.as_dict()}).replace("\x7f", "\\u007f") + "\n")
    sys.stderr.flush()


def wants_json(given: list[str]) -> bool:
    """Whether a command line asks for JSON, also one that cannot be parsed."""
    return "--json" in _options(given) or _has_format(given, "json")


def _has_format(given: list[str], name: str) -> bool:
    options = _options(given)
    return f"--format={name}" in options or ("--format", name) in zip(options, options[1:], strict=False)


def _options(given: list[str]) -> list[str]:
    return given[: given.index("--")] if "--" in given else given


def _broken_pipe() -> int:
    # What is still buffered would fail again when the interpreter closes stdout.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
