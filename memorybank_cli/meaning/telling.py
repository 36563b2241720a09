"""A changed record in one line for people; whatever agents wrote in it is shortened and safe for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_cli.bank.misfits import shorten
from memorybank_cli.base.names import escape_text

FIELDS = 6
"""So many fields of a changed record are named."""
MEMBERS = 4
"""So many members of an added or removed record are shown."""
_LONGEST = 60
_LONGEST_ID = 80  # people copy ids, and a hash of a transaction has 66 characters

_MISSING = object()


def told(change: Mapping[str, Any], *, with_what: bool = True) -> str:
    """A change as `Change.as_dict` gives it: `changed trade 7: price 2.5 -> 2.6, success true -> false`.

    Values that are missing in it, for they were too long, are told as `...`.
    """
    what = f"{change['what']} " if with_what else ""
    name = f"{what}{escape_text(change['kind'])} {_name(change)}".rstrip()
    if change["what"] == "changed":
        return f"{name}: {inside(change)}"
    value = change.get("after" if change["what"] == "added" else "before", _MISSING)
    if change["kind"] == "message" and isinstance(value, dict) and isinstance(value.get("role"), str):
        return f"{name}: {_cut(escape_text(value['role']))} {shorten(value.get('content'))}"
    return f"{name}: {_value(value, change['id'])}"


def inside(change: Mapping[str, Any]) -> str:
    """What changed in a changed record: `price 2.5 -> 2.6, success true -> false`."""
    fields = change["fields"]
    shown = ", ".join(map(_field, fields[:FIELDS]))
    return f"{shown} and {len(fields) - FIELDS:,} more" if len(fields) > FIELDS else shown


def _name(change: Mapping[str, Any]) -> str:
    if change["id"]:
        return _cut(escape_text(change["id"][: _LONGEST_ID + 1]), _LONGEST_ID)
    return f"at {_cut(escape_text(change['pointer']))}" if change["pointer"] else ""


def _field(field: Mapping[str, Any]) -> str:
    name = f"{_cut(escape_text(field['pointer'][1:]))} " if field["pointer"] else ""
    match field["what"]:
        case "added":
            return f"{name}added: {_side(field, 'after')}"
        case "removed":
            return f"{name}removed: {_side(field, 'before')}"
        case "reordered":
            return f"{name}in another order"
        case _:
            return f"{name}{_side(field, 'before')} -> {_side(field, 'after')}"


def _side(field: Mapping[str, Any], side: str) -> str:
    return shorten(field[side]) if side in field else "..."


def _value(value: Any, name_of_it: str) -> str:
    """A record by its first plain members, without the one that names it."""
    if not isinstance(value, dict):
        return "..." if value is _MISSING else shorten(value)
    plain = {name: one for name, one in value.items() if not isinstance(one, dict | list) and one != name_of_it}
    told_members = [f"{_cut(escape_text(name))} {shorten(inner)}" for name, inner in list(plain.items())[:MEMBERS]]
    return ", ".join(told_members) or shorten(value)


def _cut(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
