"""`python -m memorybank_cli` is `memorybank`."""

from __future__ import annotations

from memorybank_cli.main import run

if __name__ == "__main__":
    run()
