"""A schedule as timers and services of the owner's systemd, below ~/.config/systemd/user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from memorybank_cli.base import files
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.programs import checked, is_there, run
from memorybank_cli.operations.schedule_times import JOBS, SAMPLES_EVERY, minute

_MADE = "# Written by `memorybank schedule install`; `memorybank schedule remove` takes it away.\n"
_LIMIT = 1 << 16
_GONE = 10
"""What `watch` ends with when the bank went away: to start it again would help nobody."""


def is_running() -> bool:
    """Whether the user has a systemd that answers."""
    return is_there("systemctl") and run(["systemctl", "--user", "show-environment"]).code == 0


def lingers(user: str) -> bool:
    """Whether the user's timers go on after the last logout; True where that cannot be asked."""
    if not is_there("loginctl"):
        return True
    done = run(["loginctl", "show-user", user, "--property=Linger", "--value"])
    return done.code != 0 or done.out.strip() == b"yes"


def place() -> str:
    """The directory of the user's own units."""
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "systemd", "user")


def stem(bank_id: str) -> str:
    """What the names of a bank's units begin with: `memorybank-<the last 12 digits of its id>`."""
    return f"memorybank-{bank_id.replace('-', '')[-12:]}"


def units(
    bank_id: str,
    path: str,
    commands: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    *,
    service: bool,
) -> dict[str, str]:
    """The text of every unit by its name. `commands` are the words by job, also `samples`, `missed` and `watch`."""
    calendars = {name: row.calendar for name, row in JOBS.items()}
    calendars |= {"samples": f"*:0/{SAMPLES_EVERY}", "missed": f"*:{minute(bank_id):02d}"}
    made: dict[str, str] = {}
    for job, calendar in calendars.items():
        made[f"{stem(bank_id)}-{job}.service"] = _service(job, path, commands[job], environment)
        made[f"{stem(bank_id)}-{job}.timer"] = _timer(job, path, calendar)
    if service:
        made[f"{stem(bank_id)}-watch.service"] = _watch(path, commands["watch"], environment)
    return made


def _service(job: str, path: str, words: Sequence[str], environment: Mapping[str, str]) -> str:
    return (
        f"{_MADE}[Unit]\nDescription=memorybank {_name(job)}, {_literal(path)}\n\n[Service]\nType=oneshot\n"
        f"{_common(words, environment)}Nice=10\nIOSchedulingClass=idle\n"
        # A monitor that found something has done its work; what it found is told by alerts.
        + ("SuccessExitStatus=1\n" if job == "samples" else "")
    )


def _timer(job: str, path: str, calendar: str) -> str:
    often = job in ("samples", "missed")
    # What was missed while the machine was off runs at once; the delay keeps many machines from beginning together.
    rest = "AccuracySec=30s\n" if often else "Persistent=true\nRandomizedDelaySec=5min\nAccuracySec=1min\n"
    return (
        f"{_MADE}[Unit]\nDescription=memorybank {_name(job)}, {_literal(path)}\n\n[Timer]\nOnCalendar={calendar}\n"
        f"{rest}\n[Install]\nWantedBy=timers.target\n"
    )


def _watch(path: str, words: Sequence[str], environment: Mapping[str, str]) -> str:
    return (
        f"{_MADE}[Unit]\nDescription=memorybank watch, {_literal(path)}\nStartLimitIntervalSec=0\n\n[Service]\n"
        f"{_common(words, environment)}Restart=on-failure\nRestartSec=30\nRestartPreventExitStatus={_GONE}\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def _common(words: Sequence[str], environment: Mapping[str, str]) -> str:
    setting = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in environment.items())
    return f"{setting}ExecStart={' '.join(_argument(word) for word in words)}\nUMask=0077\nNoNewPrivileges=yes\n"


def _name(job: str) -> str:
    return "samples" if job == "samples" else f"maintain {job}"


def _literal(text: str) -> str:
    """Text in a unit file, whose percent signs are no specifiers."""
    if not text.isprintable():
        raise OperationFailed(f"no unit file can hold the path '{escape(text)}'", hint="move the bank")
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    return '"' + _literal(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _argument(text: str) -> str:
    return _quoted(text).replace("$", "$$")


def installed(bank_id: str) -> list[str]:
    """The names of the bank's units that are there; what `systemctl edit` or somebody else put beside them is not."""
    if not os.path.isdir(place()):
        return []
    with closing(Root(place())) as root:
        names = [one.name for one in root.listing() if one.name.startswith(f"{stem(bank_id)}-")]
        return [name for name in names if (root.content(name, _LIMIT) or b"").startswith(_MADE.encode())]


def install(wanted: dict[str, str], present: Sequence[str]) -> None:
    """Write units and start what is to run; those of the bank that are wanted no more go. Raises OperationFailed."""
    gone = [name for name in present if name not in wanted]
    _stop(gone)
    with closing(files.make_root(place())) as root:
        for name, text in wanted.items():
            files.replace(root, name, text.encode(), 0o644)
        for name in gone:
            files.remove(root, name)
    checked(["systemctl", "--user", "daemon-reload"])
    started = list(_started(wanted))
    checked(["systemctl", "--user", "enable", *started])
    checked(["systemctl", "--user", "restart", *started])


def remove(present: Sequence[str]) -> None:
    """Stop and remove units of a bank. Raises OperationFailed."""
    _stop(present)
    with closing(files.make_root(place())) as root:
        for name in present:
            files.remove(root, name)
    checked(["systemctl", "--user", "daemon-reload"])


def _stop(names: Sequence[str]) -> None:
    if running := list(_started(names)):
        checked(["systemctl", "--user", "disable", "--now", *running])


def _started(names: Sequence[str] | dict[str, str]) -> Iterator[str]:
    """The units that are started themselves; the others are started by their timer."""
    return (name for name in names if name.endswith((".timer", "-watch.service")))
