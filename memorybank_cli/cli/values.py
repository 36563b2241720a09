"""What may stand for a parameter of a command line: values of tables, and names that a bank of one's own holds.

Reading is all that happens here: a bank is listed, never opened, so nothing is recovered, rendered or made. Agents
name what lies in a bank, and a shell takes what it is told into the line, so only plain ids are told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound
from memorybank_cli.base.names import is_id
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.finding import find_bank
from memorybank_cli.operations.signature import Parameter


class Value(NamedTuple):
    """One value and what it is."""

    text: str
    help: str = ""


Source = Callable[[dict[str, Any]], Iterator[Value]]
"""Gives the values, asked with the options that stand in the line already, by parameter name."""
Places = Literal["", "files", "directories"]


def of(command: str, parameter: Parameter, given: dict[str, Any]) -> list[Value]:
    """The values that are known for a parameter of a command, all of them."""
    if parameter.choices:
        return [Value(choice) for choice in parameter.choices]
    source = BY_COMMAND.get((command, parameter.name), BY_NAME.get(parameter.name, _none))
    return list(source(given))


def places(parameter: Parameter) -> Places:
    """Whether a parameter takes files or directories, which the shell knows best."""
    metavar = parameter.option.metavar or parameter.word.upper()
    if metavar in ("DIR", "PATH"):
        return "directories"
    return "files" if metavar in ("FILE", "P", "PATHS") else ""


def _none(given: dict[str, Any]) -> Iterator[Value]:
    del given
    yield from ()


def _rules(given: dict[str, Any]) -> Iterator[Value]:
    del given
    from memorybank_cli.base.rules import FAMILIES, RULES

    families = {code[:3] for code in RULES}
    yield from (Value(family, subject) for family, subject in FAMILIES.items() if family in families)
    yield from (Value(code, rule.name) for code, rule in RULES.items())


def _settings(given: dict[str, Any]) -> Iterator[Value]:
    del given
    from memorybank_cli.base.settings import SETTINGS

    yield from (Value(setting.name, setting.help) for setting in SETTINGS)


def _schemas(given: dict[str, Any]) -> Iterator[Value]:
    from memorybank_cli.bank.schemas import SUFFIX, Registry

    own = (name.removesuffix(SUFFIX) for name in _listed(_own_bank(given), layout.CONFIG_SCHEMAS))
    yield from map(Value, sorted({*Registry().names(), *filter(is_id, own)}))


def _sections(given: dict[str, Any]) -> Iterator[Value]:
    del given
    from memorybank_cli.operations.sections import KINDS

    yield from map(Value, KINDS)


def _importers(given: dict[str, Any]) -> Iterator[Value]:
    del given
    from memorybank_cli.migrations.table import IMPORTERS

    yield from (Value(one.NAME, one.TITLE) for one in IMPORTERS)


def _accounts(given: dict[str, Any]) -> Iterator[Value]:
    yield from (Value(found) for name in _listed(_own_bank(given)) if (found := layout.account_of(name)))


def _steps(given: dict[str, Any], *, job: str) -> Iterator[Value]:
    del given
    from memorybank_cli.operations.maintain_steps import STEPS

    yield from (Value(step.name, step.what) for step in STEPS[job])


def _snapshots(given: dict[str, Any]) -> Iterator[Value]:
    names = [name for name in _listed(_repository(given), "snapshots") if is_id(name)]
    if names:
        yield Value("latest", "the newest that is not suspect")
    yield from map(Value, reversed(names))


def _repository_keys(given: dict[str, Any]) -> Iterator[Value]:
    for name in _listed(_repository(given), "keys"):
        if name.endswith(".json") and is_id(name):
            yield Value(name.removesuffix(".json"))


def _channels(given: dict[str, Any]) -> Iterator[Value]:
    del given
    from memorybank_cli.alerts.settings import read_own

    names = ["log", *read_own(os.geteuid()).channels]
    yield from map(Value, filter(is_id, names))


def _forgotten_snapshots(given: dict[str, Any]) -> Iterator[Value]:
    place = _repository(given)
    names = {name for one in _listed(place, "trash") for name in _listed(place, f"trash/{one}/snapshots")}
    yield from map(Value, sorted(filter(is_id, names), reverse=True))


def _snapshots_and_now(given: dict[str, Any]) -> Iterator[Value]:
    yield Value("now", "the bank as it stands")
    yield from _snapshots(given)


def _own_bank(given: dict[str, Any]) -> str:
    """The bank that is meant, '' where there is none or it is somebody else's."""
    try:
        path = find_bank(Context(bank=given.get("bank")))
        return path if os.stat(path).st_uid == os.geteuid() else ""
    except (BankNotFound, OSError):
        return ""


def _repository(given: dict[str, Any]) -> str:
    """Where the bank's snapshots lie, '' where that cannot be told."""
    from memorybank_cli.bank.home import directories, user_config
    from memorybank_cli.base.settings import Settings, flatten

    bank, owner = _own_bank(given), os.geteuid()
    if not bank:
        return ""
    named = given.get("repo") or Settings(user=flatten(user_config(owner)))["repository"]
    bank_id = "" if named else _bank_id(bank)
    return os.path.expanduser(named) or (os.path.join(directories(owner)["repositories"], bank_id) if bank_id else "")


def _bank_id(bank: str) -> str:
    from memorybank_cli.base.exact_json import FlawedJSON, loads

    root = Root(bank)
    try:
        document = loads(root.content(layout.BANK, layout.CONFIG_LIMIT) or b"")
    except FlawedJSON:
        return ""
    finally:
        root.close()
    found = str(document.get("bank_id", "")) if isinstance(document, dict) else ""
    return found if is_id(found) else ""  # it becomes part of a path


def _listed(directory: str, path: str = "") -> list[str]:
    """The names in a directory, sorted; nothing where there is none. Links below it are not followed."""
    if not directory or not os.path.isdir(directory):
        return []
    root = Root(directory)
    try:
        return [entry.name for entry in root.listing(path)]
    finally:
        root.close()


BY_NAME: dict[str, Source] = {
    "account": _accounts,
    "as_": _importers,
    "rule": _rules,
    "only": _rules,
    "schema": _schemas,
    "snapshot": _snapshots,
}
"""By the name of a parameter, whatever the command."""
BY_COMMAND: dict[tuple[str, str], Source] = {
    ("init", "account"): _none,
    ("account create", "account"): _none,
    ("alert test", "channel"): _channels,
    ("alert route", "alert"): _rules,
    ("config get", "name"): _settings,
    ("config set", "name"): _settings,
    ("schema show", "name"): _schemas,
    ("schema check", "names"): _schemas,
    ("schema infer", "section"): _sections,
    **{(f"maintain {job}", "step"): partial(_steps, job=job) for job in ("daily", "weekly", "monthly")},
    ("snapshot key remove", "name"): _repository_keys,
    ("snapshot show", "id"): _snapshots,
    ("snapshot verify", "id"): _snapshots,
    ("snapshot restore", "id"): _snapshots,
    ("snapshot cat", "id"): _snapshots,
    ("snapshot export", "id"): _snapshots,
    ("snapshot diff", "a"): _snapshots,
    ("snapshot diff", "b"): _snapshots_and_now,
    ("snapshot forget", "id"): _snapshots,
    ("snapshot pin", "id"): _snapshots,
    ("snapshot undelete", "id"): _forgotten_snapshots,
}
"""By command and parameter, where the name alone does not say it."""
