"""`benchmarks/run`: every comparison in one run, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator

from benchmarks import watching
from benchmarks.cases import CASES as OTHERS
from benchmarks.cases import Bench, Row
from benchmarks.pairs import Failed

CASES = {**OTHERS, "watch": watching.watch}


def main() -> int:
    """Run what was asked for; 0 unless something failed to run, whatever the verdicts."""
    chosen = _arguments()
    rows: list[Row] = []
    failures: list[str] = []
    before = os.getloadavg()[0]
    with _place(chosen.work) as work:
        sizes = {"files": 5_000, "schema_files": 1_000, "pairs": 2} if chosen.quick else {}
        asked = {"files": chosen.files, "schema_files": chosen.schema_files, "pairs": chosen.pairs}
        bench = Bench(work, **{**sizes, **{name: value for name, value in asked.items() if value}}, say=_say)
        for name in chosen.only or CASES:
            try:
                rows += CASES[name](bench)
            except (Failed, OSError) as error:
                failures.append(f"{name}: {error}")
    load = (before, os.getloadavg()[0])
    if chosen.json:
        print(json.dumps({"rows": [_as_dict(row) for row in rows], "failures": failures, "load": load}))
    else:
        print("\n".join(_table(rows)))
        print(f"load {load[0]:.2f} before, {load[1]:.2f} after; ratio: wall time, median of pairs [smallest..largest]")
    for failure in failures:
        _say(f"failed: {failure}")
    return 1 if failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description="memorybank and its peers side by side")
    parser.add_argument("--quick", action="store_true", help="few files, few runs: shows that everything works")
    parser.add_argument("--work", metavar="DIR", help="keep the corpora there for the next run (default: temporary)")
    parser.add_argument("--files", type=int, help="files of the large bank (100,000)")
    parser.add_argument("--schema-files", type=int, help="files that are held against a schema (10,000)")
    parser.add_argument("--pairs", type=int, help="runs of the slow comparisons (5); quick ones get more")
    parser.add_argument("--only", action="append", choices=tuple(CASES), help="one group of comparisons")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args()


def _place(given: str | None) -> tempfile.TemporaryDirectory[str] | _Kept:
    return tempfile.TemporaryDirectory(prefix="memorybank-bench-") if given is None else _Kept(given)


class _Kept:
    """A directory that stays."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, exist_ok=True)

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        return None


def _as_dict(row: Row) -> dict[str, object]:
    return {
        "name": row.name,
        "ratio": round(row.ratio, 4),
        "cpu_ratio": None if row.cpu is None else round(row.cpu, 4),
        "range": None if row.spread is None else [round(one, 4) for one in row.spread],
        "goal": row.goal,
        "verdict": row.verdict,
        "note": row.note,
    }


def _table(rows: list[Row]) -> Iterator[str]:
    width = max((len(row.name) for row in rows), default=4)
    yield f"{'':{width}}  {'ratio':>7} {'CPU':>7} {'goal':>6}  verdict"
    for row in rows:
        cpu = "" if row.cpu is None else f"{row.cpu:.3f}"
        goal = "" if row.goal is None else f"{row.goal:g}"
        spread = "" if row.spread is None else f"[{row.spread[0]:.3f}..{row.spread[1]:.3f}] "
        yield f"{row.name:{width}}  {row.ratio:7.3f} {cpu:>7} {goal:>6}  {row.verdict:7} {spread}{row.note}"


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
