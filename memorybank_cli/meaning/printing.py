"""A schema as text for people: what fits on a line stands on one, members in their order, and a line each."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.exact_json import dumps

WIDTH = 110


def printed(schema: dict[str, Any]) -> bytes:
    """The bytes of a schema's file."""
    return (_lines(schema, 0, 0, always=True) + "\n").encode()


def _lines(value: Any, depth: int, before: int, *, always: bool = False) -> str:
    """`before` characters stand before the value on its line; `always` a line for each part."""
    if not isinstance(value, dict | list) or not value:
        return dumps(value).decode()
    if not always and (short := _on_a_line(value, WIDTH - 2 * depth - before)) is not None:
        return short
    indent = "  " * (depth + 1)
    if isinstance(value, list):
        parts = [indent + _lines(one, depth + 1, 0) for one in value]
        opening, closing = "[", "]"
    else:
        keys = [(dumps(key).decode(), one) for key, one in value.items()]
        parts = [f"{indent}{key}: {_lines(one, depth + 1, len(key) + 2)}" for key, one in keys]
        opening, closing = "{", "}"
    return f"{opening}\n" + ",\n".join(parts) + "\n" + "  " * depth + closing


def _on_a_line(value: Any, room: int) -> str | None:
    """The value on one line; None where that is too long. What is surely too long is not written."""
    if isinstance(value, dict | list) and len(value) * 4 > room:
        return None
    if not isinstance(value, dict | list):
        text = dumps(value).decode()
        return text if len(text) <= room else None
    parts: list[str] = []
    for one in value.items() if isinstance(value, dict) else value:
        key = f"{dumps(one[0]).decode()}: " if isinstance(value, dict) else ""
        inner = _on_a_line(one[1] if isinstance(value, dict) else one, room - len(key) - 2)
        if inner is None:
            return None
        parts.append(key + inner)
        room -= len(key) + len(inner) + 2
    text = ", ".join(parts)
    return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]"
