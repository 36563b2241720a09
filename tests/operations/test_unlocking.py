"""The key that a second process derives early: taken where it fits, and nothing lost where it does not."""

# Passphrases of tests are no secrets:

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import workers
from memorybank_cli.base.context import BEGUN, Context
from memorybank_cli.base.errors import WrongKey
from memorybank_cli.main import main
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.repositories import open_repository, repository_for_backup
from memorybank_cli.operations.unlocking import begin, option, taken
from tests.conftest import MakeBank, Run

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
PASSPHRASE = b"open sesame"
Open = Callable[..., Bank]


@pytest.fixture(autouse=True)
def derived(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every key that this process derives; there are two processors, and passphrases cost little."""
    real, runs = hashlib.scrypt, list[int]()

    def scrypt(*given: Any, **options: Any) -> bytes:
        runs.append(os.getpid())
        return real(*given, **options)

    monkeypatch.setattr("hashlib.scrypt", scrypt)
    monkeypatch.setattr("memorybank_cli.base.workers._processors", lambda: 2)
    monkeypatch.setattr("memorybank_cli.snapshots.keys.SCRYPT_N", 16)
    return runs


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0)


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens the bank as the command does that these words belong to."""
    banks: list[Bank] = []

    def bank(*words: str) -> Bank:
        context = Context(bank=str(path), password_file=option(words, "--password-file"))
        if (begun := begin((*words, "--bank", str(path)))) is not None:
            context.unlocked[BEGUN] = begun
        banks.append(open_bank(context))
        return banks[-1]

    yield bank
    for one in banks:
        one.close()
        if (left := one.context.unlocked.get(BEGUN)) is not None:
            left.end()


@pytest.fixture
def file(tmp_path: Path) -> str:
    return written(tmp_path / "password", PASSPHRASE)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def repo(opened: Open, tmp_path: Path, file: str, derived: list[int]) -> str:
    """An encrypted repository."""
    place = str(tmp_path / "repo")
    repository_for_backup(opened("--password-file", file), place).close()
    derived.clear()
    return place


class TestOption:
    @pytest.mark.parametrize("words", [["--repo", "a"], ["--repo=a"], ["--repo", "b", "--repo=a", "--", "--repo=c"]])
    def test_the_last_one_counts(self, words: list[str]) -> None:
        assert option(words, "--repo") == "a"

    @pytest.mark.parametrize("words", [[], ["--repo"], ["--repository", "a"], ["--", "--repo", "a"]])
    def test_none_is_given(self, words: list[str]) -> None:
        assert option(words, "--repo") is None


class TestBegun:
    def test_the_key_of_a_repository(self, opened: Open, repo: str, file: str, derived: list[int]) -> None:
        bank = opened("--password-file", file, "--repo", repo)
        with open_repository(bank, repo) as early, open_repository(bank, repo):
            assert derived == []
        with open_repository(opened("--password-file", file, "--repo", f"{repo}-other"), repo) as late:
            assert derived == [os.getpid()]
            assert early.key == late.key

    def test_the_key_of_a_new_repository(self, opened: Open, tmp_path: Path, file: str, derived: list[int]) -> None:
        place = str(tmp_path / "new")
        bank = opened("--password-file", file, "--repo", place)
        assert not os.path.exists(place)
        with repository_for_backup(bank, place) as made:
            assert derived == []
        with open_repository(opened("--password-file", file), place) as again:
            assert made.key == again.key

    def test_a_pipe_is_read_once(self, opened: Open, tmp_path: Path) -> None:
        def piped() -> str:
            read, write = os.pipe()
            os.write(write, PASSPHRASE)
            os.close(write)
            pipes.append(read)
            return f"/dev/fd/{read}"

        pipes: list[int] = []
        place = str(tmp_path / "new")
        with repository_for_backup(opened("--password-file", piped(), "--repo", place), place) as made:
            assert made.encrypted
        with open_repository(opened("--password-file", piped(), "--repo", place), place) as again:
            assert again.key == made.key
        for one in pipes:
            os.close(one)

    def test_the_default_repository_and_settings(
        self, opened: Open, path: Path, file: str, derived: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", file)
        monkeypatch.chdir(path)
        repository_for_backup(opened(), None).close()
        open_repository(opened(), None).close()
        assert derived == []

    @pytest.mark.parametrize("exists", [False, True])
    def test_a_process_that_died(
        self, opened: Open, repo: str, file: str, derived: list[int], exists: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, here = hashlib.scrypt, os.getpid()

        def scrypt(*given: Any, **options: Any) -> bytes:
            if os.getpid() != here:
                raise MemoryError
            return real(*given, **options)

        monkeypatch.setattr("hashlib.scrypt", scrypt)
        place = repo if exists else f"{repo}-new"
        repository_for_backup(opened("--password-file", file, "--repo", place), place).close()
        assert derived == [here]

    def test_another_passphrase_than_is_named(self, opened: Open, repo: str, file: str, tmp_path: Path) -> None:
        """What opened it early is not what the command was given: that is refused like any wrong key."""
        bank = opened("--password-file", written(tmp_path / "wrong", b"guess"), "--repo", repo)
        begun = begin(("--password-file", file, "--repo", repo, "--bank", bank.root.path))
        bank.context.unlocked.pop(BEGUN).end()
        bank.context.unlocked[BEGUN] = begun
        with pytest.raises(WrongKey, match="does not open"):
            open_repository(bank, repo)

    def test_a_wrong_passphrase_is_told_like_any(
        self, opened: Open, repo: str, tmp_path: Path, derived: list[int]
    ) -> None:
        wrong = written(tmp_path / "wrong", b"guess")
        with pytest.raises(WrongKey, match="does not open"):
            open_repository(opened("--password-file", wrong, "--repo", repo), repo)
        assert derived == [os.getpid()]

    def test_a_plain_repository_has_no_key(self, opened: Open, tmp_path: Path, file: str) -> None:
        place = str(tmp_path / "plain")
        repository_for_backup(opened(), place).close()
        begun = begin(("--password-file", file, "--repo", place, "--bank", opened().root.path))
        assert begun is not None
        assert taken(begun) is None


class TestNothingIsBegun:
    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("--password-file", "-"),
            ("--password-file", ""),
            ("--password-command", "false"),
            ("--password-file", "x", "--key-file", "y"),
        ],
        ids=" ".join,
    )
    def test_for_other_ways_to_a_key(self, words: tuple[str, ...]) -> None:
        assert begin(words) is None

    def test_on_one_processor(self, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("memorybank_cli.base.workers._processors", lambda: 1)
        assert begin(("--password-file", file)) is None

    def test_where_the_users_settings_are_damaged(self, home: Path, file: str) -> None:
        home.mkdir()
        (home / "config.json").write_text("{")
        assert begin(("--password-file", file)) is None

    def test_for_a_bank_of_somebody_else(
        self, path: Path, repo: str, file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 12345)
        begun = begin(("--password-file", file, "--repo", repo, "--bank", str(path)))
        assert begun is not None
        assert taken(begun) is None


def test_a_command_does_not_derive_it_itself(run: Run, path: Path, tmp_path: Path, file: str) -> None:
    """Whoever calls scrypt is a child of the command, which is a child of this process."""
    log = tmp_path / "log"
    patch = tmp_path / "site"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import hashlib, os\n"
        "real = hashlib.scrypt\n"
        "def scrypt(*given, **options):\n"
        f"    open({str(log)!r}, 'a').write('%d %d\\n' % (os.getpid(), os.getppid()))\n"
        "    return real(*given, **options)\n"
        "hashlib.scrypt = scrypt\n"
    )
    env = {"PYTHONPATH": str(patch), "MEMORYBANK_PASSWORD_FILE": file, "MEMORYBANK_BANK": str(path)}
    for words in (("backup",), ("backup",), ("snapshot", "list"), ("snapshot", "verify")):
        before = log.read_text().splitlines() if log.exists() else []
        done = run(*words, env=env)
        assert done.returncode in (0, 1), done.stderr
        if workers.are_two():
            news = log.read_text().splitlines()[len(before) :]
            assert len(news) == 1
            assert news[0].split()[1] != str(os.getpid()), "the command derived it itself"


def test_a_process_whose_answer_nobody_took_is_ended(
    path: Path, repo: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that fails before it opens the repository."""
    ended: list[workers.Child] = []
    real = workers.Child.end

    def end(self: workers.Child) -> None:
        ended.append(self)
        real(self)

    monkeypatch.setattr("memorybank_cli.base.workers.Child.end", end)
    words = ["backup", "--repo", repo, "--password-file", file, "--bank", str(path)]
    assert main([*words, "--tag", ""]) == 2
    assert ended
    assert all(one._id == 0 for one in ended)
