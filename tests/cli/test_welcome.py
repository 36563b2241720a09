from __future__ import annotations

from pathlib import Path

from tests.conftest import MakeBank, Run


def test_outside_a_bank_it_says_how_to_begin(tmp_path: Path, run: Run) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0
    assert f"There is no bank in {tmp_path}" in done.stdout
    assert "memorybank init" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if str(tmp_path) not in line)


def test_where_agents_keep_files_it_says_that_they_stay_as_they_are(tmp_path: Path, run: Run) -> None:
    (tmp_path / "trades").mkdir()
    (tmp_path / "account_a").mkdir()
    done = run(cwd=tmp_path)
    assert "but account_a/, trades/" in done.stdout
    assert "make this directory a bank" in done.stdout


def test_inside_a_bank_it_is_the_status(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank()
    alone, status = run(cwd=bank), run("status", cwd=bank)
    assert (alone.returncode, status.returncode) == (0, 0)
    assert alone.stdout.splitlines()[-1] == status.stdout.splitlines()[-1]
    assert str(bank) in alone.stdout


def test_a_bank_that_is_named_and_not_there_is_an_error(tmp_path: Path, run: Run) -> None:
    done = run(cwd=tmp_path, env={"MEMORYBANK_BANK": str(tmp_path / "none")})
    assert (done.returncode, done.stdout) == (10, "")
    assert "there is no bank at" in done.stderr
