"""Under whose ids programs run: where root works under those of a bank's owner, there is no way back to root's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_HARMLESS = ("PATH", "LANG", "TZ")


def for_programs(environment: Mapping[str, str]) -> dict[str, Any]:
    """Options of `subprocess` (`env`, and `user` and `group`) for a program that the owner of a bank named.

    Where root acts for that owner it gets the owner's ids as its only ones (a shell goes back to the real one by
    itself), and nothing that root's environment may hold.
    """
    if (os.getuid(), os.getgid()) == (os.geteuid(), os.getegid()):
        return {"env": dict(environment)}
    kept = {name: value for name, value in environment.items() if name in _HARMLESS or name.startswith("LC_")}
    return {"env": {**kept, **_of_user(os.geteuid())}, "user": os.geteuid(), "group": os.getegid()}


def _of_user(uid: int) -> dict[str, str]:
    import pwd

    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return {}
    return {"HOME": found.pw_dir, "USER": found.pw_name, "LOGNAME": found.pw_name}
