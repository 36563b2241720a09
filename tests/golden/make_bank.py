"""Makes the golden bank of the present format: `python tests/golden/make_bank.py`. Run it once for each new format.

A golden bank is small and whole: every kind of file, a damaged one, changes, an account, a repair, an import, and the
journal of all that without the catalog. Every later program must open, prove, restore and migrate it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from memorybank_cli.bank import layout

HERE = Path(__file__).parent
MESSAGES = 60


def run(bank: Path, *words: str, stdin: str = "") -> None:
    """One command on the bank."""
    command = [sys.executable, "-m", "memorybank_cli", *words, "--bank", str(bank), "--actor", "golden", "--quiet"]
    done = subprocess.run(command, input=stdin.encode(), stdout=subprocess.DEVNULL, check=False)
    assert done.returncode in (0, 1), command  # 1: something is damaged, as it should be


def put(path: Path, value: object, then: bytes = b"") -> None:
    """A file as an agent writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(value, indent=2).encode() + then)


def trade(number: int) -> dict[str, object]:
    """A trade."""
    return {
        "timestamp": f"2026-01-01T00:00:{number:02}.000000Z",
        "net_profit": number / 8,
        "gas_cost": 10**20,
        "success": number % 2 == 0,
    }


def fill(bank: Path) -> None:
    """What agents wrote, before there was a bank."""
    for number in range(6):
        put(bank / f"trades/trade_{number}.json", trade(number))
    put(bank / "trades/recent.json", {"trades": [trade(number) for number in range(3)]}, bytes(2_000))
    put(bank / "metrics/metrics.json", {"gas_price": 35.5})
    put(bank / "metrics/historical/2026-01-01.json", {"timestamp": "2026-01-01T00:00:00Z", "metrics": {"a": 1.0}})
    put(bank / "state/state.json", {"bot_status": "running", "last_update": "2026-01-01T00:00:00Z"})
    put(bank / "state/lost.json", [1, 2], b", 3")
    (bank / "docs").mkdir()
    (bank / "docs/notes.md").write_text("# Notes\n")


def make(bank: Path, scratch: Path) -> None:
    """The bank and its history."""
    fill(bank)
    run(bank, "init", "--account", "alpha")
    lines = (
        {"role": "user", "id": f"m{n}", "content": f"message {n}", "timestamp": f"2026-01-01T00:{n:02}:00Z"}
        for n in range(MESSAGES)
    )
    run(bank, "message", "add", "--stdin", "--account", "alpha", stdin="".join(json.dumps(one) + "\n" for one in lines))
    run(bank, "repair", "trades/recent.json")
    put(bank / "state/state.json", {"bot_status": "stopped", "last_update": "2026-01-02T00:00:00Z"})
    put(bank / "trades/trade_6.json", trade(6))
    put(scratch / "source/trades/imported.json", trade(7))
    run(bank, "migrate", "--from", str(scratch / "source"))
    run(bank, "backup", "--repo", str(scratch / "repository"))


def main() -> None:
    """Make it afresh; `.memorybank` keeps what no program can make again."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["MEMORYBANK_STATE_HOME"] = str(scratch / "home")
        bank = scratch / "bank"
        bank.mkdir()
        make(bank, scratch)
        for entry in (bank / layout.PRIVATE).iterdir():
            if entry.name not in ("journal", "quarantine"):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        target = HERE / f"bank-{layout.FORMAT}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(bank, target)
        print(f"made {target}")


if __name__ == "__main__":
    main()
