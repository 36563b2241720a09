"""`python -m memorybank_cli` is `memorybank`."""

from __future__ import annotations

import sys

from memorybank_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
